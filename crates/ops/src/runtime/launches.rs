//! A record of kernel launches, for counts of launches and for compiling the kernels of a network without its device.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;

use cubecl::logging::{LaunchObservation, LaunchObserver};

use super::kernel::{self, Kernel};
use crate::precision::Precision;

/// One launch of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The kernel: the label of one of our shaders, as in [`Launches::shaders`], or the type of one of burn's kernels.
    pub kernel: Arc<str>,
    /// The workgroups along x, y and z. `None` for burn's kernels, because burn does not report them.
    pub workgroups: Option<[u32; 3]>,
}

/// The kernel launches of some work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launches {
    /// Every launch, in the order in which each thread issued its launches.
    pub all: Vec<Launch>,
    /// Every specialised shader of ours that was launched, by its label.
    pub shaders: BTreeMap<Arc<str>, Shader>,
}

/// A specialised shader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shader {
    /// The complete WGSL source.
    pub source: String,
    /// Number of storage buffers that it binds.
    pub bindings: usize,
}

struct Record {
    thread: ThreadId,
    launches: Launches,
    /// The specialisations whose sources are in `launches.shaders`.
    seen: HashSet<String>,
}

/// The records of the recordings that run, the innermost last.
static RECORDS: Mutex<Vec<Record>> = Mutex::new(Vec::new());

/// Whether there is a record, so that launches outside of a recording lock nothing.
static RECORDING: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Our launch that this thread is issuing.
    static ISSUED: RefCell<Option<Launch>> = const { RefCell::new(None) };
}

/// Runs `work` and records every kernel launch of this process until it returns, also those of a dry run.
///
/// With burn's fusion, operations are launched later than they are called: let `work` end with a read or a
/// synchronisation of its device. The launches include those of burn's autotuning. `work` may record too.
///
/// # Panics
/// If another thread records, or two shaders have the same label, which is a bug.
pub fn record_launches<T>(work: impl FnOnce() -> T) -> (T, Launches) {
    let thread = std::thread::current().id();
    let own = lock().iter().all(|record| record.thread == thread);
    assert!(own, "launches are already being recorded by another thread");
    lock().push(Record { thread, launches: Launches::default(), seen: HashSet::new() });
    // If `work` panics, this ends the recording too.
    let end = EndOfRecording((!RECORDING.swap(true, Ordering::Relaxed)).then(|| {
        // One observer serves all recordings.
        LaunchObservation::new(Arc::new(Observer))
    }));
    let result = work();
    let launches = lock().last().map(|record| record.launches.clone()).unwrap_or_default();
    drop(end);
    (result, launches)
}

/// The observation of the outermost recording.
struct EndOfRecording(Option<LaunchObservation>);

impl Drop for EndOfRecording {
    fn drop(&mut self) {
        if self.0.is_some() {
            RECORDING.store(false, Ordering::Relaxed);
        }
        lock().pop();
    }
}

fn lock() -> std::sync::MutexGuard<'static, Vec<Record>> {
    RECORDS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// burn tells every launch, ours included, on the thread that issues it.
struct Observer;

impl LaunchObserver for Observer {
    fn launched(&self, kernel: &'static str) {
        let launch = ISSUED.take().unwrap_or_else(|| Launch { kernel: kernel.into(), workgroups: None });
        for record in lock().iter_mut() {
            record.launches.all.push(launch.clone());
        }
    }
}

/// Calls `launch`, which launches `kernel` over `workgroups`.
pub(super) fn noted(kernel: &impl Kernel, workgroups: [u32; 3], launch: impl FnOnce()) {
    if !RECORDING.load(Ordering::Relaxed) {
        return launch();
    }
    let label: Arc<str> = label(kernel).into();
    let specialisation = format!("{kernel:?}");
    for record in lock().iter_mut().filter(|record| !record.seen.contains(&specialisation)) {
        record.seen.insert(specialisation.clone());
        let shader = Shader { source: kernel::source(kernel), bindings: kernel.bindings() };
        let known = record.launches.shaders.entry(label.clone()).or_insert_with(|| shader.clone());
        assert_eq!(*known, shader, "two shaders have the label {label}");
    }
    ISSUED.set(Some(Launch { kernel: label, workgroups: Some(workgroups) }));
    launch();
    ISSUED.take();
}

/// The shader's file, precision, workgroup size and constants, which determine its source.
fn label(kernel: &impl Kernel) -> String {
    let file = kernel.file().trim_end_matches(".wgsl");
    let precision = match kernel.precision() {
        Precision::F32 => "f32",
        Precision::F16 => "f16",
    };
    let mut label = format!("{file} {precision} WORKGROUP={}", kernel.workgroup());
    for (name, value) in kernel.constants() {
        label.push_str(&format!(" {name}={value}"));
    }
    label
}
