//! The term `waveform`: the mean absolute error of the samples, `mean |ŝ − s|`.

use crate::loss::term::{Comparison, LossError, LossFunction, mean_magnitude};
use crate::settings::config::TrainConfig;
use burn::tensor::Tensor;

struct Waveform;

/// Builds the term.
pub(crate) fn build(_config: &TrainConfig) -> Result<Box<dyn LossFunction>, LossError> {
    Ok(Box::new(Waveform))
}

impl LossFunction for Waveform {
    fn value(&self, signals: &Comparison) -> Tensor<1> {
        mean_magnitude(signals.error.clone())
    }
}
