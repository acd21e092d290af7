//! The layers of the blocks and of the ends of the network.

use burn::module::{Module, Param};
use burn::nn::{Initializer, Linear};
use burn::tensor::{DType, Device, Tensor};
use unbraid_ops as ops;

/// The least norm that a vector is divided by.
const LEAST_NORM: f64 = 1e-12;

/// Root-mean-square normalisation of the last axis: `√c · x / ‖x‖ · γ` (Zhang and Sennrich, arXiv:1910.07467).
#[derive(Module, Debug)]
pub(crate) struct RmsNorm {
    gamma: Param<Tensor<1>>,
}

impl RmsNorm {
    pub(crate) fn new(channels: usize, device: &Device) -> Self {
        Self { gamma: Initializer::Ones.init([channels], device) }
    }

    /// `x [b, t, f, c]` → the same shape and type. It is computed in f32.
    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let dtype = x.dtype();
        let channels = x.dims()[3] as f64;
        let x = if dtype == DType::F32 { x } else { x.cast(DType::F32) };
        // The bound is applied to the square: the gradient of a square root at 0 is infinite.
        let norm = x.clone().square().sum_dim(3).clamp_min(LEAST_NORM * LEAST_NORM).sqrt();
        let y = x * (norm.recip() * channels.sqrt()) * self.gamma.val().unsqueeze::<4>();
        if dtype == DType::F32 { y } else { y.cast(dtype) }
    }
}

/// A linear map with the initial values of PyTorch's: uniform within `±1/√inputs`.
pub(crate) fn linear(inputs: usize, outputs: usize, bias: bool, device: &Device) -> Linear {
    let bound = 1.0 / (inputs as f64).sqrt();
    let uniform = Initializer::Uniform { min: -bound, max: bound };
    Linear {
        weight: uniform.init([inputs, outputs], device),
        bias: bias.then(|| uniform.init([outputs], device)),
    }
}

/// `map` applied to `x [.., inputs]`, in the precision of `x`.
pub(crate) fn mapped(map: &Linear, x: Tensor<4>) -> Tensor<4> {
    let bias = bias_of(map, &x);
    ops::linear(x, map.weight.val(), bias)
}

/// `residual` plus `map` applied to `x`.
pub(crate) fn added(map: &Linear, x: Tensor<4>, residual: Tensor<4>) -> Tensor<4> {
    let bias = bias_of(map, &x);
    ops::linear_add(x, map.weight.val(), bias, residual)
}

/// The same gradients as [`added`], without its output values.
pub(crate) fn added_for_gradients(map: &Linear, x: Tensor<4>, residual: Tensor<4>) -> Tensor<4> {
    let bias = bias_of(map, &x);
    ops::linear_add_for_gradients(x, map.weight.val(), bias, residual)
}

/// The bias of `map`, or zeros.
fn bias_of(map: &Linear, x: &Tensor<4>) -> Tensor<1> {
    match &map.bias {
        Some(bias) => bias.val(),
        None => Tensor::zeros([map.weight.dims()[1]], (&x.device(), DType::F32)),
    }
}
