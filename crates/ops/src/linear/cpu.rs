//! Linear maps on the CPU: burn's matrix products, in f32.

use burn::backend::Flex;
use burn::backend::TensorMetadata;
use burn::backend::ops::{FloatTensorOps, ModuleOps};
use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, FloatDType};

use super::output::{Output, with_channels};

type Array = FloatTensor<Flex>;

/// `x [.., inputs]`, `weight [inputs, outputs]` and `bias [outputs]` → `[.., outputs]`.
pub(crate) fn forward(x: Array, weight: Array, bias: Array, output: Output) -> Array {
    let dtype = x.dtype();
    if output == Output::Undefined {
        let shape = with_channels(&x.shape(), weight.shape()[1]);
        return Flex::float_empty(shape, &Default::default(), dtype.into());
    }
    stored(Flex::linear(widened(x), weight, Some(bias)), dtype)
}

/// `x W + bias + residual`. `residual` has the shape and the type of the output.
pub(crate) fn forward_add(x: Array, [weight, bias]: [Array; 2], residual: Array, output: Output) -> Array {
    let dtype = residual.dtype();
    if output == Output::Undefined {
        return Flex::float_empty(residual.shape(), &Default::default(), dtype.into());
    }
    let mapped = Flex::linear(widened(x), weight, Some(bias));
    stored(Flex::float_add(mapped, widened(residual)), dtype)
}

/// `gradient [.., outputs]` and `weight [inputs, outputs]` → `[.., inputs]`.
pub(crate) fn input_gradient(gradient: Array, weight: Array) -> Array {
    let dtype = gradient.dtype();
    stored(Flex::linear_x_backward(weight, widened(gradient)), dtype)
}

/// The gradients of weight `[inputs, outputs]` and bias `[outputs]`, in f32.
pub(crate) fn parameter_gradients(x: Array, gradient: Array) -> (Array, Array) {
    let gradient = widened(gradient);
    (Flex::linear_weight_backward(widened(x), gradient.clone()), Flex::linear_bias_backward(gradient))
}

/// The tensor in f32, the type of the parameters.
fn widened(tensor: Array) -> Array {
    if tensor.dtype() == DType::F32 { tensor } else { Flex::float_cast(tensor, FloatDType::F32) }
}

/// An f32 tensor in its storage type.
fn stored(tensor: Array, dtype: DType) -> Array {
    if dtype == DType::F32 { tensor } else { Flex::float_cast(tensor, dtype.into()) }
}
