//! The term `magnitude`: L1 of the magnitude spectrograms at several resolutions, which does not depend on phase.
//!
//! ```text
//! mean over r of  mean | |STFT_r(ŝ)| − |STFT_r(s)| | / ‖w_r‖,   |z| = √(Re² + Im² + ε)
//! ```
//! The resolutions and the normalisation are those of the term `spectral`. ε keeps the gradient at a bin of 0 finite: it
//! is 0 there.

use crate::loss::spectral::{Resolution, resolutions};
use crate::loss::term::{Comparison, LossError, LossFunction, row_magnitudes};
use crate::settings::config::TrainConfig;
use burn::tensor::Tensor;
use unbraid_model::Recompute;
use unbraid_ops::{Summand, stft, sum_rows};

/// Far below the power of a bin of dither, and far above the smallest f32.
const EPSILON: f64 = 1e-12;

struct Magnitude {
    resolutions: Vec<Resolution>,
    /// Process one row at a time and keep no spectrum for the backward pass.
    low_memory: bool,
}

/// Builds the term: plans the transforms of `loss_resolutions`.
pub(crate) fn build(config: &TrainConfig) -> Result<Box<dyn LossFunction>, LossError> {
    let low_memory = config.recompute != Recompute::None;
    Ok(Box::new(Magnitude { resolutions: resolutions(config)?, low_memory }))
}

impl LossFunction for Magnitude {
    fn value(&self, signals: &Comparison) -> Tensor<1> {
        let [b, s, c, n] = signals.estimate.dims();
        let rows = |signal: &Tensor<4>| signal.clone().reshape([b * s * c, n]);
        let (estimate, target) = (rows(&signals.estimate), rows(&signals.target));
        let by_rows = self.low_memory && estimate.is_autodiff();
        signals.mean(if by_rows { self.by_rows(estimate, target) } else { self.at_once(&estimate, &target) })
    }

    /// The STFT reflects half a frame at each end.
    fn least_samples(&self) -> usize {
        self.resolutions.iter().map(Resolution::least_samples).max().unwrap_or(1)
    }
}

impl Magnitude {
    /// The term of each row of `estimate [r, n]` and `target [r, n]`: `[r]`.
    fn at_once(&self, estimate: &Tensor<2>, target: &Tensor<2>) -> Tensor<1> {
        let values = self.resolutions.iter().map(|resolution| {
            let magnitude = |signal: &Tensor<2>| {
                let spectra = stft(signal.clone(), &resolution.plan);
                let [rows, frames, bins, _] = spectra.dims();
                let power = spectra.square().sum_dim(3).reshape([rows, frames * bins]);
                power.add_scalar(EPSILON).sqrt()
            };
            // `share` is 2 / (‖w‖ · resolutions), for the mean over real and imaginary parts.
            row_magnitudes(magnitude(estimate) - magnitude(target)).mul_scalar(resolution.share / 2.0)
        });
        values.reduce(|sum, value| sum + value).expect("built with at least one resolution")
    }

    /// The same values and gradient, one row at a time.
    ///
    /// With the value L₀ and the gradient g at x₀ as constants, L₀ + ⟨g, x⟩ − ⟨g, x₀⟩ has the value and the gradient of L
    /// at x = x₀. The two products have the same bits.
    fn by_rows(&self, estimate: Tensor<2>, target: Tensor<2>) -> Tensor<1> {
        let rows = estimate.clone().inner().split(1, 0).into_iter().zip(target.inner().split(1, 0));
        let (mut values, mut gradients) = (Vec::new(), Vec::new());
        for (row, target) in rows {
            let row = row.autodiff().require_grad();
            let value = self.at_once(&row, &target.autodiff());
            values.push(value.clone().inner());
            gradients.push(row.grad(&value.backward()).expect("the term depends on the row"));
        }
        let gradient = Tensor::cat(gradients, 0);
        let constant = sum_rows(gradient.clone() * estimate.clone().inner(), Summand::Value);
        let moving = sum_rows(gradient.autodiff() * estimate, Summand::Value);
        moving - constant.autodiff() + Tensor::cat(values, 0).autodiff()
    }
}
