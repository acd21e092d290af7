//! The term `spectral`: L1 of the error's complex spectrograms at several resolutions.
//!
//! ```text
//! mean over r of  mean (|Re E_r| + |Im E_r|) / ‖w_r‖,   E_r = STFT_r(ŝ − s),  hop n_r / 4
//! ```
//! The transform is linear, so one transform of the error replaces the two of estimate and target. Phase counts as
//! much as magnitude.
//!
//! The term is inspired by the multi-resolution loss of band-split RoFormer (Lu et al., arXiv:2309.02612) and differs
//! from it. The widely used implementation (lucidrains' BS-RoFormer) sums the L1 of five transforms that are not
//! normalised, and uses the modulus and a hop of 147 samples. Here the resolutions are averaged, each is divided by the
//! norm of its window, and |Re| + |Im| replaces the modulus, which makes the term depend on the phase of the error.
//! With equal weights, the ratio of this term to `waveform` is about 1.4 : 1 on white noise. The ratio of the other
//! implementation is about 120 : 1. docs/training.md compares weights of 0, 1 and 10.

use crate::loss::term::{Comparison, LossError, LossFunction, row_magnitudes};
use crate::settings::config::TrainConfig;
use burn::tensor::Tensor;
use unbraid_model::Recompute;
use unbraid_ops::{Stft, Summand, stft, sum_rows};

struct Spectral {
    resolutions: Vec<Resolution>,
    /// Process one row at a time and keep no spectrum for the backward pass.
    low_memory: bool,
}

/// A transform of `loss_resolutions`.
pub(super) struct Resolution {
    pub(super) plan: Stft,
    /// Factor of the mean magnitude of the real and imaginary parts.
    pub(super) share: f64,
}

impl Resolution {
    /// The STFT reflects half a frame at each end.
    pub(super) fn least_samples(&self) -> usize {
        self.plan.n_fft() / 2 + 1
    }

    /// `error [r, n]` → `[r]`
    fn value(&self, error: Tensor<2>) -> Tensor<1> {
        let spectra = stft(error, &self.plan);
        let [rows, frames, bins, parts] = spectra.dims();
        row_magnitudes(spectra.reshape([rows, frames * bins * parts])).mul_scalar(self.share)
    }
}

/// The transforms of `loss_resolutions`.
pub(super) fn resolutions(config: &TrainConfig) -> Result<Vec<Resolution>, LossError> {
    if config.loss_resolutions.is_empty() {
        return Err(LossError::NoResolution);
    }
    let resolution = |&n: &usize| {
        let plan = Stft::new(n, n / 4)?;
        let norm = plan.window().iter().map(|w| f64::from(w * w)).sum::<f64>().sqrt();
        // `mean` also averages over re and im: twice the mean is the mean of |Re| + |Im|.
        Ok(Resolution { plan, share: 2.0 / (norm * config.loss_resolutions.len() as f64) })
    };
    config.loss_resolutions.iter().map(resolution).collect()
}

/// Builds the term.
pub(crate) fn build(config: &TrainConfig) -> Result<Box<dyn LossFunction>, LossError> {
    let low_memory = config.recompute != Recompute::None;
    Ok(Box::new(Spectral { resolutions: resolutions(config)?, low_memory }))
}

impl LossFunction for Spectral {
    fn value(&self, signals: &Comparison) -> Tensor<1> {
        let error = &signals.error;
        let by_rows = self.low_memory && error.is_autodiff();
        signals.mean(if by_rows { self.by_rows(error) } else { self.at_once(error) })
    }

    fn least_samples(&self) -> usize {
        self.resolutions.iter().map(Resolution::least_samples).max().unwrap_or(1)
    }
}

impl Spectral {
    /// The term of each row of `error [r, n]`: `[r]`.
    fn at_once(&self, error: &Tensor<2>) -> Tensor<1> {
        let values = self.resolutions.iter().map(|resolution| resolution.value(error.clone()));
        values.reduce(|sum, value| sum + value).expect("built with at least one resolution")
    }

    /// The same values and gradient. Transforms one row at a time, and keeps only a gradient as large as the error.
    ///
    /// The term L is homogeneous: L(a e) = a L(e) for a > 0. By Euler's theorem it is the product of its argument and
    /// its gradient, L(e) = ⟨∇L(e), e⟩. With ∇L as a constant, this product has the value and the gradient of L.
    fn by_rows(&self, error: &Tensor<2>) -> Tensor<1> {
        let gradient = |row: Tensor<2>| {
            let row = row.autodiff().require_grad();
            row.grad(&self.at_once(&row).backward()).expect("the term depends on the row")
        };
        let gradients = error.clone().inner().split(1, 0).into_iter().map(gradient).collect();
        let products = error.clone() * Tensor::cat(gradients, 0).autodiff();
        sum_rows(products, Summand::Value)
    }
}
