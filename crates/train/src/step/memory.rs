//! The memory of a run: of the device's pools, or of this process if the device is the CPU.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Interval between queries of the resident memory, each of which takes about a millisecond.
const INTERVAL: Duration = Duration::from_secs(1);

/// A part of a training step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The network and the loss.
    Forward,
    /// The gradients.
    Backward,
    /// The optimiser and the moving average.
    Update,
}

/// Memory of a training step, in bytes.
///
/// On a GPU: the memory that burn's pools have reserved on the device, including unused parts of their pages, because
/// other programs cannot use those. On the CPU: the resident set size of this process. The peak within a step is
/// available on Linux only. Elsewhere the peak is the largest value at the end of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEvent {
    /// At the end of the step.
    #[serde(rename = "memory")]
    pub taken: u64,
    /// The peak of the run so far.
    #[serde(rename = "memory_peak")]
    pub peak: u64,
    /// The parts of the step. `None` on the CPU, which cannot report them.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub phases: Option<MemoryPhases>,
}

/// Memory that the device's pools had reserved at the end of each part of a step, and the share of it that tensors
/// held, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPhases {
    /// Reserved after the network and the loss.
    #[serde(rename = "memory_forward")]
    pub forward: u64,
    /// Reserved after the gradients.
    #[serde(rename = "memory_backward")]
    pub backward: u64,
    /// Reserved after the optimiser and the moving average.
    #[serde(rename = "memory_update")]
    pub update: u64,
    /// Held by tensors after the network and the loss: saved for the backward pass.
    #[serde(rename = "memory_kept")]
    pub kept: u64,
    /// Held by tensors after the step: the weights, their average, and the moments of the optimiser.
    #[serde(rename = "memory_state")]
    pub state: u64,
}

/// Records the memory of a run. The threads of a step share it.
pub(crate) struct MemoryGauge {
    device: Device,
    state: Mutex<GaugeState>,
}

struct GaugeState {
    system: Option<System>,
    process: Option<Pid>,
    last: Option<Instant>,
    event: MemoryEvent,
}

impl MemoryGauge {
    pub(crate) fn new(device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        if device.memory_pool_usage().is_none() {
            reset_resident_peak();
        }
        let (system, process) = (System::new().ok(), sysinfo::get_current_pid().ok());
        let state = GaugeState { system, process, last: None, event: MemoryEvent::default() };
        Self { device, state: Mutex::new(state) }
    }

    /// Records the memory at the end of a phase. On the CPU only the end of a step is recorded, because the phases of a
    /// batch's parts overlap on several threads, and the resident memory is queried once per [`INTERVAL`].
    pub(crate) fn note(&self, phase: Phase) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let event = match self.device.memory_pool_usage() {
            Some(pools) => {
                let mut phases = state.event.phases.unwrap_or_default();
                match phase {
                    Phase::Forward => {
                        (phases.forward, phases.kept) = (pools.bytes_reserved, pools.bytes_in_use);
                    }
                    Phase::Backward => phases.backward = pools.bytes_reserved,
                    Phase::Update => {
                        (phases.update, phases.state) = (pools.bytes_reserved, pools.bytes_in_use);
                    }
                }
                MemoryEvent { taken: pools.bytes_reserved, phases: Some(phases), ..state.event }
            }
            None if phase == Phase::Update => {
                if state.last.is_none_or(|last| last.elapsed() >= INTERVAL) {
                    state.last = Some(Instant::now());
                    state.event.taken = state.resident().unwrap_or(0);
                }
                MemoryEvent { peak: state.event.peak.max(resident_peak().unwrap_or(0)), ..state.event }
            }
            None => return,
        };
        state.event = MemoryEvent { peak: event.peak.max(event.taken), ..event };
    }

    /// The last record. Zeros if the system reports nothing.
    pub(crate) fn event(&self) -> MemoryEvent {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).event
    }
}

impl GaugeState {
    fn resident(&mut self) -> Option<u64> {
        let (process, system) = (self.process?, self.system.as_mut()?);
        let what = ProcessRefreshKind::nothing().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[process]), false, what);
        system.process(process).map(sysinfo::Process::memory)
    }
}

/// The peak of this process's resident memory since [`reset_resident_peak`]. `None` if the system does not report it:
/// Linux does, gVisor does not.
fn resident_peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"))?;
    Some(1024 * kibibytes.trim().parse::<u64>().ok()?)
}

fn reset_resident_peak() {
    // Without permission, or without Linux, the peak remains that of the whole process.
    fs::write("/proc/self/clear_refs", "5").ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of the test below.
    const TEST: &str = "step::memory::tests::records_memory_and_its_peak";

    /// Set in the process that runs the test alone.
    const ALONE: &str = "UNBRAID_MEMORY_TEST_ALONE";

    /// Resident memory and its peak belong to the process, and other tests change both. The test therefore runs again
    /// in a process of which it is the only test.
    #[test]
    fn records_memory_and_its_peak() {
        if std::env::var_os(ALONE).is_none() {
            let mut command = std::process::Command::new(std::env::current_exe().unwrap());
            let output = command.args(["--exact", TEST, "--nocapture"]).env(ALONE, "1").output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
            return;
        }
        let gauge = MemoryGauge::new(&Device::flex());
        let read = || {
            gauge.state.lock().unwrap().last = None;
            gauge.note(Phase::Update);
            gauge.event()
        };
        let before = read();
        assert!(before.taken > 1 << 20, "{before:?}");
        let block = std::hint::black_box(vec![1u8; 256 << 20]);
        let with = read();
        assert!(with.taken > before.taken + (200 << 20), "{before:?} → {with:?} with {}", block.len());
        drop(block);
        let after = read();
        assert!(after.taken + (200 << 20) < with.taken && after.peak >= with.taken, "{with:?} → {after:?}");
        assert_eq!(after.phases, None);
        // Memory that is allocated and freed between two records counts if the system reports a peak.
        if resident_peak().is_some() {
            drop(std::hint::black_box(vec![1u8; 768 << 20]));
            let later = read();
            assert!(later.taken + (600 << 20) < later.peak, "{later:?}");
        }
    }
}
