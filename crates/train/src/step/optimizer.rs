//! AdamW over one vector of parameters, Muon for its matrices, the learning rate, and the clipping of the
//! gradients' global norm.

use crate::settings::config::{OptimizerKind, TrainConfig};
use crate::step::muon::Muon;
use crate::step::parameters::Layout;
use burn::tensor::{Device, Tensor};

/// Keeps the update finite where a gradient has always been 0; small against any gradient that matters.
const EPSILON: f64 = 1e-8;

/// AdamW (Loshchilov and Hutter, arXiv:1711.05101, algorithm 2), decay on matrices and kernels only; with
/// [`OptimizerKind::Muon`] the linear maps' matrices take Muon's step from the same first moment.
#[derive(Debug, Clone)]
pub struct Optimizer {
    betas: [f64; 2],
    weight_decay: f64,
    matrices: Tensor<1>,
    muon: Option<Muon>,
    /// Moving averages of the gradient and of its square, `[p]` each.
    pub moments: [Tensor<1>; 2],
    /// Updates made so far.
    pub updates: u64,
}

impl Optimizer {
    /// A fresh optimiser: moments zero.
    pub fn new(config: &TrainConfig, layout: &Layout, device: &Device) -> Self {
        let zeros = Tensor::zeros([layout.len()], device);
        Self {
            betas: config.betas,
            weight_decay: config.weight_decay,
            matrices: layout.matrices(device),
            muon: (config.optimizer == OptimizerKind::Muon).then(|| Muon::new(layout)),
            moments: [zeros.clone(), zeros],
            updates: 0,
        }
    }

    /// One update of `weights [p]` against `gradient [p]`.
    pub fn update(&mut self, weights: Tensor<1>, gradient: Tensor<1>, learning_rate: f64) -> Tensor<1> {
        let [beta_1, beta_2] = self.betas;
        self.updates += 1;
        let [first, second] = self.moments.clone();
        let first = first.mul_scalar(beta_1) + gradient.clone().mul_scalar(1.0 - beta_1);
        let second = second.mul_scalar(beta_2) + gradient.clone().square().mul_scalar(1.0 - beta_2);
        self.moments = [first.clone(), second.clone()];
        // The moments start at 0; dividing by 1 − β^t takes that bias out.
        let time = self.updates.min(1 << 30) as i32;
        let mut step = first.clone().mul_scalar(learning_rate / (1.0 - beta_1.powi(time)))
            / second.div_scalar(1.0 - beta_2.powi(time)).sqrt().add_scalar(EPSILON);
        if let Some(muon) = &self.muon {
            // Nesterov's look ahead: the moment as the next gradient would find it, were it this one.
            let ahead = first.mul_scalar(beta_1) + gradient.mul_scalar(1.0 - beta_1);
            step = muon.replace(step, &ahead, learning_rate);
        }
        let decay = self.matrices.clone().mul_scalar(learning_rate * self.weight_decay) * weights.clone();
        weights - decay - step
    }
}

/// The factor that brings a gradient of this norm to at most `limit`.
pub fn clip_factor(norm: f64, limit: f64) -> f64 {
    if norm > limit { limit / norm } else { 1.0 }
}

/// Linear rise over `warmup_steps`, then half a cosine from `learning_rate` to `final_learning_rate`.
///
/// `progress` (0 to 1) is the share of the run that is done, in steps or in time: under a time budget the
/// cosine ends when the time does, however fast the machine is.
pub fn learning_rate(config: &TrainConfig, step: u64, progress: f64) -> f64 {
    let warmup = ((step + 1) as f64 / (config.warmup_steps + 1) as f64).min(1.0);
    let cosine = 0.5 + 0.5 * (std::f64::consts::PI * progress.clamp(0.0, 1.0)).cos();
    warmup * (config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * cosine)
}

/// Decay of the moving average after `updates` updates: short at first, so that a short run's average is not
/// still its random start.
pub fn ema_decay(config: &TrainConfig, updates: u64) -> f64 {
    config.ema_decay.min((1 + updates) as f64 / (10 + updates) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::Module;
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::TensorData;

    fn vector(values: &[f64]) -> Tensor<1> {
        let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
        let length = values.len();
        Tensor::from_data(TensorData::new(values, [length]), &Device::flex())
    }

    /// Against the algorithm written out in f64, with a matrix (decayed) and a bias (not).
    #[test]
    fn follows_the_published_algorithm() {
        let net: Linear = LinearConfig::new(1, 1).init(&Device::flex());
        let _ = net.num_params();
        let config = TrainConfig { weight_decay: 0.1, ..Default::default() };
        let mut adam = Optimizer::new(&config, &Layout::of(&net), &Device::flex());
        let mut weights = vector(&[0.5, -0.25]);
        let (mut w, mut m, mut v) = ([0.5f64, -0.25], [0.0f64; 2], [0.0f64; 2]);
        for t in 1..=20 {
            let g = [(t as f64).sin(), 3.0 * (t as f64 * 0.7).cos()];
            let rate = 0.01 / f64::from(t);
            weights = adam.update(weights, vector(&g), rate);
            for i in 0..2 {
                m[i] = 0.9 * m[i] + 0.1 * g[i];
                v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
                let decay = if i == 0 { 0.1 } else { 0.0 };
                let update =
                    m[i] / (1.0 - 0.9f64.powi(t)) / ((v[i] / (1.0 - 0.999f64.powi(t))).sqrt() + 1e-8);
                w[i] -= rate * (update + decay * w[i]);
            }
        }
        let got: Vec<f32> = weights.into_data_as::<f32>().try_to_vec().unwrap();
        for i in 0..2 {
            assert!((f64::from(got[i]) - w[i]).abs() < 2e-6, "{got:?} against {w:?}");
        }
    }

    #[test]
    fn learning_rate_rises_then_falls_to_its_end() {
        let config = TrainConfig {
            learning_rate: 1.0,
            final_learning_rate: 0.1,
            warmup_steps: 9,
            ..Default::default()
        };
        assert!((learning_rate(&config, 0, 0.0) - 0.1).abs() < 1e-12);
        assert!((learning_rate(&config, 9, 0.0) - 1.0).abs() < 1e-12);
        assert!((learning_rate(&config, 50, 0.5) - 0.55).abs() < 1e-12);
        assert!((learning_rate(&config, 99, 1.0) - 0.1).abs() < 1e-12);
        assert!((learning_rate(&config, 99, 1.7) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn clipping_bounds_the_norm_and_leaves_small_gradients() {
        assert_eq!(clip_factor(0.5, 1.0), 1.0);
        assert!((clip_factor(8.0, 2.0) * 8.0 - 2.0).abs() < 1e-12);
    }

    #[test]
    fn the_average_of_a_short_run_forgets_its_start() {
        let config = TrainConfig { ema_decay: 0.999, ..Default::default() };
        let remains: f64 = (1..=200).map(|k| ema_decay(&config, k)).product();
        assert!(remains < 1e-6, "{remains}");
        assert_eq!(ema_decay(&config, 1_000_000), 0.999);
    }
}
