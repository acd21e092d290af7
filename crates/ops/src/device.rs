//! What devices are, which of them are trusted, and how one is chosen: `native.rs` among those of a machine,
//! `web.rs` in a browser, which offers one.

use std::fmt;
use std::sync::OnceLock;

use burn::tensor::Device;

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(target_family = "wasm")]
mod web;

#[cfg(not(target_family = "wasm"))]
pub use native::{Choice, DeviceError, DeviceInfo, find, list, select};
#[cfg(target_family = "wasm")]
pub(crate) use web::note_kernel;
#[cfg(target_family = "wasm")]
pub use web::{WebGpu, WebGpuError, note_error};

/// What kind of hardware a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeviceKind {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the host's memory.
    Integrated,
    /// A GPU lent to a virtual machine.
    Virtual,
    /// A GPU that does not say what it is.
    Other,
    /// A GPU's API computed on the CPU (llvmpipe, SwiftShader, WARP): for tests.
    Software,
    /// The CPU itself.
    Cpu,
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discrete => "discrete GPU",
            Self::Integrated => "integrated GPU",
            Self::Virtual => "virtual GPU",
            Self::Other => "GPU",
            Self::Software => "software adapter",
            Self::Cpu => "CPU",
        })
    }
}

/// What an adapter allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one storage binding: one tensor is at most the smaller of this and `buffer`.
    pub binding: u64,
    /// Bytes of one buffer.
    pub buffer: u64,
    /// Bytes of memory shared by a workgroup.
    pub workgroup_memory: u32,
    /// Invocations of a workgroup.
    pub invocations: u32,
    /// Storage buffers a kernel can bind.
    pub storage_buffers: u32,
}

/// What a device can do beyond the necessary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// Tensors of 16-bit floats.
    pub f16: bool,
    /// Operations across a subgroup.
    pub subgroups: bool,
    /// Timestamps of the device's own clock.
    pub timestamps: bool,
}

/// Memory of burn's pools on a device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUse {
    /// Held by tensors.
    pub in_use: u64,
    /// Taken from the device, pages kept for reuse included.
    pub reserved: u64,
}

/// Memory that tensors take on a device, once its queued work is done (in a browser, which cannot wait: as it is).
/// `None` where nothing is counted (Flex).
pub fn memory(device: &Device) -> Option<MemoryUse> {
    #[cfg(not(target_family = "wasm"))]
    device.sync().ok()?;
    let usage = device.memory_pool_usage()?;
    Some(MemoryUse { in_use: usage.bytes_in_use, reserved: usage.bytes_reserved })
}

/// Memory that a GPU was asked for and did not give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MemoryRefused {
    /// No tensor can be so large there.
    #[error("one tensor takes {} MB, and the device allows {} MB", bytes / 1_000_000, limit / 1_000_000)]
    TooLarge {
        /// The tensor's size.
        bytes: u64,
        /// What the device allows.
        limit: u64,
    },
    /// The driver has no more.
    #[error("its driver has no more")]
    Exhausted,
}

static REFUSED: OnceLock<MemoryRefused> = OnceLock::new();

/// The first memory that was refused in this process, for good. burn goes on without, and whatever would be computed in
/// it may be anything: ask after every read, before its numbers are used. A rehearsal finds tensors that are too large,
/// and nothing else.
pub fn memory_refused() -> Option<MemoryRefused> {
    REFUSED.get().copied()
}

pub(crate) fn note_memory_refused(refused: MemoryRefused) {
    let _ = REFUSED.set(refused);
}

/// Runs `work` with every kernel on every adapter built but not started: what it takes of memory is counted as if it
/// were. Values read back mean nothing. Of the CPU's work nothing is left out.
pub fn rehearse<T>(work: impl FnOnce() -> T) -> T {
    let _guard = cubecl::dry_run::DryRun::new();
    work()
}

/// How many parts of a batch to compute at once, each as a task of rayon's: burn's CPU backend computes
/// elementwise operations on one thread. A GPU takes a whole batch.
pub fn workers(device: &Device) -> usize {
    if *device == Device::flex() {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    } else {
        1
    }
}

/// Whether results on an adapter can be relied on.
fn judge(name: &str, driver_version: &str, limits: &Limits) -> Result<(), String> {
    // Mesa 22.3 computes convolution gradients off by a third and group norms by orders of magnitude;
    // 25.0 is the oldest that was found right.
    const OLDEST_LLVMPIPE: u32 = 25;
    if name.contains("llvmpipe") {
        match mesa_version(driver_version) {
            Some(version) if version >= OLDEST_LLVMPIPE => {}
            _ => {
                return Err(format!(
                    "llvmpipe before Mesa {OLDEST_LLVMPIPE} computes wrong results, and this is `{driver_version}`; \
                     install newer mesa-vulkan-drivers"
                ));
            }
        }
    }
    let needs = [
        ("bytes of workgroup memory", limits.workgroup_memory, 16_384),
        ("invocations of a workgroup", limits.invocations, 256),
        ("storage buffers of a kernel", limits.storage_buffers, 8),
    ];
    match needs.iter().find(|(_, has, needed)| has < needed) {
        Some((what, has, needed)) => Err(format!("it allows {has} {what}, and the kernels need {needed}")),
        None => Ok(()),
    }
}

/// Major version in a driver's "Mesa 25.0.7 (LLVM 15.0.6)".
fn mesa_version(driver_version: &str) -> Option<u32> {
    driver_version.strip_prefix("Mesa ")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        binding: 1 << 27,
        buffer: 1 << 28,
        workgroup_memory: 16_384,
        invocations: 256,
        storage_buffers: 8,
    };

    #[test]
    fn an_old_llvmpipe_is_refused_and_says_why() {
        let name = "llvmpipe (LLVM 15.0.6, 256 bits)";
        for driver in ["Mesa 22.3.6 (LLVM 15.0.6)", "Mesa 24.3.4", "", "unknown"] {
            assert!(judge(name, driver, &LIMITS).unwrap_err().contains("Mesa 25"), "{driver}");
        }
        for driver in ["Mesa 25.0.7-2~bpo12+1 (LLVM 15.0.6)", "Mesa 26.1.0"] {
            assert_eq!(judge(name, driver, &LIMITS), Ok(()), "{driver}");
        }
        assert_eq!(judge("NVIDIA H200", "580.65.06", &LIMITS), Ok(()));
        assert_eq!(judge("AMD Radeon 780M (RADV PHOENIX)", "Mesa 22.3.6", &LIMITS), Ok(()));
    }

    #[test]
    fn an_adapter_below_webgpus_defaults_is_refused() {
        for limits in [
            Limits { workgroup_memory: 8192, ..LIMITS },
            Limits { invocations: 128, ..LIMITS },
            Limits { storage_buffers: 4, ..LIMITS },
        ] {
            assert!(judge("small", "", &limits).unwrap_err().contains("kernels need"), "{limits:?}");
        }
    }
}
