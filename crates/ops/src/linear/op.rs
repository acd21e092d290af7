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

/// [`linear`] added to `residual`, which has the shape and the type of the output: `x W + bias + residual`.
/// Differentiable with respect to all four.
///
/// # Panics
/// If the shapes or the types contradict each other.
pub fn linear_add<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    residual: Tensor<D>,
) -> Tensor<D> {
    added(x, weight, bias, residual, Output::Computed)
}

/// [`linear_add`] for graphs whose output is not needed, only its gradients, as [`linear_for_gradients`] is for
/// [`linear`].
///
/// # Panics
/// If the shapes or the types contradict each other.
pub fn linear_add_for_gradients<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    residual: Tensor<D>,
) -> Tensor<D> {
    added(x, weight, bias, residual, Output::Undefined)
}

fn mapped<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Tensor<1>, output: Output) -> Tensor<D> {
    let (weight, bias) = parameters(&x, weight, bias);
    let [x, weight, bias] = [x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    Tensor::from_dispatch(Dispatch::linear_forward(x, weight, bias, output))
}

fn added<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    residual: Tensor<D>,
    output: Output,
) -> Tensor<D> {
    let mut shape = x.dims();
    shape[D - 1] = weight.dims()[1];
    assert_eq!(
        (residual.dims(), residual.dtype()),
        (shape, x.dtype()),
        "a residual of the output's shape and type"
    );
    let (weight, bias) = parameters(&x, weight, bias);
    let [x, weight] = [x.into_dispatch(), weight.into_dispatch()];
    let [bias, residual] = [bias.into_dispatch(), residual.into_dispatch()];
    Tensor::from_dispatch(Dispatch::linear_add_forward(x, weight, bias, residual, output))
}

/// Weight and bias of a map of `x` in f32.
fn parameters<const D: usize>(x: &Tensor<D>, weight: Tensor<2>, bias: Tensor<1>) -> (Tensor<2>, Tensor<1>) {
    let [inputs, outputs] = weight.dims();
    assert_eq!(
        (x.dims()[D - 1], bias.dims()),
        (inputs, [outputs]),
        "a linear map from {inputs} to {outputs}"
    );
    let weight = if weight.dtype() == DType::F32 { weight } else { weight.cast(FloatDType::F32) };
    let bias = if bias.dtype() == DType::F32 { bias } else { bias.cast(FloatDType::F32) };
    (weight, bias)
}
