//! A network on one device: the losses and the gradient of a batch or of a part of one.

use crate::data::items::Items;
use crate::error::{TrainError, read};
use crate::loss::Loss;
use crate::settings::config::TrainConfig;
use crate::step::memory::{MemoryGauge, Phase};
use crate::step::parameters::{pack_gradients, unpack};
use crate::step::targets::Targets;
use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};
use rayon::prelude::*;
use unbraid_model::{ModelConfig, Network, Precision};
use unbraid_ops::device;

/// A network that computes gradients on a device.
pub(crate) struct Replica {
    /// The network on the device with autodiff. Each step gives it parameters that are views of the weights. Its own
    /// parameters are lazy and never allocated.
    model: Network,
    pub(crate) loss: Loss,
    pub(crate) memory: MemoryGauge,
    device: Device,
    /// Most items that are processed at once.
    at_once: usize,
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
fn build_loss(config: &TrainConfig, network: &ModelConfig) -> Result<Loss, TrainError> {
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

impl Replica {
    /// The network `network` on `device`.
    ///
    /// # Errors
    /// If the loss cannot be built, or a segment is too short for it.
    pub(crate) fn new(
        config: &TrainConfig,
        network: &ModelConfig,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let device = device.clone().without_autodiff();
        Ok(Self {
            model: network.init(&device.clone().autodiff()).with_execution(config.execution()),
            loss: build_loss(config, network)?,
            memory: MemoryGauge::new(&device),
            at_once: config.examples_at_once(),
            device,
        })
    }

    /// The network with the parameters `[p]`, for separation.
    pub(crate) fn network(&self, parameters: &Tensor<1>) -> Network {
        unpack(self.model.clone(), parameters).valid()
    }

    /// The vector `values` on the device.
    pub(crate) fn vector(&self, values: Vec<f32>) -> Tensor<1> {
        let length = values.len();
        Tensor::from_data(TensorData::new(values, [length]), &self.device)
    }

    /// The references of items of the shape `item = [s, 2, n]` on the device.
    pub(crate) fn targets(&self, items: Items, item: [usize; 3]) -> Targets {
        Targets::new(items, item, &self.device)
    }

    /// The losses (the total, then the terms) and the gradient `[p]` at the weights `[p]`, as one vector on the host.
    ///
    /// # Errors
    /// If the device fails or lacks memory.
    pub(crate) fn numbers(
        &self,
        weights: &Tensor<1>,
        targets: &Targets,
        scale: f64,
    ) -> Result<Vec<f32>, TrainError> {
        let parts = self.gradient(weights, targets, scale);
        read(Tensor::cat(parts.into(), 0).try_into_vec_as::<f32>())
    }

    /// The losses (the total, then the terms) and the gradient `[p]` of `targets` at the weights `[p]`. The gradient is multiplied by `scale`.
    pub(crate) fn gradient(&self, weights: &Tensor<1>, targets: &Targets, scale: f64) -> [Tensor<1>; 2] {
        self.gradient_by(weights, targets, scale, device::workers(&self.device))
    }

    /// Processes `at_once` items at a time, split into up to `workers` parts that run in parallel. Losses are means
    /// over items, so the losses of the batch are the weighted means of those of the parts.
    fn gradient_by(
        &self,
        weights: &Tensor<1>,
        targets: &Targets,
        scale: f64,
        workers: usize,
    ) -> [Tensor<1>; 2] {
        let items = targets.items();
        let batches = targets.clone().split(self.at_once.min(items)).into_iter();
        let sum = batches.fold(None, |sum: Option<[Tensor<1>; 2]>, batch| {
            let parts = batch.items().div_ceil(workers);
            let parts = batch.split(parts);
            // Each part gets its own leaves, so that the parts share no autodiff graph.
            let parts: Vec<_> =
                parts.into_iter().map(|part| (unpack(self.model.clone(), weights), part)).collect();
            let run = |(model, part): (Network, Targets)| {
                let share = part.items() as f64 / items as f64;
                let mean = self.part_gradient(&model, part, scale);
                mean.map(|mean| if share < 1.0 { mean.mul_scalar(share) } else { mean })
            };
            let parts: Vec<_> = parts.into_par_iter().map(run).collect();
            sum.into_iter().chain(parts).reduce(|[a, b], [c, d]| [a + c, b + d])
        });
        sum.expect("a batch has an item")
    }

    /// The losses and the gradient of items that are processed at once.
    fn part_gradient(&self, model: &Network, targets: Targets, scale: f64) -> [Tensor<1>; 2] {
        let Targets { signals, groupings } = targets;
        let [b, _, channels, n] = signals.dims();
        let targets = signals.autodiff();
        let mixture = targets.clone().sum_dim(1).reshape([b, channels, n]);
        let losses = self.loss.forward_sources(model.forward(mixture), targets, groupings.as_deref());
        let values = [losses.total.clone()].into_iter().chain(losses.terms).map(Tensor::inner).collect();
        self.memory.note(Phase::Forward);
        let total = if scale == 1.0 { losses.total } else { losses.total.mul_scalar(scale) };
        let gradient = pack_gradients(model, total.backward());
        self.memory.note(Phase::Backward);
        [Tensor::cat(values, 0), gradient]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::grouping::Grouping;
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
        let [separate, joined] = [Grouping::separate(4), Grouping::joined(4, &[vec![1, 2]])];
        let items = Items { samples, groupings: vec![separate.clone(), joined, separate] };
        let targets = Targets::new(items, [4, 2, 2200], &device);
        let run = |workers, at_once, recompute| {
            let config = TrainConfig { recompute, ..config.clone() };
            let replica = Replica { at_once, ..Replica::new(&config, &network, &device).unwrap() };
            let parts = replica.gradient_by(&weights, &targets, 1.0, workers);
            parts.map(|values| values.try_into_vec_as::<f32>().unwrap())
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
