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
    /// A factor of each stem's values. `None`: 1 for every stem.
    stem_weights: Option<Vec<f64>>,
    /// A factor of each stem's values in each item, `[b, s]`, instead of the weights.
    factors: Option<Tensor<2>>,
}

impl Comparison {
    /// Compares `estimate` with `target`, both `[b, s, c, n]`.
    pub fn new(estimate: Tensor<4>, target: Tensor<4>) -> Self {
        let [b, s, c, n] = estimate.dims();
        let error = (estimate.clone() - target.clone()).reshape([b * s * c, n]);
        Self { estimate, target, error, stem_weights: None, factors: None }
    }

    /// The same signals with a factor for each stem.
    pub(crate) fn with_stem_weights(self, weights: Option<Vec<f64>>) -> Self {
        Self { stem_weights: weights, ..self }
    }

    /// The same signals with a factor for each stem of each item, `[b, s]`.
    pub(crate) fn with_factors(self, factors: Tensor<2>) -> Self {
        Self { factors: Some(factors), ..self }
    }

    /// The mean over `values`, one of each stem, `[b · s]`, or of each channel of a stem, `[b · s · c]`, multiplied by the
    /// stems' factors: `[1]`.
    pub(crate) fn mean(&self, values: Tensor<1>) -> Tensor<1> {
        let [b, s, _, _] = self.estimate.dims();
        let channels = values.dims()[0] / (b * s);
        if let Some(factors) = &self.factors {
            let values = values.reshape([b * s, channels]).mean_dim(1).reshape([b, s]);
            return (values * factors.clone()).mean();
        }
        let Some(weights) = &self.stem_weights else { return values.mean() };
        let values = values.reshape([b, s, channels]);
        let of_stem = |(stem, weight): (usize, &f64)| {
            values.clone().narrow(1, stem, 1).mean().mul_scalar(weight / s as f64)
        };
        let sum = weights.iter().enumerate().map(of_stem).reduce(|sum, value| sum + value);
        sum.expect("a network has a stem")
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

/// `mean |x|` of each row of `x [r, n]`: `[r]`.
pub(crate) fn row_magnitudes(x: Tensor<2>) -> Tensor<1> {
    let [_, n] = x.dims();
    sum_rows(x, Summand::Magnitude).div_scalar(n as f64)
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
    /// A term of spectrograms has no transform.
    #[error("loss_resolutions names no transform size")]
    NoResolution,
    /// The settings give a weight to a stem that the network does not have.
    #[error("stem_weights: \"{name}\" is not a stem of the network; its stems are {}", stems.join(", "))]
    UnknownStem {
        /// The name in the settings.
        name: String,
        /// The stems of the network.
        stems: Vec<String>,
    },
    /// The weight of every stem is 0.
    #[error("stem_weights: the weight of every stem is 0")]
    NoStem,
    /// A transform size is not supported.
    #[error("loss_resolutions: {0}")]
    Transform(#[from] unbraid_ops::StftError),
}
