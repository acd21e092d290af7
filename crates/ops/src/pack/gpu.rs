//! Packing on wgpu. `shaders/pack/` has the kernel.

use super::layout::{PARTS, packed_length};
use crate::precision::Precision;
use crate::runtime::kernel::Kernel;
use crate::runtime::launch::{GpuArray, dispatch, spread};

/// The kernel that concatenates six arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PackKernel;

impl Kernel for PackKernel {
    fn file(&self) -> &'static str {
        "pack/six.wgsl"
    }

    fn constants(&self) -> Vec<(&'static str, u32)> {
        Vec::new()
    }

    fn precision(&self) -> Precision {
        Precision::F32
    }

    fn workgroup(&self) -> u32 {
        256
    }

    fn bindings(&self) -> usize {
        PARTS + 2
    }
}

/// The first `lengths` elements of each part, each padded with zeros.
pub(crate) fn pack(parts: &[GpuArray; PARTS], lengths: &[usize; PARTS]) -> GpuArray {
    let length = packed_length(lengths);
    let packed = parts[0].empty_like([length], Precision::F32);
    let arrays: Vec<_> = parts.iter().chain([&packed]).collect();
    let parameters: Vec<_> = [length].iter().chain(lengths).map(|&value| value as u32).collect();
    dispatch(PackKernel, spread(length.div_ceil(PackKernel.workgroup() as usize)), &arrays, &parameters);
    packed
}
