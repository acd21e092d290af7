//! The devices and processes that compute a run, and the gradient that they compute together.

use crate::data::items::Items;
use crate::error::TrainError;
use crate::settings::config::TrainConfig;
use crate::step::devices::Devices;
use crate::step::exchange::{Exchange, Order, Start};
#[cfg(feature = "mpi")]
use crate::step::ranks::Ranks;
use crate::step::replica::{Replica, check_precision};
use crate::step::targets::Targets;
use burn::tensor::{Device, Tensor};
use unbraid_model::ModelConfig;

/// The devices that compute a run, at least one. Each of them takes an equal part of every batch.
pub struct Crew {
    devices: Vec<Device>,
    /// Other processes.
    ranks: Option<Box<dyn Exchange>>,
}

impl From<&Device> for Crew {
    fn from(device: &Device) -> Self {
        vec![device.clone()].into()
    }
}

/// The first device holds the state of the run.
impl From<Vec<Device>> for Crew {
    fn from(devices: Vec<Device>) -> Self {
        let devices = devices.into_iter().map(Device::without_autodiff).collect();
        Self { devices, ranks: None }
    }
}

impl Crew {
    /// The devices of this process, which leads the run, together with all other processes of an MPI job. They must
    /// call [`follow`](crate::follow). If the run fails, they wait for the leader until [`Ranks::abort`].
    #[cfg(feature = "mpi")]
    pub fn leading(devices: Vec<Device>, ranks: &Ranks) -> Self {
        Self { ranks: Some(Box::new(ranks.exchange())), ..devices.into() }
    }

    /// The first device.
    pub(crate) fn first(&self) -> &Device {
        &self.devices[0]
    }

    /// The number of devices of this process.
    pub(crate) fn devices(&self) -> usize {
        self.devices.len()
    }

    /// Checks that every device supports the precision of `config`, and that a batch can be divided.
    ///
    /// # Errors
    /// If it is not so.
    pub(crate) fn check(&self, config: &TrainConfig) -> Result<(), TrainError> {
        self.devices.iter().try_for_each(|device| check_precision(config, device))?;
        check_division(config, self.devices() * self.processes())
    }

    /// The number of processes.
    pub(crate) fn processes(&self) -> usize {
        self.ranks.as_ref().map_or(1, |ranks| ranks.parts())
    }
}

/// Checks that a batch can be divided into equal parts.
///
/// # Errors
/// [`TrainError::Parts`] if not.
pub(crate) fn check_division(config: &TrainConfig, parts: usize) -> Result<(), TrainError> {
    let batch = config.batch_size;
    if batch.is_multiple_of(parts) { Ok(()) } else { Err(TrainError::Parts { batch, parts }) }
}

/// A batch, or the part of a batch that this process computes.
pub(crate) struct Batch {
    /// The items of the first device.
    pub(crate) own: Targets,
    /// The items of each further device.
    pub(crate) others: Vec<Items>,
}

/// A [`Crew`] at work.
pub(crate) struct Team {
    /// The network on the first device.
    pub(crate) replica: Replica,
    /// The shape of a batch's item, `[s, 2, n]`.
    item: [usize; 3],
    /// Devices of this process.
    devices: usize,
    /// Further devices, then other processes.
    exchanges: Vec<Box<dyn Exchange>>,
}

impl Team {
    /// # Errors
    /// If the loss cannot be built, or a segment is too short for it.
    pub(crate) fn new(config: &TrainConfig, network: &ModelConfig, crew: Crew) -> Result<Self, TrainError> {
        let item = [network.stems.len(), 2, config.segment_samples(network)];
        let mut exchanges: Vec<Box<dyn Exchange>> = Vec::new();
        let replica = Replica::new(config, network, crew.first())?;
        if crew.devices.len() > 1 {
            exchanges.push(Box::new(Devices::new(config, network, &crew.devices[1..], item)));
        }
        exchanges.extend(crew.ranks);
        Ok(Self { replica, item, devices: crew.devices.len(), exchanges })
    }

    /// Called once, before the first step.
    pub(crate) fn start(&mut self, start: &Start<'_>) -> Result<(), TrainError> {
        self.exchanges.iter_mut().try_for_each(|exchange| exchange.start(start))
    }

    /// Called after the last step of a run that has not failed.
    pub(crate) fn end(&mut self) {
        self.exchanges.iter_mut().for_each(|exchange| exchange.end());
    }

    /// Deals this process's items to its devices.
    pub(crate) fn deal(&self, items: Items) -> Batch {
        let mut parts = items.divide(self.devices);
        let own = self.replica.targets(parts.remove(0), self.item);
        Batch { own, others: parts }
    }

    /// The losses (the total, then the terms) and the gradient `[p]` of a batch at the weights `[p]`, multiplied by
    /// `scale`.
    ///
    /// # Errors
    /// If a device fails or another process cannot be reached.
    pub(crate) fn gradient(
        &mut self,
        weights: &Tensor<1>,
        batch: &Batch,
        scale: f64,
    ) -> Result<[Tensor<1>; 2], TrainError> {
        if self.exchanges.is_empty() {
            return Ok(self.replica.gradient(weights, &batch.own, scale));
        }
        let mut losses = self.numbers(weights, batch, scale)?;
        let gradient = losses.split_off(losses.len() - weights.dims()[0]);
        Ok([losses, gradient].map(|values| self.replica.vector(values)))
    }

    /// Like [`Team::gradient`], as one vector on the host.
    pub(crate) fn numbers(
        &mut self,
        weights: &Tensor<1>,
        batch: &Batch,
        scale: f64,
    ) -> Result<Vec<f32>, TrainError> {
        if !self.exchanges.is_empty() {
            let weights = crate::error::read(weights.try_to_vec_as::<f32>())?;
            let order = Order { weights: &weights, scale, parts: &batch.others };
            // Other processes get the weights first, because that takes longer.
            self.exchanges.iter_mut().rev().try_for_each(|exchange| exchange.begin(&order))?;
        }
        let mut numbers = self.replica.numbers(weights, &batch.own, scale)?;
        self.exchanges.iter_mut().try_for_each(|exchange| exchange.mean(&mut numbers))?;
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::grouping::Grouping;
    use crate::step::parameters::initial_weights;
    use burn::tensor::Distribution;

    fn team(config: &TrainConfig, network: &ModelConfig, devices: usize) -> Result<Team, TrainError> {
        Team::new(config, network, vec![Device::flex(); devices].into())
    }

    /// Also with a factor of the loss, as in f16.
    #[test]
    fn the_mean_over_devices_is_that_over_items() {
        let device = Device::flex();
        let config = TrainConfig {
            loss_resolutions: vec![256],
            segment_seconds: 2205.0 / 44_100.0,
            ..Default::default()
        };
        let network = ModelConfig::standard("tfswa_unet_tiny").unwrap();
        let weights = initial_weights(&network, 1, &device);
        let targets: Tensor<4> = Tensor::random([4, 4, 2, 2205], Distribution::Normal(0.0, 0.1), &device);
        let samples = targets.try_into_vec_as::<f32>().unwrap();
        let run = |devices: usize, scale: f64| {
            let mut team = team(&config, &network, devices).unwrap();
            let groupings = vec![Grouping::separate(4); 4];
            let batch = team.deal(Items { samples: samples.clone(), groupings });
            assert_eq!(batch.own.signals.dims(), [4 / devices, 4, 2, 2205]);
            let parts = team.gradient(&weights, &batch, scale).unwrap();
            parts.map(|values| values.try_into_vec_as::<f32>().unwrap())
        };
        let [losses, gradient] = run(1, 1.0);
        for (devices, scale) in [(2, 1.0), (4, 1.0), (2, 1024.0)] {
            let [several_losses, several] = run(devices, scale);
            assert_eq!((several_losses.len(), several.len()), (losses.len(), gradient.len()));
            let largest = gradient.iter().fold(0f32, |m, x| m.max(x.abs()));
            let distance = |(a, b): (&f32, &f32)| (a - b / scale as f32).abs();
            let error = gradient.iter().zip(&several).map(distance).fold(0f32, f32::max);
            assert!(largest > 0.0 && error < 1e-5 * largest, "{devices} devices: {error} of {largest}");
            assert!(losses.iter().zip(&several_losses).all(|(a, b)| (a - b).abs() < 1e-5 * a.abs()));
        }
    }

    /// The thread of a device panics when it gets a part without items.
    #[test]
    fn a_device_that_ends_is_an_error() {
        let config = TrainConfig { loss_resolutions: vec![256], ..Default::default() };
        let network = ModelConfig::standard("tfswa_unet_tiny").unwrap();
        let weights = initial_weights(&network, 1, &Device::flex());
        let mut team = team(&config, &network, 2).unwrap();
        let own = Targets::separate(Tensor::zeros([1, 4, 2, 2205], &Device::flex()));
        let error = team.numbers(&weights, &Batch { own, others: vec![Items::default()] }, 1.0).unwrap_err();
        assert!(error.to_string().contains("the thread of device 2 has ended"), "{error}");
    }
}
