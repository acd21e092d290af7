//! A linear map of every token, with kernels of its own on wgpu.
//!
//! burn's matrix product brings kernels of a thousand lines, one for every combination of shapes: thirty for a network.
//! Here are three for all shapes, in two sizes of tile. They read weights in f32 whatever the tokens are stored in, add
//! the bias on the way, and gradients of weights stay f32. On the CPU the products are burn's.

pub(crate) mod gpu;

pub use gpu::{LinearKernel, LinearPass};

use burn::backend::Dispatch;
use burn::tensor::{DType, FloatDType, Shape, Tensor};

use crate::backend::LinearOps;

/// `x W + bias` over the last axis.
///
/// `x [.., inputs]` f32 or f16, `weight [inputs, outputs]`, `bias [outputs]` → `[.., outputs]` in the type of `x`;
/// differentiable with respect to all three. Sums are f32.
///
/// # Panics
/// If the extents do not fit each other.
pub fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<D> {
    mapped(x, weight, bias, Values::Computed)
}

/// The gradients of [`linear`] without its values: what it gives has the shape of `x W + bias` and may hold anything.
/// For the end of a graph of which gradients alone are wanted.
///
/// # Panics
/// If the extents do not fit each other.
pub fn linear_for_gradients<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<D> {
    mapped(x, weight, bias, Values::Left)
}

/// Whether an operation computes what it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    Computed,
    /// Left as the memory was.
    Left,
}

/// The same shape, its last extent another.
pub(crate) fn with_channels(shape: &Shape, channels: usize) -> Shape {
    let mut shape = shape.clone();
    let last = shape.num_dims() - 1;
    shape[last] = channels;
    shape
}

fn mapped<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Tensor<1>, values: Values) -> Tensor<D> {
    let [inputs, outputs] = weight.dims();
    assert_eq!(
        (x.dims()[D - 1], bias.dims()),
        (inputs, [outputs]),
        "a linear map from {inputs} to {outputs}"
    );
    let weight = if weight.dtype() == DType::F32 { weight } else { weight.cast(FloatDType::F32) };
    let bias = if bias.dtype() == DType::F32 { bias } else { bias.cast(FloatDType::F32) };
    let [x, weight, bias] = [x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    Tensor::from_dispatch(Dispatch::linear_forward(x, weight, bias, values))
}
