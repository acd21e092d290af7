//! The layers of the blocks and of the network.

use burn::module::{Param, ParamId};
use burn::nn::{Initializer, LayerNorm, Linear};
use burn::tensor::{Device, Tensor, TensorData};
use unbraid_ops as ops;

/// A linear map with initial weights of `initializer` and a bias of zeros.
pub(crate) fn linear(inputs: usize, outputs: usize, initializer: &Initializer, device: &Device) -> Linear {
    Linear {
        weight: initializer.init_with([inputs, outputs], Some(inputs), Some(outputs), device),
        bias: Some(Initializer::Zeros.init([outputs], device)),
    }
}

/// Uniform weights of variance `gain² / (3 · inputs)`.
pub(crate) fn uniform(gain: f64) -> Initializer {
    Initializer::KaimingUniform { gain: gain / 3f64.sqrt(), fan_out_only: false }
}

/// A parameter with the given initial values.
pub(crate) fn starting_at<const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &Device,
) -> Param<Tensor<D>> {
    let start = move |device: &Device, require_grad: bool| {
        let tensor = Tensor::from_data(TensorData::new(values.clone(), shape), device);
        if require_grad { tensor.require_grad() } else { tensor }
    };
    Param::uninitialized(ParamId::new(), start, device.clone(), true, shape.into())
}

/// `map` applied to `x [.., inputs]`, in the precision of `x`.
pub(crate) fn mapped(map: &Linear, x: Tensor<4>) -> Tensor<4> {
    let bias = map.bias.as_ref().expect("made with a bias").val();
    ops::linear(x, map.weight.val(), bias)
}

/// `residual` plus `map` applied to `x`.
pub(crate) fn added(map: &Linear, x: Tensor<4>, residual: Tensor<4>) -> Tensor<4> {
    let bias = map.bias.as_ref().expect("made with a bias").val();
    ops::linear_add(x, map.weight.val(), bias, residual)
}

/// The same gradients as [`added`], without its output values.
pub(crate) fn added_for_gradients(map: &Linear, x: Tensor<4>, residual: Tensor<4>) -> Tensor<4> {
    let bias = map.bias.as_ref().expect("made with a bias").val();
    ops::linear_add_for_gradients(x, map.weight.val(), bias, residual)
}

/// The layer normalisation `norm` of `x [b, t, f, c]`.
pub(crate) fn normalised(norm: &LayerNorm, x: Tensor<4>) -> Tensor<4> {
    let offset = norm.beta.as_ref().expect("made with an offset").val();
    ops::layer_norm(x, norm.gamma.val(), offset)
}
