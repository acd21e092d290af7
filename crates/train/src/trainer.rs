//! The training loop.

use crate::checkpoint::{Best, Checkpoint, Checkpoints, State};
use crate::config::TrainConfig;
use crate::dataset::{Track, scan, split};
use crate::error::TrainError;
use crate::evaluate::evaluate;
use crate::events::{Event, Flow, Listener, StepEvent, ValidationEvent};
use crate::export;
use crate::loss::Loss;
use crate::memory::MemoryGauge;
use crate::optimizer::{Optimizer, clip_factor, ema_decay, learning_rate};
use crate::parameters::{Layout, pack, pack_gradients, unpack};
use crate::run::{MetricsLog, RunFolder};
use crate::segments::{Loader, Segments};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use unbraid_model::{ModelConfig, SeparatorOptions, Tfswa};
use unbraid_ops::device;

/// Steps in a row without a finite loss and gradient before the run gives up: one bad batch may pass, weights
/// that have gone bad do not recover.
const MOST_SKIPPED: u32 = 8;

/// Overlap of the segments that validation cuts songs into: the common quarter, a third more work than none.
const VALIDATION_OVERLAP: f32 = 0.25;

/// What a run has come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Steps done.
    pub steps: u64,
    /// Seconds of training, interruptions not counted.
    pub seconds: f64,
    /// Whether the listener stopped it before its end.
    pub stopped: bool,
    /// Steps whose update was left out because loss or gradient were not finite.
    pub skipped: u64,
    /// The best validation, if there was one.
    pub best: Option<Best>,
    /// The exported model.
    pub model: PathBuf,
    /// Steps after which the exported weights were taken.
    pub model_step: u64,
}

/// Trains as `config` says, or with `resume` goes on where the run folder's newest whole checkpoint is.
///
/// On one device, with one number of threads and no time budget, an interrupted and resumed run ends in the
/// same bits as one that was never interrupted. Work runs on the calling thread. The exported model is the
/// moving average of the weights: that of the best validation, or the last where none was made.
pub fn train(
    config: &TrainConfig,
    resume: bool,
    device: &Device,
    listener: &mut dyn Listener,
) -> Result<Report, TrainError> {
    config.validate()?;
    Trainer::prepare(config, resume, device, listener)?.run()
}

struct Trainer<'a> {
    config: &'a TrainConfig,
    device: Device,
    listener: &'a mut dyn Listener,
    stop: bool,

    loader: Loader,
    validation: Vec<Track>,
    loss: Loss,
    /// On the device with autodiff; its parameters are stale: `weights` holds them.
    model: Tfswa,
    weights: Tensor<1>,
    average: Tensor<1>,
    optimizer: Optimizer,

    state: State,
    skipped: u64,
    skipped_in_a_row: u32,
    /// Seconds of the run before this process took it up, and when that was.
    before: f64,
    started: Instant,
    /// Seconds that a step takes, smoothed.
    pace: Option<f64>,

    folder: RunFolder,
    checkpoints: Checkpoints,
    metrics: MetricsLog,
    memory: MemoryGauge,
}

impl<'a> Trainer<'a> {
    fn prepare(
        config: &'a TrainConfig,
        resume: bool,
        device: &Device,
        listener: &'a mut dyn Listener,
    ) -> Result<Self, TrainError> {
        let model_config = config.model_config()?;
        let loss = Loss::new(config)?;
        let tracks = scan(&config.data.join("train"), &model_config.stems, model_config.sample_rate)?;
        let (training, validation) = split(tracks, config.validation_share, config.seed);

        let folder = RunFolder::new(&config.run);
        let checkpoint = find_checkpoint(config, &model_config, resume, &folder, listener)?;
        let checkpoints = folder.checkpoints()?;
        folder.save_config(config)?;

        let device = device.clone().without_autodiff();
        let model = initial_model(&model_config, config.seed, &device);
        let layout = Layout::of(&model);
        let mut optimizer = Optimizer::new(config, &layout, &device);
        let (weights, average, state) = match checkpoint {
            Some(Checkpoint { state, weights, average, moments }) => {
                if state.layout != layout {
                    return Err(TrainError::OtherParameters(config.run.clone()));
                }
                optimizer.moments = moments.map(|moment| vector(moment, &device));
                optimizer.updates = state.updates;
                (vector(weights, &device), vector(average, &device), state)
            }
            None => {
                let weights = pack(&model);
                let state = State::new(model_config.clone(), layout);
                (weights.clone(), weights, state)
            }
        };
        let samples = config.segment_samples(&model_config);
        let segments = Segments::new(training, model_config.sample_rate, samples, config);
        let metrics = folder.open_metrics(state.step)?;
        Ok(Self {
            model: unpack(model, &weights),
            loader: Loader::start(&Arc::new(segments), state.step),
            memory: MemoryGauge::new(&device),
            before: state.elapsed,
            started: Instant::now(),
            stop: false,
            skipped: 0,
            skipped_in_a_row: 0,
            pace: None,
            config,
            device,
            listener,
            validation,
            loss,
            weights,
            average,
            optimizer,
            state,
            folder,
            checkpoints,
            metrics,
        })
    }

    fn run(mut self) -> Result<Report, TrainError> {
        let due = |interval: u64, step: u64| interval > 0 && step.is_multiple_of(interval);
        let mut saved = None;
        while self.progress() < 1.0 && !self.stop {
            self.step()?;
            let step = self.state.step;
            let better = due(self.config.validation_interval, step) && self.validate()?;
            if better || due(self.config.checkpoint_interval, step) {
                self.save()?;
                saved = Some(step);
            }
        }
        let step = self.state.step;
        if !self.stop && self.config.validation_interval > 0 && self.state.validated != Some(step) {
            self.validate()?;
            saved = None;
        }
        if saved != Some(step) {
            self.save()?;
        }
        let (model, model_step) = self.export()?;
        Ok(Report {
            steps: step,
            seconds: self.elapsed(),
            stopped: self.stop,
            skipped: self.skipped,
            best: self.state.best,
            model,
            model_step,
        })
    }

    /// One batch, one update.
    fn step(&mut self) -> Result<(), TrainError> {
        let began = Instant::now();
        let rate = learning_rate(self.config, self.state.step, self.progress());
        let (b, s) = (self.config.batch_size, self.state.model.stems.len());
        let n = self.config.segment_samples(&self.state.model);
        let targets = TensorData::new(self.loader.batch()?, [b, s, 2, n]);
        let targets = Tensor::from_data(targets, &self.device);
        let workers = device::workers(&self.device);
        let [losses, gradient] = batch_gradient(&self.model, &self.weights, &self.loss, &targets, workers);

        // One read-back a step: what is shown, and whether the update may be made.
        let squares = gradient.clone().square().sum();
        let numbers = Tensor::cat(vec![losses, squares], 0).try_into_vec_as::<f32>();
        let numbers = numbers.map_err(|e| TrainError::Device(e.to_string()))?;
        let [total, waveform, spectral, squares] = [0, 1, 2, 3].map(|i| f64::from(numbers[i]));
        let norm = squares.sqrt();

        let step = self.state.step + 1;
        let updated = total.is_finite() && norm.is_finite();
        if updated {
            self.skipped_in_a_row = 0;
            let gradient = gradient.mul_scalar(clip_factor(norm, self.config.clip_norm));
            self.weights = self.optimizer.update(self.weights.clone(), gradient, rate);
            let keep = ema_decay(self.config, self.optimizer.updates);
            self.average =
                self.average.clone().mul_scalar(keep) + self.weights.clone().mul_scalar(1.0 - keep);
        } else {
            self.skip(step, if total.is_finite() { "gradient" } else { "loss" })?;
        }
        self.state.step = step;
        self.state.updates = self.optimizer.updates;

        let took = began.elapsed().as_secs_f64();
        let pace = self.pace.map_or(took, |pace| 0.9 * pace + 0.1 * took);
        self.pace = Some(pace);
        let event = StepEvent {
            step,
            steps: self.config.steps,
            progress: self.progress(),
            loss: total,
            loss_waveform: waveform,
            loss_spectral: spectral,
            gradient_norm: norm,
            updated,
            learning_rate: rate,
            speed: b as f64 * self.config.segment_seconds / pace,
            memory: self.memory.read(),
            elapsed: self.elapsed(),
            remaining: self.remaining(pace),
        };
        if step.is_multiple_of(self.config.log_interval) || !updated {
            self.metrics.append("step", &event)?;
        }
        self.tell(&Event::Step(&event));
        Ok(())
    }

    /// Notes a step without an update; too many in a row end the run.
    fn skip(&mut self, step: u64, what: &'static str) -> Result<(), TrainError> {
        self.skipped += 1;
        self.skipped_in_a_row += 1;
        if self.skipped_in_a_row >= MOST_SKIPPED {
            return Err(TrainError::Diverged { step, what, times: self.skipped_in_a_row });
        }
        self.say(&format!("step {step}: the {what} is not a finite number; its update is left out"));
        Ok(())
    }

    /// Scores the moving average on the validation songs; whether it is the best so far.
    fn validate(&mut self) -> Result<bool, TrainError> {
        if self.validation.is_empty() {
            return Ok(false);
        }
        let model = unpack(self.model.valid(), &self.average);
        let options = SeparatorOptions {
            segment: self.config.segment_samples(&self.state.model),
            overlap: VALIDATION_OVERLAP,
            batch: self.config.batch_size.min(64),
        };
        let limit = self.config.validation_seconds;
        let Some(evaluation) = evaluate(&model, &self.validation, &options, limit, self.listener)? else {
            self.stop = true;
            return Ok(false);
        };
        let step = self.state.step;
        let best = self.state.best.is_none_or(|best| evaluation.usdr > best.usdr);
        if best {
            self.state.best = Some(Best { step, usdr: evaluation.usdr });
        }
        self.state.validated = Some(step);
        self.state.scores = evaluation.stems.iter().map(|(stem, s)| (stem.clone(), s.usdr)).collect();
        let event = ValidationEvent {
            step,
            songs: evaluation.songs.len(),
            stems: evaluation.stems,
            usdr: evaluation.usdr,
            baseline_usdr: evaluation.baseline_usdr,
            best,
            elapsed: self.elapsed(),
        };
        self.metrics.append("validation", &event)?;
        self.tell(&Event::Validation(&event));
        Ok(best)
    }

    fn save(&mut self) -> Result<(), TrainError> {
        self.state.elapsed = self.elapsed();
        let checkpoint = Checkpoint {
            state: self.state.clone(),
            weights: values(&self.weights)?,
            average: values(&self.average)?,
            moments: [values(&self.optimizer.moments[0])?, values(&self.optimizer.moments[1])?],
        };
        let path = self.checkpoints.save(&checkpoint, self.config.keep_checkpoints)?;
        self.tell(&Event::Saved { step: self.state.step, path: &path });
        Ok(())
    }

    /// Writes `model.safetensors`: the average at the best validation if there was one, else the last.
    fn export(&mut self) -> Result<(PathBuf, u64), TrainError> {
        let (mut average, mut state) = (self.average.clone(), self.state.clone());
        if let Some(best) = self.state.best.filter(|best| best.step != self.state.step) {
            match Checkpoint::read(&self.checkpoints.path(best.step)) {
                Ok(checkpoint) => {
                    average = vector(checkpoint.average, &self.device);
                    state = checkpoint.state;
                }
                Err(error) => self.say(&format!("the last weights are exported, not the best: {error}")),
            }
        }
        let path = self.folder.model();
        let provenance = export::provenance(self.config, &state);
        unbraid_model::weights::save(&path, &unpack(self.model.valid(), &average), &provenance)?;
        self.tell(&Event::Saved { step: state.step, path: &path });
        Ok((path, state.step))
    }

    fn elapsed(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    /// Share of the run that is done: of its steps, or of its time if that is further.
    fn progress(&self) -> f64 {
        let steps = self.state.step as f64 / self.config.steps as f64;
        self.config.max_minutes.map_or(steps, |minutes| steps.max(self.elapsed() / (60.0 * minutes)))
    }

    fn remaining(&self, pace: f64) -> f64 {
        let steps = self.config.steps.saturating_sub(self.state.step) as f64 * pace;
        let time = self.config.max_minutes.map_or(f64::INFINITY, |minutes| 60.0 * minutes - self.elapsed());
        steps.min(time).max(0.0)
    }

    fn tell(&mut self, event: &Event<'_>) {
        if self.listener.event(event) == Flow::Stop {
            self.stop = true;
        }
    }

    fn say(&mut self, message: &str) {
        self.tell(&Event::Message(message));
    }
}

/// `targets [b, s, 2, n]`, whose sums over stems are the mixtures → the losses `[total, waveform, spectral]` and the
/// gradient `[p]` at `weights`, computed in up to `workers` parts of the batch at once.
///
/// Losses are means over items, so the whole batch's are the parts' weighted means.
fn batch_gradient(
    model: &Tfswa,
    weights: &Tensor<1>,
    loss: &Loss,
    targets: &Tensor<4>,
    workers: usize,
) -> [Tensor<1>; 2] {
    let items = targets.dims()[0];
    let parts = targets.clone().split(items.div_ceil(workers), 0);
    // Leaves of its own: parts share no graph.
    let parts: Vec<_> = parts.into_iter().map(|part| (unpack(model.clone(), weights), part)).collect();
    let run = |(model, part): (Tfswa, Tensor<4>)| {
        let share = part.dims()[0] as f64 / items as f64;
        gradient(&model, loss, part).map(|mean| if share < 1.0 { mean.mul_scalar(share) } else { mean })
    };
    let parts: Vec<_> = parts.into_par_iter().map(run).collect();
    parts.into_iter().reduce(|[a, b], [c, d]| [a + c, b + d]).expect("a batch has an item")
}

/// `targets [b, s, 2, n]`, whose sum is the mixture → the losses `[total, waveform, spectral]` and the gradient
/// `[p]`.
fn gradient(model: &Tfswa, loss: &Loss, targets: Tensor<4>) -> [Tensor<1>; 2] {
    let [b, _, channels, n] = targets.dims();
    let targets = targets.autodiff();
    let mixture = targets.clone().sum_dim(1).reshape([b, channels, n]);
    let losses = loss.forward(model.forward(mixture), targets);
    let values = [losses.total.clone(), losses.waveform, losses.spectral].map(Tensor::inner);
    [Tensor::cat(values.into(), 0), pack_gradients(model, losses.total.backward())]
}

/// The checkpoint to go on from; `None` for a fresh run.
fn find_checkpoint(
    config: &TrainConfig,
    model: &ModelConfig,
    resume: bool,
    folder: &RunFolder,
    listener: &mut dyn Listener,
) -> Result<Option<Checkpoint>, TrainError> {
    let run = || config.run.clone();
    if !resume {
        // Looks before it makes anything.
        let used = config.run.join("checkpoints").is_dir() && !folder.checkpoints()?.steps().is_empty();
        return if used { Err(TrainError::RunExists(run())) } else { Ok(None) };
    }
    let saved = folder.saved_config()?.ok_or_else(|| TrainError::NothingToResume(run()))?;
    if let Some(difference) = config.differs_from(&saved) {
        return Err(TrainError::Changed { run: run(), difference });
    }
    let checkpoints = folder.checkpoints()?;
    let any = !checkpoints.steps().is_empty();
    let checkpoint = checkpoints.newest(|message| {
        listener.event(&Event::Message(message));
    });
    match &checkpoint {
        Some(checkpoint) if checkpoint.state.model != *model => {
            return Err(TrainError::Changed { run: run(), difference: "model is another network".into() });
        }
        Some(checkpoint) => {
            let message = format!("going on after step {}", checkpoint.state.step);
            listener.event(&Event::Message(&message));
        }
        None if any => return Err(TrainError::AllDamaged(run())),
        None => {
            listener.event(&Event::Message("the run has no checkpoint yet: it starts from the beginning"));
        }
    }
    Ok(checkpoint)
}

/// The network as `seed` initialises it, with autodiff.
///
/// burn draws initial values from one generator per process when a parameter is first used: the lock and the
/// visit keep two trainers in one process apart.
fn initial_model(config: &ModelConfig, seed: u64, device: &Device) -> Tfswa {
    static DRAWING: Mutex<()> = Mutex::new(());
    let _guard = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    device.seed(seed);
    let model = config.init(&device.clone().autodiff());
    let _ = pack(&model);
    model
}

fn vector(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}

fn values(vector: &Tensor<1>) -> Result<Vec<f32>, TrainError> {
    vector.try_to_vec_as::<f32>().map_err(|e| TrainError::Device(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;

    /// Parts of unequal size too: three items for two workers.
    #[test]
    fn parts_of_a_batch_add_up_to_the_whole() {
        let device = Device::flex();
        let config = ModelConfig::preset("tfswa_unet_tiny").unwrap();
        let model = initial_model(&config, 1, &device);
        let weights = pack(&model);
        let settings = TrainConfig { loss_resolutions: vec![256], ..Default::default() };
        let loss = Loss::new(&settings).unwrap();
        let targets = Tensor::random([3, 4, 2, 2200], Distribution::Normal(0.0, 0.1), &device);
        let run = |workers| {
            batch_gradient(&model, &weights, &loss, &targets, workers)
                .map(|values| values.try_into_vec_as::<f32>().unwrap())
        };
        let whole = run(1);
        for workers in [2, 3, 8] {
            for (whole, parts) in whole.iter().zip(run(workers)) {
                let largest = whole.iter().fold(0f32, |m, x| m.max(x.abs()));
                let error = whole.iter().zip(&parts).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
                assert!(largest > 0.0 && error < 1e-4 * largest, "{workers} workers: {error} of {largest}");
            }
        }
    }
}
