//! Time and memory of training steps, measured on noise: with real steps or in a dry run.

use crate::error::{TrainError, read};
use crate::settings::config::TrainConfig;
use crate::step::learner::Learner;
use crate::step::memory::MemoryEvent;
use crate::step::parameters::{ParameterLayout, initial_weights};
use crate::step::replica::check_precision;
use crate::step::targets::Targets;
use crate::step::team::{Batch, Team};
use burn::tensor::{Device, Distribution, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Instant;
use unbraid_ops::{Launch, Launches, record_launches};

/// The measurement of a step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepMeasurement {
    /// Counted from 1.
    pub step: u64,
    /// Duration. The first step includes the compilation of kernels.
    pub seconds: f64,
    /// The loss, which shows whether the step computed anything.
    pub loss: f64,
    /// Memory at the end of the step.
    #[serde(flatten)]
    pub memory: MemoryEvent,
    /// In a dry run, the number of launches of every kernel: of a shader by its file, of burn's kernels by their type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub launches: BTreeMap<String, u64>,
}

/// Runs `steps` training steps (forward, backward, update) of `config` on noise, and calls `each` after every step.
///
/// # Errors
/// If the configuration cannot be used on the device, the device fails, or a step needs more memory than there is.
pub fn measure(
    config: &TrainConfig,
    steps: u64,
    device: &Device,
    each: impl FnMut(&StepMeasurement),
) -> Result<Vec<StepMeasurement>, TrainError> {
    run_steps(config, steps, device, false, each)
}

/// Like [`measure`], but kernels are compiled and not run, and launches are counted. The memory is that of real steps.
/// The seconds are the host's: all that a step computes between two launches. Losses are meaningless.
///
/// # Errors
/// Those of [`measure`].
pub fn dry_run(
    config: &TrainConfig,
    steps: u64,
    device: &Device,
    each: impl FnMut(&StepMeasurement),
) -> Result<Vec<StepMeasurement>, TrainError> {
    unbraid_ops::device::dry_run(|| run_steps(config, steps, device, true, each))
}

fn run_steps(
    config: &TrainConfig,
    steps: u64,
    device: &Device,
    dry_run: bool,
    mut each: impl FnMut(&StepMeasurement),
) -> Result<Vec<StepMeasurement>, TrainError> {
    let network = config.model_config()?;
    let device = device.clone().without_autodiff();
    check_precision(config, &device)?;
    let team = Team::new(config, &network, (&device).into())?;
    let layout = ParameterLayout::of(&network.init(&device));
    let mut learner = Learner::new(config, &layout, initial_weights(&network, config.seed, &device), team)?;
    learner.dry_run = dry_run;
    let shape = [config.batch_size, network.stems.len(), 2, config.segment_samples(&network)];
    let mut measurements = Vec::new();
    for step in 1..=steps {
        let own = Targets::separate(Tensor::random(shape, Distribution::Normal(0.0, 0.1), &device));
        let batch = Batch { own, others: Vec::new() };
        let began = Instant::now();
        let mut run = || learner.step(config, &batch, config.learning_rate);
        let (outcome, launches) = if dry_run {
            let (outcome, launches) = record_launches(|| {
                let outcome = run();
                // With fusion, the update is launched later than it is called.
                read(device.sync()).and(outcome)
            });
            (outcome?, counts(&launches))
        } else {
            (run()?, BTreeMap::new())
        };
        let seconds = began.elapsed().as_secs_f64();
        let memory = learner.memory();
        measurements.push(StepMeasurement { step, seconds, loss: outcome.loss, memory, launches });
        each(&measurements[measurements.len() - 1]);
    }
    Ok(measurements)
}

/// The number of launches of every kernel.
fn counts(launches: &Launches) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for Launch { kernel, .. } in &launches.all {
        // A shader's label begins with its file. burn's kernels are named by their type, with its parameters.
        let name = kernel.split([' ', '<']).next().unwrap_or_default();
        let name = name.rsplit("::").next().unwrap_or_default();
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    counts
}
