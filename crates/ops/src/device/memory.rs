//! Memory on a device: how much burn's pools hold, whether a request was refused, and dry runs that only count.

use std::sync::OnceLock;

use burn::tensor::Device;

/// Memory of burn's pools on a device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUse {
    /// Held by tensors.
    pub in_use: u64,
    /// Taken from the device, including pages kept for reuse.
    pub reserved: u64,
}

/// The memory of burn's pools on a device. Waits for the queued work, except in a browser, which cannot wait. `None` if
/// the backend does not count its memory (Flex).
pub fn memory(device: &Device) -> Option<MemoryUse> {
    #[cfg(not(target_family = "wasm"))]
    device.sync().ok()?;
    let usage = device.memory_pool_usage()?;
    Some(MemoryUse { in_use: usage.bytes_in_use, reserved: usage.bytes_reserved })
}

/// A refused request for memory on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MemoryRefused {
    /// The device allows no tensor of this size.
    #[error("one tensor takes {} MB, and the device allows {} MB", bytes / 1_000_000, limit / 1_000_000)]
    TooLarge {
        /// The tensor's size in bytes.
        bytes: u64,
        /// The largest size that the device allows, in bytes.
        limit: u64,
    },
    /// The driver has no more memory.
    #[error("the driver has no more memory")]
    Exhausted,
}

static REFUSED: OnceLock<MemoryRefused> = OnceLock::new();

/// The first refused request for memory in this process. The value is never cleared.
///
/// After a refusal burn continues, and its results are undefined: check this after every read, before the numbers are
/// used. A dry run ([`dry_run`]) detects only tensors that are too large.
pub fn memory_refused() -> Option<MemoryRefused> {
    REFUSED.get().copied()
}

/// Records a refusal, unless an earlier one is recorded.
pub(crate) fn note_memory_refused(refused: MemoryRefused) {
    REFUSED.set(refused).ok();
}

/// Runs `work` as a dry run: on every GPU, kernels are built but not executed, and buffers are counted as if they were
/// allocated. Values that are read back are meaningless. Work on the CPU is executed in full.
pub fn dry_run<T>(work: impl FnOnce() -> T) -> T {
    let _guard = cubecl::dry_run::DryRun::new();
    work()
}
