//! One training step: the losses and the gradient of a batch, and the update of the weights.

use crate::error::{TrainError, read};
use crate::loss::Loss;
use crate::settings::config::TrainConfig;
use crate::step::freeze::Frozen;
use crate::step::loss_scale::LossScale;
use crate::step::memory::{MemoryGauge, Phase};
use crate::step::optimizer::{Optimizer, clip_factor, ema_decay};
use crate::step::parameters::{ParameterLayout, pack_gradients, unpack};
use crate::step::targets::Targets;
use burn::tensor::{DType, Device, Tensor};
use rayon::prelude::*;
use std::collections::BTreeMap;
use unbraid_model::{ModelConfig, Network, Precision};
use unbraid_ops::{Summand, device, sum_rows};

/// A network in training, with everything that a step changes.
pub(crate) struct Learner {
    /// The network on the device with autodiff. Each step gives it parameters that are views of `weights`. Its own
    /// parameters are lazy and never allocated.
    pub(crate) model: Network,
    loss: Loss,
    /// The parameters, `[p]`.
    pub(crate) weights: Tensor<1>,
    /// The moving average of the parameters, `[p]`.
    pub(crate) average: Tensor<1>,
    pub(crate) optimizer: Optimizer,
    frozen: Option<Frozen>,
    pub(crate) loss_scale: Option<LossScale>,
    pub(crate) memory: MemoryGauge,
    /// Dry run: buffers are allocated but no kernel runs. The loss is meaningless, and every update is made.
    pub(crate) dry_run: bool,
}

/// The result of a step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    /// The loss that is minimised.
    pub(crate) loss: f64,
    /// The terms of the loss by name, without their weights.
    pub(crate) losses: BTreeMap<&'static str, f64>,
    /// Norm of all gradients, before clipping.
    pub(crate) norm: f64,
}

impl Outcome {
    /// Whether the update was made: loss and gradient were finite.
    pub(crate) fn updated(&self) -> bool {
        self.loss.is_finite() && self.norm.is_finite()
    }
}

/// Checks that the device supports the precision of `config`. The CPU backend has f16 tensors too, but they make
/// training no faster and no smaller, so f16 is refused there.
///
/// # Errors
/// [`TrainError::NoF16`].
pub(crate) fn check_precision(config: &TrainConfig, device: &Device) -> Result<(), TrainError> {
    let has_f16 = *device != Device::flex() && device.supports_dtype(DType::F16);
    if config.precision == Precision::F16 && !has_f16 { Err(TrainError::NoF16) } else { Ok(()) }
}

/// Builds the loss and checks that a segment of `network` is long enough for it.
pub(crate) fn build_loss(config: &TrainConfig, network: &ModelConfig) -> Result<Loss, TrainError> {
    let loss = Loss::new(config)?.for_stems(config, &network.stems)?;
    config.check_segment(network, loss.least_samples())?;
    Ok(loss)
}

/// Checks that the loss of `config` can be built, and that a segment is long enough for it.
///
/// # Errors
/// If it is not so, or the network cannot be used.
pub fn check_loss(config: &TrainConfig) -> Result<(), TrainError> {
    build_loss(config, &config.model_config()?).map(drop)
}

impl Learner {
    /// Begins with the weights `[p]` of `network`.
    ///
    /// # Errors
    /// If the loss cannot be built, a segment is too short for it, or the patterns of `freeze` cannot be used.
    pub(crate) fn new(
        config: &TrainConfig,
        network: &ModelConfig,
        weights: Tensor<1>,
    ) -> Result<Self, TrainError> {
        let device = weights.device();
        let model = network.init(&device.clone().autodiff()).with_execution(config.execution());
        let layout = ParameterLayout::of(&model);
        let frozen = Frozen::new(&config.freeze, &layout, &device)?;
        Ok(Self {
            loss: build_loss(config, network)?,
            optimizer: Optimizer::new(config, &layout, &device).with_frozen(frozen.as_ref()),
            frozen,
            loss_scale: LossScale::of(config.precision),
            model,
            average: weights.clone(),
            weights,
            memory: MemoryGauge::new(&device),
            dry_run: false,
        })
    }

    /// A step on a batch. If the loss or the gradient is not finite, the weights do not change.
    ///
    /// # Errors
    /// If the device fails, and [`TrainError::OverLimit`] if the step took more memory than the limit.
    pub(crate) fn step(
        &mut self,
        config: &TrainConfig,
        targets: &Targets,
        rate: f64,
    ) -> Result<Outcome, TrainError> {
        let workers = device::workers(&targets.signals.device());
        let [losses, gradient] = self.batch_gradient(targets, config.examples_at_once(), workers);
        let gradient = match &self.frozen {
            Some(frozen) => frozen.trained(gradient),
            None => gradient,
        };
        // One read-back per step, because each waits for the device.
        let [length] = gradient.dims();
        let squares = sum_rows(gradient.clone().reshape([1, length]), Summand::Square);
        let numbers = read(Tensor::cat(vec![losses, squares], 0).try_into_vec_as::<f32>())?;
        let mut numbers = numbers.into_iter().map(f64::from);
        let mut next = || numbers.next().expect("the total, the terms, and the sum of squares");
        let loss = next();
        let losses = self.loss.names().map(|name| (name, next())).collect();
        let scale = self.loss_scale.map_or(1.0, LossScale::factor);
        let outcome = Outcome { loss, losses, norm: next().sqrt() / scale };
        self.loss_scale = self.loss_scale.map(|scale| scale.after(outcome.norm.is_finite()));
        if outcome.updated() || self.dry_run {
            let gradient = gradient.mul_scalar(clip_factor(outcome.norm, config.clip_norm) / scale);
            self.weights = self.optimizer.update(self.weights.clone(), gradient, rate);
            let keep = ema_decay(config, self.optimizer.updates);
            let average = self.average.clone().mul_scalar(keep) + self.weights.clone().mul_scalar(1.0 - keep);
            // The mean of equal numbers is rounded.
            self.average = match &self.frozen {
                Some(frozen) => frozen.replace(average, self.weights.clone()),
                None => average,
            };
        }
        self.memory.note(Phase::Update);
        let taken = self.memory.event().peak;
        match config.memory_limit {
            Some(limit) if taken > limit => Err(TrainError::OverLimit { taken, limit }),
            _ => Ok(outcome),
        }
    }

    /// The losses (the total, then the terms) and the gradient `[p]` at the weights. The gradient is multiplied by the
    /// loss scale.
    ///
    /// Processes `at_once` items at a time, split into up to `workers` parts that run in parallel. Losses are means
    /// over items, so the losses of the batch are the weighted means of those of the parts.
    fn batch_gradient(&self, targets: &Targets, at_once: usize, workers: usize) -> [Tensor<1>; 2] {
        let items = targets.items();
        let batches = targets.clone().split(at_once.min(items)).into_iter();
        let sum = batches.fold(None, |sum: Option<[Tensor<1>; 2]>, batch| {
            let parts = batch.items().div_ceil(workers);
            let parts = batch.split(parts);
            // Each part gets its own leaves, so that the parts share no autodiff graph.
            let parts: Vec<_> =
                parts.into_iter().map(|part| (unpack(self.model.clone(), &self.weights), part)).collect();
            let run = |(model, part): (Network, Targets)| {
                let share = part.items() as f64 / items as f64;
                let mean = self.gradient(&model, part);
                mean.map(|mean| if share < 1.0 { mean.mul_scalar(share) } else { mean })
            };
            let parts: Vec<_> = parts.into_par_iter().map(run).collect();
            sum.into_iter().chain(parts).reduce(|[a, b], [c, d]| [a + c, b + d])
        });
        sum.expect("a batch has an item")
    }

    /// The losses (the total, then the terms) of `targets`, and the gradient `[p]`. The gradient is multiplied by the loss
    /// scale.
    fn gradient(&self, model: &Network, targets: Targets) -> [Tensor<1>; 2] {
        let Targets { signals, groupings } = targets;
        let [b, _, channels, n] = signals.dims();
        let targets = signals.autodiff();
        let mixture = targets.clone().sum_dim(1).reshape([b, channels, n]);
        let losses = self.loss.forward_sources(model.forward(mixture), targets, groupings.as_deref());
        let values = [losses.total.clone()].into_iter().chain(losses.terms).map(Tensor::inner).collect();
        self.memory.note(Phase::Forward);
        let total = match self.loss_scale {
            Some(scale) => losses.total.mul_scalar(scale.factor()),
            None => losses.total,
        };
        let gradient = pack_gradients(model, total.backward());
        self.memory.note(Phase::Backward);
        [Tensor::cat(values, 0), gradient]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::parameters::initial_weights;
    use burn::tensor::Distribution;
    use unbraid_model::Recompute;

    /// Three items, also in parts of different sizes, and one of them with a sum of stems.
    #[test]
    fn micro_batches_and_recomputation_do_not_change_the_gradient() {
        let device = Device::flex();
        let config = TrainConfig { loss_resolutions: vec![256], ..Default::default() };
        let network = ModelConfig::standard("tfswa_unet_tiny").unwrap();
        let weights = initial_weights(&network, 1, &device);
        let signals: Tensor<4> = Tensor::random([3, 4, 2, 2200], Distribution::Normal(0.0, 0.1), &device);
        let mut samples = signals.try_into_vec_as::<f32>().unwrap();
        let other = 4400 * (4 + 2);
        samples[other..other + 4400].fill(0.0);
        samples[other] = 2e30; // the mark of a sum that begins with the stem 1
        let targets = Targets::new(samples, [4, 2, 2200], &device);
        assert!(targets.groupings.as_ref().is_some_and(|all| !all[1].is_separate() && all[0].is_separate()));
        let run = |workers, at_once, recompute| {
            let config = TrainConfig { recompute, ..config.clone() };
            let learner = Learner::new(&config, &network, weights.clone()).unwrap();
            learner
                .batch_gradient(&targets, at_once, workers)
                .map(|values| values.try_into_vec_as::<f32>().unwrap())
        };
        let whole = run(1, 3, Recompute::None);
        let settings = [
            (2, 3, Recompute::None),
            (3, 3, Recompute::None),
            (8, 3, Recompute::None),
            (1, 1, Recompute::None),
            (2, 2, Recompute::None),
            (1, 7, Recompute::Sublayer),
            (2, 2, Recompute::Block),
        ];
        for setting in settings {
            let (workers, at_once, recompute) = setting;
            for (whole, parts) in whole.iter().zip(run(workers, at_once, recompute)) {
                let largest = whole.iter().fold(0f32, |m, x| m.max(x.abs()));
                let error = whole.iter().zip(&parts).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
                assert!(largest > 0.0 && error < 1e-4 * largest, "{setting:?}: {error} of {largest}");
            }
        }
    }
}
