//! The interface of a term of the loss, and the signals that it compares.

use burn::tensor::Tensor;
use unbraid_ops::{Summand, sum_rows};

/// The signals that a term compares.
///
/// All terms of a step share these tensors, so the error is computed once and enters the autodiff graph once.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The network's output, `[b, s, c, n]`.
    pub estimate: Tensor<4>,
    /// The references, `[b, s, c, n]`.
    pub target: Tensor<4>,
    /// Estimate minus target, one channel of one stem per row: `[b · s · c, n]`.
    pub error: Tensor<2>,
}

impl Comparison {
    /// Compares `estimate` with `target`, both `[b, s, c, n]`.
    pub fn new(estimate: Tensor<4>, target: Tensor<4>) -> Self {
        let [b, s, c, n] = estimate.dims();
        let error = (estimate.clone() - target.clone()).reshape([b * s * c, n]);
        Self { estimate, target, error }
    }
}

/// The function of a term.
pub(crate) trait LossFunction: Send + Sync {
    /// The term's value, `[1]`, without its weight: a mean over the items of the batch, so that the batch's value is
    /// the weighted mean of the values of its parts. It must be differentiable in the estimate.
    fn value(&self, signals: &Comparison) -> Tensor<1>;

    /// Minimum length of the signals in samples.
    fn least_samples(&self) -> usize {
        1
    }
}

/// `mean |x|` of all elements of `x [r, n]`: `[1]`.
pub(crate) fn mean_magnitude(x: Tensor<2>) -> Tensor<1> {
    let [_, n] = x.dims();
    sum_rows(x, Summand::Magnitude).mean().div_scalar(n as f64)
}

/// The reason why the loss cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum LossError {
    /// The settings give a weight to a term that does not exist.
    #[error("\"{name}\" is not a loss term; the terms are {}", known.join(", "))]
    Unknown {
        /// The name in the settings.
        name: String,
        /// The names that exist.
        known: Vec<&'static str>,
    },
    /// The settings give no term a weight above 0.
    #[error("no loss term has a weight above 0")]
    NoTerm,
    /// The spectral term has no transform.
    #[error("loss_resolutions names no transform size")]
    NoResolution,
    /// A transform size of the spectral term is not supported.
    #[error("loss_resolutions: {0}")]
    Transform(#[from] unbraid_ops::StftError),
}
