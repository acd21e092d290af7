//! The public functions of linear maps.

use burn::backend::Dispatch;
use burn::tensor::{DType, FloatDType, Tensor};

use super::burn::LinearOps;
use super::output::Output;

/// The linear map `x W + bias` of the last axis.
///
/// `x [.., inputs]` (f32 or f16), `weight [inputs, outputs]` and `bias [outputs]` → `[.., outputs]` in the type of `x`.
/// Differentiable with respect to all three. Sums are f32.
///
/// # Panics
/// If the shapes contradict each other.
pub fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<D> {
    mapped(x, weight, bias, Output::Computed)
}

/// [`linear`] for graphs whose output is not needed, only its gradients: the output has the shape of `x W + bias` and
/// undefined contents, and the gradients are those of [`linear`].
///
/// # Panics
/// If the shapes contradict each other.
pub fn linear_for_gradients<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<D> {
    mapped(x, weight, bias, Output::Undefined)
}

fn mapped<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Tensor<1>, output: Output) -> Tensor<D> {
    let [inputs, outputs] = weight.dims();
    assert_eq!(
        (x.dims()[D - 1], bias.dims()),
        (inputs, [outputs]),
        "a linear map from {inputs} to {outputs}"
    );
    let weight = if weight.dtype() == DType::F32 { weight } else { weight.cast(FloatDType::F32) };
    let bias = if bias.dtype() == DType::F32 { bias } else { bias.cast(FloatDType::F32) };
    let [x, weight, bias] = [x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    Tensor::from_dispatch(Dispatch::linear_forward(x, weight, bias, output))
}
