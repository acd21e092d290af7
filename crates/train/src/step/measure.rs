//! What training steps take, measured: real steps on noise.

use crate::error::TrainError;
use crate::settings::config::TrainConfig;
use crate::step::learner::{Learner, check_precision};
use crate::step::memory::MemoryEvent;
use crate::step::parameters::initial_weights;
use burn::tensor::{Device, Distribution, Tensor};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// A step that was measured.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct StepMeasurement {
    /// Counted from 1.
    pub step: u64,
    /// What it took; the first one compiles kernels.
    pub seconds: f64,
    /// The loss, so that a step that computed nothing shows.
    pub loss: f64,
    /// Memory as of its end.
    #[serde(flatten)]
    pub memory: MemoryEvent,
}

/// Takes `steps` training steps (forward, backward, update) of `config` on noise, and hands over each.
pub fn measure(
    config: &TrainConfig,
    steps: u64,
    device: &Device,
    each: impl FnMut(&StepMeasurement),
) -> Result<Vec<StepMeasurement>, TrainError> {
    take_steps(config, steps, device, false, each)
}

/// As [`measure`], with every kernel built but not started: the memory is that of the real steps, losses and seconds
/// mean nothing.
pub fn rehearse(
    config: &TrainConfig,
    steps: u64,
    device: &Device,
    each: impl FnMut(&StepMeasurement),
) -> Result<Vec<StepMeasurement>, TrainError> {
    unbraid_ops::device::dry_run(|| take_steps(config, steps, device, true, each))
}

fn take_steps(
    config: &TrainConfig,
    steps: u64,
    device: &Device,
    rehearsal: bool,
    mut each: impl FnMut(&StepMeasurement),
) -> Result<Vec<StepMeasurement>, TrainError> {
    let network = config.model_config()?;
    let device = device.clone().without_autodiff();
    check_precision(config, &device)?;
    let mut learner = Learner::new(config, &network, initial_weights(&network, config.seed, &device))?;
    learner.rehearsal = rehearsal;
    let shape = [config.batch_size, network.stems.len(), 2, config.segment_samples(&network)];
    let mut measurements = Vec::new();
    for step in 1..=steps {
        let targets = Tensor::random(shape, Distribution::Normal(0.0, 0.1), &device);
        let began = Instant::now();
        let outcome = learner.step(config, &targets, config.learning_rate)?;
        let seconds = began.elapsed().as_secs_f64();
        let memory = learner.memory.event();
        measurements.push(StepMeasurement { step, seconds, loss: outcome.total, memory });
        each(&measurements[measurements.len() - 1]);
    }
    Ok(measurements)
}
