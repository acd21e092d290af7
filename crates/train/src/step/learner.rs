//! One training step: the gradient of a batch, and the update of the weights.

use crate::error::{TrainError, read};
use crate::settings::config::TrainConfig;
use crate::step::freeze::Frozen;
use crate::step::loss_scale::LossScale;
use crate::step::memory::{MemoryEvent, Phase};
use crate::step::optimizer::{Optimizer, clip_factor, ema_decay};
use crate::step::parameters::ParameterLayout;
use crate::step::team::{Batch, Team};
use burn::tensor::Tensor;
use std::collections::BTreeMap;
use unbraid_model::Network;
use unbraid_ops::{Summand, sum_rows};

/// A network in training, with everything that a step changes.
pub(crate) struct Learner {
    /// Computes the gradients.
    pub(crate) team: Team,
    /// The parameters, `[p]`.
    pub(crate) weights: Tensor<1>,
    /// The moving average of the parameters, `[p]`.
    pub(crate) average: Tensor<1>,
    pub(crate) optimizer: Optimizer,
    frozen: Option<Frozen>,
    pub(crate) loss_scale: Option<LossScale>,
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

impl Learner {
    /// Begins with the weights `[p]` on the first device of the team.
    ///
    /// # Errors
    /// If the patterns of `freeze` cannot be used.
    pub(crate) fn new(
        config: &TrainConfig,
        layout: &ParameterLayout,
        weights: Tensor<1>,
        team: Team,
    ) -> Result<Self, TrainError> {
        let device = weights.device();
        let frozen = Frozen::new(&config.freeze, layout, &device)?;
        Ok(Self {
            team,
            optimizer: Optimizer::new(config, layout, &device).with_frozen(frozen.as_ref()),
            frozen,
            loss_scale: LossScale::of(config.precision),
            average: weights.clone(),
            weights,
            dry_run: false,
        })
    }

    /// The memory of the first device.
    pub(crate) fn memory(&self) -> MemoryEvent {
        self.team.replica.memory.event()
    }

    /// The network with the parameters `[p]`, for separation.
    pub(crate) fn network(&self, parameters: &Tensor<1>) -> Network {
        self.team.replica.network(parameters)
    }

    /// A step on a batch. If the loss or the gradient is not finite, the weights do not change.
    ///
    /// # Errors
    /// If a device fails, and [`TrainError::OverLimit`] if the step took more memory than the limit.
    pub(crate) fn step(
        &mut self,
        config: &TrainConfig,
        batch: &Batch,
        rate: f64,
    ) -> Result<Outcome, TrainError> {
        let scale = self.loss_scale.map_or(1.0, LossScale::factor);
        let [losses, gradient] = self.team.gradient(&self.weights, batch, scale)?;
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
        let losses = self.team.replica.loss.names().map(|name| (name, next())).collect();
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
        self.team.replica.memory.note(Phase::Update);
        let taken = self.memory().peak;
        match config.memory_limit {
            Some(limit) if taken > limit => Err(TrainError::OverLimit { taken, limit }),
            _ => Ok(outcome),
        }
    }
}
