//! The training loss: L1 on the waveform plus L1 on complex spectrograms of several resolutions.
//!
//! ```text
//! L  = λ_w · mean |e|  +  λ_s · mean over r of  mean (|Re E_r| + |Im E_r|) / ‖w_r‖,   e = ŝ − s,  E_r = STFT_r(e)
//! ```
//! The transform is linear, so one transform of the error replaces two (of estimate and target), and phase
//! counts as much as magnitude: what is learnt is what uSDR measures. The multi-resolution complex L1 is
//! that of band-split RoFormer's training (Lu et al., arXiv:2309.02612); dividing by the window's norm makes
//! white noise weigh about the same in every resolution and on the waveform. The derivative of |x| at 0 is
//! taken as 0, so a perfect estimate (or digital silence) gives a zero gradient, not a NaN.

use crate::settings::config::TrainConfig;
use burn::tensor::Tensor;
use unbraid_model::Recompute;
use unbraid_ops::{Stft, StftError, stft};

/// The loss's parts, each of one element; `total` carries the weights.
pub struct LossParts {
    /// What is minimised.
    pub total: Tensor<1>,
    /// Mean absolute error of the waveform, unweighted.
    pub waveform: Tensor<1>,
    /// Mean over the resolutions of the spectral L1, unweighted.
    pub spectral: Tensor<1>,
}

/// The loss, with its transforms planned once.
#[derive(Debug, Clone)]
pub struct Loss {
    waveform: f64,
    spectral: f64,
    resolutions: Vec<Resolution>,
    /// One spectrum at a time, none kept.
    thrifty: bool,
}

/// The spectral loss at one resolution.
#[derive(Debug, Clone)]
struct Resolution {
    plan: Stft,
    /// What the mean magnitude of real and imaginary parts counts in the loss.
    share: f64,
}

impl Resolution {
    /// `error [r, n]` → `[1]`
    fn of(&self, error: Tensor<2>) -> Tensor<1> {
        stft(error, &self.plan).abs().mean().mul_scalar(self.share)
    }
}

impl Loss {
    /// Plans the transforms of `config.loss_resolutions`.
    pub fn new(config: &TrainConfig) -> Result<Self, StftError> {
        let resolution = |&n: &usize| {
            let plan = Stft::new(n, n / 4)?;
            let norm = plan.window().iter().map(|w| f64::from(w * w)).sum::<f64>().sqrt();
            // mean() also averages over re and im: twice it is the mean of |Re| + |Im|.
            Ok(Resolution { plan, share: 2.0 / (norm * config.loss_resolutions.len() as f64) })
        };
        let weight = |name| config.loss.get(name).copied().unwrap_or(0.0);
        Ok(Self {
            waveform: weight("waveform"),
            spectral: weight("spectral"),
            resolutions: config.loss_resolutions.iter().map(resolution).collect::<Result<_, _>>()?,
            thrifty: config.recompute != Recompute::None,
        })
    }

    /// `estimate`, `target` `[b, s, c, n]` → the loss over all of them.
    pub fn forward(&self, estimate: Tensor<4>, target: Tensor<4>) -> LossParts {
        let [b, s, c, n] = estimate.dims();
        let error = (estimate - target).reshape([b * s * c, n]);
        let waveform = error.clone().abs().mean();
        let mut total = waveform.clone().mul_scalar(self.waveform);
        if self.spectral == 0.0 {
            return LossParts { total, spectral: waveform.zeros_like(), waveform };
        }
        let thrifty = self.thrifty && error.is_autodiff();
        let spectral = if thrifty { self.spectral_by_rows(error) } else { self.spectral(&error) };
        total = total + spectral.clone().mul_scalar(self.spectral);
        LossParts { total, waveform, spectral }
    }

    /// The spectral loss of `error [r, n]`.
    fn spectral(&self, error: &Tensor<2>) -> Tensor<1> {
        let losses = self.resolutions.iter().map(|resolution| resolution.of(error.clone()));
        losses.reduce(|sum, loss| sum + loss).expect("validated: at least one resolution")
    }

    /// The same, with one row's spectra at a time and nothing kept but a gradient as large as the error.
    ///
    /// The loss L is homogeneous: L(a e) = a L(e) for a > 0. So it is the product of its argument with its own gradient
    /// (Euler's theorem), L(e) = ⟨∇L(e), e⟩; and that product, ∇L a constant, has the value and the gradient of L.
    fn spectral_by_rows(&self, error: Tensor<2>) -> Tensor<1> {
        let rows = error.dims()[0];
        let gradient = |row: Tensor<2>| {
            let row = row.autodiff().require_grad();
            let loss = self.spectral(&row).div_scalar(rows as f64);
            row.grad(&loss.backward()).expect("the loss depends on the row")
        };
        let gradients = error.clone().inner().split(1, 0).into_iter().map(gradient).collect();
        (error * Tensor::cat(gradients, 0).autodiff()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution, TensorData};

    fn loss(resolutions: &[usize]) -> Loss {
        Loss::new(&TrainConfig { loss_resolutions: resolutions.to_vec(), ..Default::default() }).unwrap()
    }

    #[test]
    fn row_by_row_loss_and_gradient_are_the_same() {
        let device = Device::flex().autodiff();
        let config = TrainConfig { loss_resolutions: vec![256, 512], ..Default::default() };
        let (plain, rows) = (
            Loss::new(&config).unwrap(),
            Loss::new(&TrainConfig { recompute: Recompute::Sublayer, ..config }).unwrap(),
        );
        let (estimate, target) = (random(&device, [1, 2, 2, 900]), random(&device, [1, 2, 2, 900]));
        let run = |loss: &Loss| {
            let x = estimate.clone().inner().autodiff().require_grad();
            let parts = loss.forward(x.clone(), target.clone());
            let total = value(parts.total.clone().inner());
            (
                total,
                x.grad(&parts.total.backward()).unwrap().into_data_as::<f32>().try_to_vec::<f32>().unwrap(),
            )
        };
        let ((plain, gradient), (again, recomputed)) = (run(&plain), run(&rows));
        assert!((plain - again).abs() < 1e-6 * plain, "{plain} {again}");
        for (a, b) in gradient.iter().zip(&recomputed) {
            assert!((a - b).abs() < 1e-6 * gradient[0].abs().max(1e-3), "{a} {b}");
        }
    }

    fn random(device: &Device, dims: [usize; 4]) -> Tensor<4> {
        Tensor::random(dims, Distribution::Normal(0.0, 1.0), device)
    }

    fn value(x: Tensor<1>) -> f64 {
        f64::from(x.into_scalar::<f32>())
    }

    /// Straight from the formula above, in f64, with a plain Fourier sum.
    fn naive(error: &[f32], n_fft: usize) -> f64 {
        let (hop, pad, n) = (n_fft / 4, n_fft / 2, error.len() as isize);
        let reflect = |i: isize| {
            let i = if i < 0 { -i } else { i };
            f64::from(error[if i >= n { 2 * (n - 1) - i } else { i } as usize])
        };
        let window: Vec<f64> = (0..n_fft)
            .map(|i| 0.5 - 0.5 * (2.0 * std::f64::consts::PI * i as f64 / n_fft as f64).cos())
            .collect();
        let norm = window.iter().map(|w| w * w).sum::<f64>().sqrt();
        let (mut sum, mut count) = (0.0, 0);
        for frame in 0..=error.len() / hop {
            for bin in 0..=n_fft / 2 {
                let (mut re, mut im) = (0.0, 0.0);
                for i in 0..n_fft {
                    let x = window[i] * reflect((frame * hop + i) as isize - pad as isize);
                    let angle = -2.0 * std::f64::consts::PI * (bin * i % n_fft) as f64 / n_fft as f64;
                    re += x * angle.cos();
                    im += x * angle.sin();
                }
                sum += (re.abs() + im.abs()) / norm;
                count += 1;
            }
        }
        sum / f64::from(count)
    }

    #[test]
    fn matches_the_formula() {
        let device = Device::flex();
        let error = random(&device, [1, 1, 1, 700]);
        let samples = error.to_data_as::<f32>().try_to_vec::<f32>().unwrap();
        let parts = loss(&[256, 512]).forward(error.clone(), error.zeros_like());
        let waveform = samples.iter().map(|x| f64::from(x.abs())).sum::<f64>() / 700.0;
        let spectral = (naive(&samples, 256) + naive(&samples, 512)) / 2.0;
        assert!((value(parts.waveform) - waveform).abs() < 1e-5 * waveform);
        assert!((value(parts.spectral) - spectral).abs() < 1e-5 * spectral);
        assert!((value(parts.total) - waveform - spectral).abs() < 1e-5 * (waveform + spectral));
    }

    /// The reason for the division by the window's norm: no resolution drowns the others.
    #[test]
    fn white_noise_weighs_alike_in_every_resolution() {
        let device = Device::flex();
        let noise = random(&device, [1, 1, 2, 8000]);
        let of = |n| value(loss(&[n]).forward(noise.clone(), noise.zeros_like()).spectral);
        let (short, long) = (of(256), of(2048));
        assert!((short / long - 1.0).abs() < 0.1, "{short} against {long}");
    }

    #[test]
    fn gradient_agrees_with_finite_differences_and_is_zero_at_the_target() {
        let device = Device::flex().autodiff();
        let loss = loss(&[256]);
        let target = random(&device, [1, 2, 2, 400]);
        let x = (target.clone() + random(&device, [1, 2, 2, 400])).inner().autodiff().require_grad();
        let gradient = x.grad(&loss.forward(x.clone(), target.clone()).total.backward()).unwrap();
        let direction = random(&device.clone().inner(), [1, 2, 2, 400]);
        let along = value((gradient * direction.clone()).sum());
        let step = 1e-3;
        let at = |sign: f64| {
            let moved = x.clone().inner() + direction.clone().mul_scalar(sign * step);
            value(loss.forward(moved, target.clone().inner()).total)
        };
        let difference = (at(1.0) - at(-1.0)) / (2.0 * step);
        // |x| is not smooth and the sum is in f32: agreement to a percent of the slope's scale.
        assert!(
            (along - difference).abs() < 0.02 * difference.abs().max(0.1),
            "{along} against {difference}"
        );

        let x = target.clone().inner().autodiff().require_grad();
        let gradient = x.grad(&loss.forward(x.clone(), target).total.backward()).unwrap();
        let data: TensorData = gradient.into_data_as::<f32>();
        assert!(data.as_slice::<f32>().unwrap().iter().all(|g| *g == 0.0));
    }
}
