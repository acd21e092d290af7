//! What happens to every token alone: layer normalisation and GELU.
//!
//! On GPUs these are burn's own operations, which its fusion joins to their neighbours. Its CPU backend takes a
//! pass over memory for every elementary operation of them and the error function one number at a time, which
//! made them half of a training step; there each is one vectorised pass forward and one backward.

pub(crate) mod cpu;

use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Tensor, activation, module};

use crate::backend::TokenOps;

/// Added to the variance of [`layer_norm`].
pub(crate) const EPSILON: f64 = 1e-5;

/// `x · Φ(x)`, Φ the standard normal distribution function (Hendrycks and Gimpel, arXiv:1606.08415).
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !has_own_path(&x) {
        return activation::gelu(x);
    }
    Tensor::from_dispatch(Dispatch::token_gelu(x.into_dispatch()))
}

/// `γ · (x − mean) / √(variance + 1e-5) + β` over the last axis (Ba et al., arXiv:1607.06450).
///
/// `x [.., c]`, `gamma [c]`, `beta [c]`; differentiable with respect to all three.
///
/// # Panics
/// If `gamma` or `beta` is not as long as the last axis.
pub fn layer_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, beta: Tensor<1>) -> Tensor<D> {
    let channels = x.dims()[D - 1];
    assert_eq!([gamma.dims(), beta.dims()], [[channels]; 2], "one scale and one offset a channel");
    if !has_own_path(&x) {
        return module::layer_norm(x, gamma, Some(beta), EPSILON);
    }
    let [x, gamma, beta] = [x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch()];
    Tensor::from_dispatch(Dispatch::token_layer_norm(x, gamma, beta))
}

fn has_own_path<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && x.device().without_autodiff() == Device::flex()
}
