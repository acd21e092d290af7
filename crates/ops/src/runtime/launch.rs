//! Arrays on wgpu devices, and the dispatch of kernels over them.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::backend::wgpu::{CubeTensor, KernelSource, SourceKernel, SourceTemplate, into_contiguous};
use burn::tensor::{DType, Shape};
use cubecl::server::{KernelArguments, MetadataBindingInfo};
use cubecl::{CubeCount, CubeDim, ExecutionMode, prelude::KernelId};

use super::kernel::{self, Kernel};
use super::launches::noted;
use super::poison::poisoned;
use crate::device::memory::{MemoryRefused, note_memory_refused};
#[cfg(target_family = "wasm")]
use crate::device::web::note_kernel;
use crate::precision::Precision;

/// A contiguous tensor on a wgpu device.
#[derive(Clone)]
pub(crate) struct GpuArray(pub(crate) CubeTensor);

impl GpuArray {
    /// Copies the tensor if it is not contiguous.
    pub(crate) fn new(tensor: CubeTensor) -> Self {
        assert_eq!(
            tensor.client.name(),
            "wgpu<wgsl>",
            "unbraid's kernels are WGSL; build burn without its `vulkan` and `metal` compilers",
        );
        Self(into_contiguous(tensor))
    }

    pub(crate) fn shape(&self) -> &Shape {
        self.0.meta.shape()
    }

    pub(crate) fn precision(&self) -> Precision {
        match self.0.dtype {
            DType::F32 => Precision::F32,
            DType::F16 => Precision::F16,
            other => panic!("unbraid-ops takes f32 or f16, not {other:?}"),
        }
    }

    /// An array on the same device with undefined contents.
    pub(crate) fn empty_like(&self, shape: impl Into<Shape>, precision: Precision) -> Self {
        let (like, shape) = (&self.0, shape.into());
        let dtype = precision.dtype();
        let bytes = shape.num_elements() * dtype.size();
        let limit = like.client.properties().memory.max_page_size;
        if bytes as u64 > limit {
            note_memory_refused(MemoryRefused::TooLarge { bytes: bytes as u64, limit });
        }
        let handle = if poisoned() {
            like.client.create_from_slice(&vec![0xff; bytes])
        } else {
            like.client.empty(bytes)
        };
        Self(CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, dtype))
    }

    /// Whether both arrays are on the same device.
    pub(crate) fn shares_device_with(&self, other: &Self) -> bool {
        self.0.device == other.0.device
    }

    /// An array of the same shape and type on the same device with undefined contents.
    pub(crate) fn like(&self) -> Self {
        self.empty_like(self.shape().clone(), self.precision())
    }

    /// Uploads host values to the same device as f32.
    pub(crate) fn upload_like(&self, values: &[f32]) -> Self {
        let like = &self.0;
        let handle = like.client.create_from_slice(bytemuck::cast_slice(values));
        let shape = Shape::new([values.len()]);
        Self(CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, DType::F32))
    }
}

/// Gives burn the source and the cache key of a kernel.
struct WgslSource<K>(K);

impl<K: Kernel> KernelSource for WgslSource<K> {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new(kernel::source(&self.0))
    }

    fn id(&self) -> KernelId {
        // In checked mode the driver adds a 64-bit iteration counter to every loop as a guard against infinite loops.
        // All our loops are bounded, so the guard is disabled.
        KernelId::new::<Self>()
            .info(self.0.clone())
            .cube_dim(CubeDim::new_1d(self.0.workgroup()).into())
            .mode(ExecutionMode::Unchecked)
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// Queues one dispatch of `kernel` over `workgroups`. `arrays` are bound at 0, 1, …, and `parameters` after them.
pub(crate) fn dispatch(
    kernel: impl Kernel,
    workgroups: [usize; 3],
    arrays: &[&GpuArray],
    parameters: &[u32],
) {
    debug_assert_eq!(arrays.len() + 1, kernel.bindings(), "{kernel:?}");
    assert!(
        workgroups.iter().all(|&count| count <= MAX_WORKGROUPS),
        "{kernel:?}: {workgroups:?} workgroups exceed WebGPU's limit of {MAX_WORKGROUPS} per dimension",
    );
    let [x, y, z] = workgroups.map(|count| count as u32);
    #[cfg(target_family = "wasm")]
    note_kernel(&kernel);
    let client = &arrays[0].0.client;
    let buffers = arrays.iter().map(|array| array.0.handle.clone().binding()).collect();
    // burn passes shapes to its own kernels in the same way: it caches these buffers on the device by value. Writing a
    // fresh buffer would flush the command queue on every launch.
    let parameters =
        parameters.chunks(2).map(|pair| u64::from(pair[0]) | u64::from(*pair.get(1).unwrap_or(&0)) << 32);
    let parameters = MetadataBindingInfo::custom(parameters.collect());
    let workgroup = CubeDim::new_1d(kernel.workgroup());
    noted(&kernel.clone(), [x, y, z], || {
        client.launch(
            Box::new(SourceKernel::new(WgslSource(kernel), workgroup)),
            CubeCount::Static(x, y, z),
            KernelArguments::new().with_buffers(buffers).with_info(parameters),
        );
    });
}

/// WebGPU's `maxComputeWorkgroupsPerDimension`.
pub(crate) const MAX_WORKGROUPS: usize = 65_535;

static WORKGROUPS_OF_ROW: AtomicUsize = AtomicUsize::new(MAX_WORKGROUPS);

/// Test hook: lowers the workgroup count above which a dispatch wraps into a second dimension, so that small tensors
/// exercise that path. `None` restores WebGPU's limit.
pub fn limit_row(workgroups: Option<NonZeroUsize>) {
    let row = workgroups.map_or(MAX_WORKGROUPS, NonZeroUsize::get);
    WORKGROUPS_OF_ROW.store(row.min(MAX_WORKGROUPS), Ordering::Relaxed);
}

/// Distributes `count` workgroups over x and y. The product may exceed `count`.
pub(crate) fn spread(count: usize) -> [usize; 3] {
    let x = count.min(WORKGROUPS_OF_ROW.load(Ordering::Relaxed));
    [x, count.div_ceil(x), 1]
}
