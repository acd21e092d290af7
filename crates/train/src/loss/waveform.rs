//! The term `waveform`: the mean absolute error of the samples, `mean |ŝ − s|`.

use crate::loss::term::{Comparison, LossError, LossFunction, row_magnitudes};
use crate::settings::config::TrainConfig;
use burn::tensor::Tensor;

struct Waveform;

/// Builds the term.
pub(crate) fn build(_config: &TrainConfig) -> Result<Box<dyn LossFunction>, LossError> {
    Ok(Box::new(Waveform))
}

impl LossFunction for Waveform {
    fn value(&self, signals: &Comparison) -> Tensor<1> {
        signals.mean(row_magnitudes(signals.error.clone()))
    }
}
