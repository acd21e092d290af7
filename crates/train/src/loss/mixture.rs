//! The term `mixture`: the mean absolute difference between the sum of the estimates and the sum of the references,
//! `mean |Σ ŝ − Σ s|`. The sum of the references is the mixture, so the term asks the estimates to share it completely.

use crate::loss::term::{Comparison, LossError, LossFunction, row_magnitudes};
use crate::settings::config::TrainConfig;
use burn::tensor::Tensor;

struct Mixture;

/// Builds the term.
pub(crate) fn build(_config: &TrainConfig) -> Result<Box<dyn LossFunction>, LossError> {
    Ok(Box::new(Mixture))
}

impl LossFunction for Mixture {
    /// The stems' weights have no meaning for their sum.
    fn value(&self, signals: &Comparison) -> Tensor<1> {
        let [b, s, c, n] = signals.estimate.dims();
        let sum = signals.error.clone().reshape([b, s, c, n]).sum_dim(1);
        row_magnitudes(sum.reshape([b * c, n])).mean()
    }
}
