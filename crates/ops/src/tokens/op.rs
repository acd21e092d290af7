//! The public functions on tokens.

use burn::backend::Dispatch;
use burn::tensor::{DType, FloatDType, Tensor};

use super::burn::TokenOps;

/// GELU: `x · Φ(x)`, where Φ is the standard normal distribution function (Hendrycks and Gimpel, arXiv:1606.08415). `x`
/// is f32 or f16. Differentiable.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::token_gelu(x.into_dispatch()))
}

/// Layer normalisation of the last axis: `γ · (x − mean) / √(variance + 1e-5) + β` (Ba et al., arXiv:1607.06450).
///
/// `x [.., c]` (f32 or f16), `gamma [c]` and `beta [c]`. Differentiable with respect to all three. Sums are f32.
///
/// # Panics
/// If the length of `gamma` or `beta` differs from that of the last axis.
pub fn layer_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, beta: Tensor<1>) -> Tensor<D> {
    let channels = x.dims()[D - 1];
    assert_eq!([gamma.dims(), beta.dims()], [[channels]; 2], "one scale and one offset per channel");
    let [gamma, beta] = [gamma, beta].map(|parameter| match parameter.dtype() {
        DType::F32 => parameter,
        _ => parameter.cast(FloatDType::F32),
    });
    let [x, gamma, beta] = [x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch()];
    Tensor::from_dispatch(Dispatch::token_layer_norm(x, gamma, beta))
}
