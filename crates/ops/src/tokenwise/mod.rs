//! What happens to every token alone: layer normalisation and GELU.
//!
//! burn's own are chains of elementwise operations and reductions, each a pass over memory wherever it does not fuse
//! them, and its autodiff keeps what they leave between them; the slope of its GELU is not finite far out on some
//! GPUs. Here each is one pass forward and one backward (two for the normalisation's parameters), which keep the input
//! and no more.

pub(crate) mod cpu;
pub(crate) mod gpu;

pub use gpu::{TokenKernel, TokenPass};

use burn::backend::Dispatch;
use burn::tensor::{DType, FloatDType, Tensor};

use crate::backend::TokenOps;

/// Added to the variance of [`layer_norm`].
pub(crate) const EPSILON: f64 = 1e-5;

/// `x · Φ(x)`, Φ the standard normal distribution function (Hendrycks and Gimpel, arXiv:1606.08415). `x` is f32 or
/// f16.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::token_gelu(x.into_dispatch()))
}

/// `γ · (x − mean) / √(variance + 1e-5) + β` over the last axis (Ba et al., arXiv:1607.06450).
///
/// `x [.., c]` f32 or f16, `gamma [c]`, `beta [c]`; differentiable with respect to all three. Sums are f32.
///
/// # Panics
/// If `gamma` or `beta` is not as long as the last axis.
pub fn layer_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, beta: Tensor<1>) -> Tensor<D> {
    let channels = x.dims()[D - 1];
    assert_eq!([gamma.dims(), beta.dims()], [[channels]; 2], "one scale and one offset a channel");
    let [gamma, beta] = [gamma, beta].map(|parameter| match parameter.dtype() {
        DType::F32 => parameter,
        _ => parameter.cast(FloatDType::F32),
    });
    let [x, gamma, beta] = [x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch()];
    Tensor::from_dispatch(Dispatch::token_layer_norm(x, gamma, beta))
}
