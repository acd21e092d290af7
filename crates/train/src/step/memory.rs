//! How much memory a run takes: of the device's pools, or of this process where the device is the CPU.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Asking what is resident takes about a millisecond; once a second is often enough.
const INTERVAL: Duration = Duration::from_secs(1);

/// Part of a training step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Network and loss.
    Forward,
    /// Gradients.
    Backward,
    /// Optimiser and moving average.
    Update,
}

/// Memory of a training step, in bytes.
///
/// On a GPU: what burn's pools have taken from the device, unused parts of pages included, for that is what the
/// card lacks. On the CPU: what of this process is resident; its peak within a step only Linux tells, elsewhere it is
/// the most at the end of one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEvent {
    /// Taken at the end of the step.
    #[serde(rename = "memory")]
    pub taken: u64,
    /// The most that the run has taken so far.
    #[serde(rename = "memory_peak")]
    pub peak: u64,
    /// Where the device counts it: more of this step.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub phases: Option<MemoryPhases>,
}

/// What the device's pools had taken at the end of each part of a step, and what tensors held of it, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPhases {
    /// After network and loss.
    #[serde(rename = "memory_forward")]
    pub forward: u64,
    /// After the gradients.
    #[serde(rename = "memory_backward")]
    pub backward: u64,
    /// After optimiser and moving average.
    #[serde(rename = "memory_update")]
    pub update: u64,
    /// Held by tensors after network and loss: what was kept for the backward pass.
    #[serde(rename = "memory_kept")]
    pub kept: u64,
    /// Held by tensors after the step: weights, their average, the optimiser's moments.
    #[serde(rename = "memory_state")]
    pub state: u64,
}

/// Watches the memory of a run. Shared by the threads of a step.
pub(crate) struct MemoryGauge {
    device: Device,
    state: Mutex<State>,
}

struct State {
    system: Option<System>,
    process: Option<Pid>,
    last: Option<Instant>,
    event: MemoryEvent,
}

impl MemoryGauge {
    pub(crate) fn new(device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        if device.memory_pool_usage().is_none() {
            forget_resident_peak();
        }
        let (system, process) = (System::new().ok(), sysinfo::get_current_pid().ok());
        let state = State { system, process, last: None, event: MemoryEvent::default() };
        Self { device, state: Mutex::new(state) }
    }

    /// Looks at the end of a phase. On the CPU, whose batches are computed in parts on several threads, only at
    /// the end of a step; what is resident then, once a second.
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

    /// The step's figures; zeros where nothing can be told.
    pub(crate) fn event(&self) -> MemoryEvent {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).event
    }
}

impl State {
    fn resident(&mut self) -> Option<u64> {
        let (process, system) = (self.process?, self.system.as_mut()?);
        let what = ProcessRefreshKind::nothing().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[process]), false, what);
        system.process(process).map(sysinfo::Process::memory)
    }
}

/// The most of this process that was resident since [`forget_resident_peak`], where the system tells: Linux does, its
/// stand-in gVisor does not.
fn resident_peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"))?;
    Some(1024 * kibibytes.trim().parse::<u64>().ok()?)
}

fn forget_resident_peak() {
    // Where that is not allowed, or no Linux, the peak is the process's.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_memory_that_is_taken_and_remembers_the_peak() {
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
        // What came and went between two looks, where the system tells.
        if fs::read_to_string("/proc/self/status").is_ok_and(|status| status.contains("VmHWM")) {
            // Another test's gauge may make the process forget its peak just then.
            let seen = (0..10).any(|_| {
                drop(std::hint::black_box(vec![1u8; 768 << 20]));
                let later = read();
                later.taken + (600 << 20) < later.peak
            });
            assert!(seen, "{:?}", gauge.event());
        }
    }
}
