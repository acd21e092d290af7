//! The burn binding of packing: backends and fusion.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
#[cfg(not(target_family = "wasm"))]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::CubeBackend;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
#[cfg(not(target_family = "wasm"))]
use burn::tensor::DType;
use burn::tensor::Shape;

use super::layout::{PARTS, packed_length};
use super::{cpu, gpu};
use crate::runtime::flex::{flex_tensor, floats};
use crate::runtime::launch::GpuArray;

/// Packing as a backend implements it.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(not(target_family = "wasm")))]
pub(crate) trait PackOps: Backend {
    /// Concatenates the first `lengths` elements of each part, padded.
    #[fusion(meta = |_a, _b, _c, _d, _e, _f, lengths| {
        TensorSpec::new(Shape::new([packed_length(lengths)]), DType::F32)
    })]
    fn pack_six(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        lengths: [usize; PARTS],
    ) -> FloatTensor<Self>;

    /// The same tensor, stored without gaps.
    #[fusion(meta = |x| x.clone())]
    fn make_contiguous(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl PackOps for Flex {
    fn pack_six(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        lengths: [usize; PARTS],
    ) -> FloatTensor<Self> {
        let parts = [a, b, c, d, e, f].map(|part| part.to_contiguous());
        let dtype = parts[0].dtype();
        let parts: Vec<_> = parts.iter().map(floats).collect();
        let parts: Vec<&[f32]> = parts.iter().map(AsRef::as_ref).collect();
        flex_tensor(cpu::pack(&parts, &lengths), Shape::new([packed_length(&lengths)]), dtype)
    }

    fn make_contiguous(x: FloatTensor<Self>) -> FloatTensor<Self> {
        x.to_contiguous()
    }
}

impl PackOps for CubeBackend {
    fn pack_six(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        lengths: [usize; PARTS],
    ) -> FloatTensor<Self> {
        gpu::pack(&[a, b, c, d, e, f].map(GpuArray::new), &lengths).0
    }

    fn make_contiguous(x: FloatTensor<Self>) -> FloatTensor<Self> {
        GpuArray::new(x).0
    }
}

impl<B: PackOps, C: CheckpointStrategy> PackOps for Autodiff<B, C> {
    fn pack_six(
        _a: FloatTensor<Self>,
        _b: FloatTensor<Self>,
        _c: FloatTensor<Self>,
        _d: FloatTensor<Self>,
        _e: FloatTensor<Self>,
        _f: FloatTensor<Self>,
        _lengths: [usize; PARTS],
    ) -> FloatTensor<Self> {
        panic!("packed parts must not be tracked by autodiff")
    }

    fn make_contiguous(_x: FloatTensor<Self>) -> FloatTensor<Self> {
        panic!("a copied slice must not be tracked by autodiff")
    }
}
