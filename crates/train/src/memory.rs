//! How much memory a run holds: of the device's pools, or of this process where the device is the CPU.

use burn::tensor::Device;
use std::time::{Duration, Instant};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Asking the system takes about a millisecond; once a second is often enough.
const INTERVAL: Duration = Duration::from_secs(1);

/// Reads the memory in use.
pub(crate) struct MemoryGauge {
    device: Device,
    system: Option<System>,
    process: Option<Pid>,
    last: Option<(Instant, u64)>,
}

impl MemoryGauge {
    pub(crate) fn new(device: &Device) -> Self {
        Self {
            device: device.clone().without_autodiff(),
            system: System::new().ok(),
            process: sysinfo::get_current_pid().ok(),
            last: None,
        }
    }

    /// Bytes reserved on the device, or resident in this process; 0 if neither can be told.
    pub(crate) fn read(&mut self) -> u64 {
        if let Some((at, bytes)) = self.last
            && at.elapsed() < INTERVAL
        {
            return bytes;
        }
        let bytes =
            self.device.memory_pool_usage().map(|pools| pools.bytes_reserved).or_else(|| self.resident());
        self.last = Some((Instant::now(), bytes.unwrap_or(0)));
        bytes.unwrap_or(0)
    }

    fn resident(&mut self) -> Option<u64> {
        let (process, system) = (self.process?, self.system.as_mut()?);
        let what = ProcessRefreshKind::nothing().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[process]), false, what);
        system.process(process).map(sysinfo::Process::memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_memory_that_is_taken() {
        let mut gauge = MemoryGauge::new(&Device::flex());
        let before = gauge.read();
        assert!(before > 1 << 20, "{before}");
        let block = std::hint::black_box(vec![1u8; 256 << 20]);
        gauge.last = None;
        let after = gauge.read();
        assert!(after > before + (200 << 20), "{before} → {after} with {}", block.len());
    }
}
