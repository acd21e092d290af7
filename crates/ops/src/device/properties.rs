//! The properties of devices, and which adapters are trusted.

use std::fmt;

#[cfg(target_family = "wasm")]
use burn::tensor::wgpu::wgpu;

/// The kind of hardware of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeviceKind {
    /// A GPU with dedicated memory.
    Discrete,
    /// A GPU that shares the host's memory.
    Integrated,
    /// A virtual machine's GPU.
    Virtual,
    /// A GPU of unknown kind.
    Other,
    /// A graphics API emulated on the CPU (llvmpipe, SwiftShader, WARP), for tests.
    Software,
    /// The CPU.
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

/// The limits of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one storage binding. A tensor is at most as large as the smaller of this and `buffer`.
    pub binding: u64,
    /// Bytes of one buffer.
    pub buffer: u64,
    /// Bytes of workgroup memory.
    pub workgroup_memory: u32,
    /// Invocations of a workgroup.
    pub invocations: u32,
    /// Storage buffers of a kernel.
    pub storage_buffers: u32,
}

impl Limits {
    pub(super) fn new(limits: &wgpu::Limits) -> Self {
        Self {
            binding: limits.max_storage_buffer_binding_size,
            buffer: limits.max_buffer_size,
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            invocations: limits.max_compute_invocations_per_workgroup,
            storage_buffers: limits.max_storage_buffers_per_shader_stage,
        }
    }
}

/// The optional features of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// Tensors of 16-bit floats.
    pub f16: bool,
    /// Operations across a subgroup.
    pub subgroups: bool,
    /// Timestamps of the device's clock.
    pub timestamps: bool,
}

impl Features {
    pub(super) fn new(features: wgpu::Features) -> Self {
        Self {
            f16: features.contains(wgpu::Features::SHADER_F16),
            subgroups: features.contains(wgpu::Features::SUBGROUP),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        }
    }
}

/// Checks that the results of an adapter can be trusted. The error is the reason why not.
pub(super) fn check_adapter(name: &str, driver_version: &str, limits: &Limits) -> Result<(), String> {
    // On Mesa 22.3, convolution gradients are wrong by a third and group norms by orders of magnitude. 25.0 is the
    // oldest version that was found to be correct.
    const OLDEST_LLVMPIPE: u32 = 25;
    if name.contains("llvmpipe") {
        match mesa_version(driver_version) {
            Some(version) if version >= OLDEST_LLVMPIPE => {}
            _ => {
                return Err(format!(
                    "llvmpipe before Mesa {OLDEST_LLVMPIPE} computes wrong results, and this is `{driver_version}`"
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
        Some((limit, has, needed)) => Err(format!("it allows {has} {limit}, and the kernels need {needed}")),
        None => Ok(()),
    }
}

/// The major version in a driver version such as "Mesa 25.0.7 (LLVM 15.0.6)".
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
    fn an_old_llvmpipe_is_refused_with_its_reason() {
        let name = "llvmpipe (LLVM 15.0.6, 256 bits)";
        for driver in ["Mesa 22.3.6 (LLVM 15.0.6)", "Mesa 24.3.4", "", "unknown"] {
            assert!(check_adapter(name, driver, &LIMITS).unwrap_err().contains("Mesa 25"), "{driver}");
        }
        for driver in ["Mesa 25.0.7-2~bpo12+1 (LLVM 15.0.6)", "Mesa 26.1.0"] {
            assert_eq!(check_adapter(name, driver, &LIMITS), Ok(()), "{driver}");
        }
        assert_eq!(check_adapter("NVIDIA H200", "580.65.06", &LIMITS), Ok(()));
        assert_eq!(check_adapter("AMD Radeon 780M (RADV PHOENIX)", "Mesa 22.3.6", &LIMITS), Ok(()));
    }

    #[test]
    fn an_adapter_below_webgpus_defaults_is_refused() {
        for limits in [
            Limits { workgroup_memory: 8192, ..LIMITS },
            Limits { invocations: 128, ..LIMITS },
            Limits { storage_buffers: 4, ..LIMITS },
        ] {
            assert!(check_adapter("small", "", &limits).unwrap_err().contains("kernels need"), "{limits:?}");
        }
    }
}
