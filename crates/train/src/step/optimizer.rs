//! AdamW over one vector of parameters, Muon for its matrices, and clipping by the global norm.
//!
//! burn-optim has AdamW and Muon too. Tests compare both with ours step by step, and they agree up to rounding. The
//! reasons for ours:
//! - A formula is one operation on one vector. burn's needs one operation per tensor, and a network has hundreds.
//! - The moments are two vectors, which a checkpoint stores and restores bit for bit.
//! - Weight decay is chosen per element of the vector.
//! - Muon takes all matrices of one shape through its products together.

use crate::settings::config::{OptimizerKind, TrainConfig};
use crate::step::freeze::Frozen;
use crate::step::muon::Muon;
use crate::step::parameters::ParameterLayout;
use burn::tensor::{Device, Tensor};

/// Keeps the update finite if the gradient has always been 0. It is small compared with useful gradients.
const EPSILON: f64 = 1e-8;

/// AdamW (Loshchilov and Hutter, arXiv:1711.05101, algorithm 2). Tensors with one axis do not decay. With
/// [`OptimizerKind::Muon`] the matrices of linear maps take Muon's step, from the same first moment.
#[derive(Debug, Clone)]
pub(crate) struct Optimizer {
    betas: [f64; 2],
    weight_decay: f64,
    /// 1 for elements that decay, 0 for the others: `[p]`.
    decayed: Tensor<1>,
    muon: Option<Muon>,
    frozen: Option<Frozen>,
    /// Moving averages of the gradient and of its square, `[p]` each.
    pub(crate) moments: [Tensor<1>; 2],
    /// Updates so far.
    pub(crate) updates: u64,
}

impl Optimizer {
    /// A new optimiser, whose moments are zero.
    pub(crate) fn new(config: &TrainConfig, layout: &ParameterLayout, device: &Device) -> Self {
        let zeros = Tensor::zeros([layout.len()], device);
        Self {
            betas: config.betas,
            weight_decay: config.weight_decay,
            decayed: layout.decayed(device),
            muon: (config.optimizer == OptimizerKind::Muon).then(|| Muon::new(layout)),
            frozen: None,
            moments: [zeros.clone(), zeros],
            updates: 0,
        }
    }

    /// Leaves the `frozen` parameters as they are.
    pub(crate) fn with_frozen(mut self, frozen: Option<&Frozen>) -> Self {
        if let Some(frozen) = frozen {
            self.muon = self.muon.map(|muon| muon.without(frozen));
            self.frozen = Some(frozen.clone());
        }
        self
    }

    /// The weights `[p]` after one update along `gradient [p]`.
    pub(crate) fn update(
        &mut self,
        weights: Tensor<1>,
        gradient: Tensor<1>,
        learning_rate: f64,
    ) -> Tensor<1> {
        let [beta_1, beta_2] = self.betas;
        self.updates += 1;
        let [first, second] = self.moments.clone();
        let first = first.mul_scalar(beta_1) + gradient.clone().mul_scalar(1.0 - beta_1);
        let second = second.mul_scalar(beta_2) + gradient.clone().square().mul_scalar(1.0 - beta_2);
        self.moments = [first.clone(), second.clone()];
        // The moments start at 0. Dividing by 1 − β^t removes this bias.
        let time = self.updates.min(1 << 30) as i32;
        let mut step = first.clone().mul_scalar(learning_rate / (1.0 - beta_1.powi(time)))
            / second.div_scalar(1.0 - beta_2.powi(time)).sqrt().add_scalar(EPSILON);
        if let Some(muon) = &self.muon {
            // Nesterov momentum: the first moment after one more step with the same gradient.
            let ahead = first.mul_scalar(beta_1) + gradient.mul_scalar(1.0 - beta_1);
            step = muon.replace(step, &ahead, learning_rate);
        }
        let decay = self.decayed.clone().mul_scalar(learning_rate * self.weight_decay) * weights.clone();
        let moved = weights.clone() - decay - step;
        match &self.frozen {
            Some(frozen) => frozen.replace(moved, weights),
            None => moved,
        }
    }
}

/// The factor that scales a gradient of this norm to at most `limit`.
pub(crate) fn clip_factor(norm: f64, limit: f64) -> f64 {
    if norm > limit { limit / norm } else { 1.0 }
}

/// Decay of the moving average after `updates` updates. It is small at first, so that the average of a short run
/// forgets the random initial weights.
pub(crate) fn ema_decay(config: &TrainConfig, updates: u64) -> f64 {
    config.ema_decay.min((1 + updates) as f64 / (10 + updates) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::Module;
    use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
    use burn::optim::decay::WeightDecayConfig;
    use burn::optim::momentum::MomentumConfig;
    use burn::optim::{AdamWConfig, AdjustLrFn, MuonConfig, Optimizer as _};
    use burn::tensor::Distribution;

    /// Compares with the algorithm in f64, for a matrix, which decays, and a bias, which does not.
    #[test]
    fn follows_the_published_algorithm() {
        let net: Linear = LinearConfig::new(1, 1).init(&Device::flex());
        let config = TrainConfig { weight_decay: 0.1, ..Default::default() };
        let layout = ParameterLayout::of(&net);
        let vector = |values: [f64; 2]| {
            let vector = layout.with_gaps(&values.map(|value| value as f32));
            Tensor::<1>::from_floats(vector.as_slice(), &Device::flex())
        };
        let mut adam = Optimizer::new(&config, &layout, &Device::flex());
        let mut weights = vector([0.5, -0.25]);
        let (mut w, mut m, mut v) = ([0.5f64, -0.25], [0.0f64; 2], [0.0f64; 2]);
        for t in 1..=20 {
            let g = [(t as f64).sin(), 3.0 * (t as f64 * 0.7).cos()];
            let rate = 0.01 / f64::from(t);
            weights = adam.update(weights, vector(g), rate);
            for i in 0..2 {
                m[i] = 0.9 * m[i] + 0.1 * g[i];
                v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
                let decay = if i == 0 { 0.1 } else { 0.0 };
                let update =
                    m[i] / (1.0 - 0.9f64.powi(t)) / ((v[i] / (1.0 - 0.999f64.powi(t))).sqrt() + 1e-8);
                w[i] -= rate * (update + decay * w[i]);
            }
        }
        let got = layout.without_gaps(&weights.into_data_as::<f32>().try_to_vec::<f32>().unwrap());
        for i in 0..2 {
            assert!((f64::from(got[i]) - w[i]).abs() < 2e-6, "{got:?} against {w:?}");
        }
    }

    #[derive(Module, Debug)]
    struct Net {
        wide: Linear,
        norm: LayerNorm,
        tall: Linear,
        also_wide: Linear,
    }

    /// The tensor at `start` of `vector [p]`, as a matrix.
    fn matrix(vector: &Tensor<1>, start: usize, shape: [usize; 2]) -> Tensor<2> {
        vector.clone().narrow(0, start, shape[0] * shape[1]).reshape(shape)
    }

    /// Both optimisers of burn-optim, tensor by tensor, against ours on the vector.
    #[test]
    fn agrees_with_burn_optim() {
        const RATE: f64 = 0.02;
        let device = Device::flex();
        let net = Net {
            wide: LinearConfig::new(6, 10).init(&device),
            norm: LayerNormConfig::new(10).init(&device),
            tall: LinearConfig::new(10, 4).init(&device),
            also_wide: LinearConfig::new(6, 10).with_bias(false).init(&device),
        };
        let layout = ParameterLayout::of(&net);
        let decay = 0.1;
        let adam =
            |penalty| AdamWConfig::new().with_epsilon(EPSILON as f32).with_weight_decay(penalty).build();
        let (decayed, plain) = (adam(decay), adam(0.0));
        // burn's velocity is the sum of gradients and ours their mean. The orthogonal factor is the same.
        let momentum = MomentumConfig { momentum: 0.9, dampening: 0.0, nesterov: true };
        let muon = MuonConfig::new()
            .with_momentum(momentum)
            .with_weight_decay(Some(WeightDecayConfig { penalty: decay }))
            .with_adjust_lr_fn(AdjustLrFn::MatchRmsAdamW)
            .build();
        let gradients: Vec<Tensor<1>> = (0..12)
            .map(|_| Tensor::random([layout.len()], Distribution::Normal(0.0, 0.3), &device))
            .collect();
        let start: Tensor<1> = Tensor::random([layout.len()], Distribution::Normal(0.0, 0.5), &device);
        for kind in [OptimizerKind::AdamW, OptimizerKind::Muon] {
            let config = TrainConfig {
                optimizer: kind,
                weight_decay: f64::from(decay),
                betas: [0.9, 0.999],
                ..Default::default()
            };
            let mut ours = Optimizer::new(&config, &layout, &device);
            let ours = gradients
                .iter()
                .fold(start.clone(), |weights, gradient| ours.update(weights, gradient.clone(), RATE));
            for (at, entry) in layout.places() {
                let (shape, is_matrix) = match entry.shape[..] {
                    [rows, columns] => ([rows, columns], true),
                    [length] => ([1, length], false),
                    _ => panic!("{:?}", entry.shape),
                };
                let mut weights = matrix(&start, at, shape);
                let (mut adam_state, mut muon_state) = (None, None);
                for gradient in &gradients {
                    let gradient = matrix(gradient, at, shape);
                    if kind == OptimizerKind::Muon && is_matrix {
                        (weights, muon_state) = muon.step(RATE, weights, gradient, muon_state);
                    } else {
                        let adam = if is_matrix { &decayed } else { &plain };
                        (weights, adam_state) = adam.step(RATE, weights, gradient, adam_state);
                    }
                }
                let moved = (weights.clone() - matrix(&start, at, shape)).abs().max().into_scalar::<f32>();
                let error = (weights - matrix(&ours, at, shape)).abs().max().into_scalar::<f32>();
                assert!(moved > 0.05 && error < 1e-4 * moved, "{kind:?} {}: {error} of {moved}", entry.name);
            }
        }
    }

    #[test]
    fn clipping_bounds_the_norm_and_leaves_small_gradients() {
        assert_eq!(clip_factor(0.5, 1.0), 1.0);
        assert!((clip_factor(8.0, 2.0) * 8.0 - 2.0).abs() < 1e-12);
    }

    #[test]
    fn the_average_of_a_short_run_forgets_the_initial_weights() {
        let config = TrainConfig { ema_decay: 0.999, ..Default::default() };
        let remains: f64 = (1..=200).map(|k| ema_decay(&config, k)).product();
        assert!(remains < 1e-6, "{remains}");
        assert_eq!(ema_decay(&config, 1_000_000), 0.999);
    }
}
