//! The term `si_sdr`: the negative scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019), averaged over
//! the stems.
//!
//! ```text
//! −10 log₁₀ ((‖αs‖² + δ) / (‖ŝ − αs‖² + δ)),   α = ⟨ŝ, s⟩ / (‖s‖² + δ)
//! ```
//! Norms and products are means over the samples of both channels. δ is the power of −80 dBFS. It bounds the term: the
//! value of a perfect estimate is that of a noise at −80 dBFS, and for a silent reference the term is
//! `10 log₁₀ (‖ŝ‖² / δ + 1)`, which falls as the estimate becomes silent.

use crate::loss::term::{Comparison, LossError, LossFunction};
use crate::settings::config::TrainConfig;
use burn::tensor::Tensor;
use unbraid_ops::{Summand, sum_rows};

/// The power below which a second of a stem counts as silent in the scores.
const DELTA: f64 = 1e-8;

struct SiSdr;

/// Builds the term.
pub(crate) fn build(_config: &TrainConfig) -> Result<Box<dyn LossFunction>, LossError> {
    Ok(Box::new(SiSdr))
}

impl LossFunction for SiSdr {
    fn value(&self, signals: &Comparison) -> Tensor<1> {
        let [b, s, c, n] = signals.estimate.dims();
        let rows = |signal: &Tensor<4>| signal.clone().reshape([b * s, c * n]);
        let mean = |x: Tensor<2>, summand| sum_rows(x, summand).div_scalar((c * n) as f64);
        let (estimate, target) = (rows(&signals.estimate), rows(&signals.target));
        let product = mean(estimate.clone() * target.clone(), Summand::Value);
        let alpha = product / mean(target.clone(), Summand::Square).add_scalar(DELTA);
        let scaled = target * alpha.reshape([b * s, 1]);
        // The residual itself: ‖ŝ‖² − ‖αs‖² would cancel in f32.
        let distortion = mean(estimate - scaled.clone(), Summand::Square).add_scalar(DELTA);
        let signal = mean(scaled, Summand::Square).add_scalar(DELTA);
        let decibel = 10.0 / std::f64::consts::LN_10;
        signals.mean((distortion.log() - signal.log()).mul_scalar(decibel))
    }
}
