//! The term `mse`: the mean squared error of the samples, `mean (ŝ − s)²`.

use crate::loss::term::{Comparison, LossError, LossFunction};
use crate::settings::config::TrainConfig;
use burn::tensor::Tensor;
use unbraid_ops::{Summand, sum_rows};

struct Mse;

/// Builds the term.
pub(crate) fn build(_config: &TrainConfig) -> Result<Box<dyn LossFunction>, LossError> {
    Ok(Box::new(Mse))
}

impl LossFunction for Mse {
    fn value(&self, signals: &Comparison) -> Tensor<1> {
        let error = signals.error.clone();
        let [_, n] = error.dims();
        signals.mean(sum_rows(error, Summand::Square).div_scalar(n as f64))
    }
}
