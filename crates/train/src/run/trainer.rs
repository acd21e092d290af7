//! The training loop.

use crate::data::dataset::{Track, digest, scan, split};
use crate::data::segments::{Loader, Segments};
use crate::error::{TrainError, read};
use crate::run::checkpoint::{Best, Checkpoint, Checkpoints, State};
use crate::run::events::{Event, Flow, Listener, StepEvent, ValidationEvent};
use crate::run::export;
use crate::run::folder::{MetricsLog, RunFolder};
use crate::run::resume::find_checkpoint;
use crate::score::evaluate::evaluate;
use crate::settings::config::TrainConfig;
use crate::step::learner::{Learner, check_precision};
use crate::step::loss_scale::LossScale;
use crate::step::memory::MemoryEvent;
use crate::step::optimizer::learning_rate;
use crate::step::parameters::{Layout, initial_weights, unpack};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use unbraid_model::SeparatorOptions;
use unbraid_ops::device::memory_refused;

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
    /// The memory that the last step found taken, and the most of the run.
    pub memory: MemoryEvent,
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
    check_precision(config, device)?;
    Trainer::prepare(config, resume, device, listener)?.run()
}

struct Trainer<'a> {
    config: &'a TrainConfig,
    device: Device,
    listener: &'a mut dyn Listener,
    stop: bool,

    loader: Loader,
    validation: Vec<Track>,
    learner: Learner,

    state: State,
    /// The step whose state the newest checkpoint holds, if it holds all of it.
    saved: Option<u64>,
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
}

impl<'a> Trainer<'a> {
    fn prepare(
        config: &'a TrainConfig,
        resume: bool,
        device: &Device,
        listener: &'a mut dyn Listener,
    ) -> Result<Self, TrainError> {
        let model_config = config.model_config()?;
        let tracks = scan(&config.data.join("train"), &model_config.stems, model_config.sample_rate)?;
        let data = digest(&tracks);
        let (training, validation) = split(tracks, config.validation_share, config.seed);

        let folder = RunFolder::new(&config.run);
        let checkpoint = find_checkpoint(config, &model_config, data, resume, &folder, listener)?;
        let checkpoints = folder.checkpoints()?;
        folder.save_config(config)?;

        let device = device.clone().without_autodiff();
        let weights = initial_weights(&model_config, config.seed, &device);
        let mut learner = Learner::new(config, &model_config, weights)?;
        let layout = Layout::of(&learner.model);
        let saved = checkpoint.as_ref().map(|checkpoint| checkpoint.state.step);
        let state = match checkpoint {
            Some(Checkpoint { state, weights, average, moments }) => {
                if state.layout != layout {
                    return Err(TrainError::OtherParameters(config.run.clone()));
                }
                learner.weights = vector(weights, &device);
                learner.average = vector(average, &device);
                learner.optimizer.moments = moments.map(|moment| vector(moment, &device));
                learner.optimizer.updates = state.updates;
                learner.loss_scale = learner.loss_scale.map(|fresh| state.loss_scale.unwrap_or(fresh));
                State { model: model_config.clone(), ..state }
            }
            None => State::new(model_config.clone(), layout),
        };
        let state = State { data: Some(data), ..state };
        let samples = config.segment_samples(&model_config);
        let segments = Segments::new(training, model_config.sample_rate, samples, config);
        let metrics = folder.open_metrics(state.step)?;
        Ok(Self {
            learner,
            loader: Loader::start(&Arc::new(segments), state.step),
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
            state,
            saved,
            folder,
            checkpoints,
            metrics,
        })
    }

    fn run(mut self) -> Result<Report, TrainError> {
        let end = self.steps();
        // What ended it was a song, which takes nothing from the weights.
        let whole = matches!(end, Ok(()) | Err(TrainError::Data(_) | TrainError::Validation(_)));
        if whole && self.saved != Some(self.state.step) && (end.is_ok() || self.state.step > 0) {
            self.save()?;
        }
        end?;
        let (model, model_step) = self.export()?;
        Ok(Report {
            steps: self.state.step,
            seconds: self.elapsed(),
            stopped: self.stop,
            skipped: self.skipped,
            best: self.state.best,
            memory: self.learner.memory.event(),
            model,
            model_step,
        })
    }

    /// All steps that are left, with the validations and checkpoints that are due.
    fn steps(&mut self) -> Result<(), TrainError> {
        loop {
            let step = self.state.step;
            let due = |interval: u64| interval > 0 && step > 0 && step.is_multiple_of(interval);
            // First of all the one that an interruption left out.
            let validates = due(self.config.validation_interval) && self.state.validated != Some(step);
            let better = validates && self.validate()?;
            if better || due(self.config.checkpoint_interval) && self.saved != Some(step) {
                self.save()?;
            }
            if self.progress() >= 1.0 || self.stop {
                break;
            }
            self.step()?;
        }
        if !self.stop && self.config.validation_interval > 0 && self.state.validated != Some(self.state.step)
        {
            self.validate()?;
        }
        Ok(())
    }

    /// One batch, one update.
    fn step(&mut self) -> Result<(), TrainError> {
        let began = Instant::now();
        let rate = learning_rate(self.config, self.state.step, self.progress());
        let (b, s) = (self.config.batch_size, self.state.model.stems.len());
        let n = self.config.segment_samples(&self.state.model);
        let targets = TensorData::new(self.loader.batch()?, [b, s, 2, n]);
        let targets = Tensor::from_data(targets, &self.device);
        let scale = self.learner.loss_scale;
        let outcome = self.learner.step(self.config, &targets, rate)?;
        let step = self.state.step + 1;
        if outcome.updated() {
            self.skipped_in_a_row = 0;
        } else {
            self.skip(step, outcome.total.is_finite(), scale)?;
        }
        self.state.step = step;
        self.state.updates = self.learner.optimizer.updates;
        self.state.loss_scale = self.learner.loss_scale;

        let took = began.elapsed().as_secs_f64();
        let pace = self.pace.map_or(took, |pace| 0.9 * pace + 0.1 * took);
        self.pace = Some(pace);
        let event = StepEvent {
            step,
            steps: self.config.steps,
            progress: self.progress(),
            loss: outcome.total,
            loss_waveform: outcome.waveform,
            loss_spectral: outcome.spectral,
            gradient_norm: outcome.norm,
            updated: outcome.updated(),
            skipped: self.skipped,
            loss_scale: scale.map(LossScale::factor),
            learning_rate: rate,
            speed: b as f64 * self.config.segment_seconds / pace,
            memory: self.learner.memory.event(),
            elapsed: self.elapsed(),
            remaining: self.remaining(pace),
        };
        if step.is_multiple_of(self.config.log_interval) || !event.updated {
            self.metrics.append("step", &event)?;
        }
        self.tell(&Event::Step(&event));
        Ok(())
    }

    /// Notes a step without an update; too many in a row end the run, but for those that a smaller loss scale cures.
    fn skip(&mut self, step: u64, finite_loss: bool, scale: Option<LossScale>) -> Result<(), TrainError> {
        self.skipped += 1;
        if let Some(scale) = scale.filter(|scale| finite_loss && scale.can_fall()) {
            self.say(&format!(
                "step {step}: gradients left f16's range at a loss scale of {}; it is halved, the update left out",
                scale.factor()
            ));
            return Ok(());
        }
        let what = if finite_loss { "gradient" } else { "loss" };
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
        let model = unpack(self.learner.model.clone(), &self.learner.average).valid();
        let options = SeparatorOptions {
            segment: self.config.segment_samples(&self.state.model),
            overlap: VALIDATION_OVERLAP,
            batch: self.config.examples_at_once().min(64),
        };
        let limit = self.config.validation_seconds;
        let evaluation = evaluate(&model, &self.validation, &options, limit, self.listener);
        let evaluation = evaluation
            .map_err(|error| memory_refused().map_or_else(|| error.into(), TrainError::OutOfMemory))?;
        let Some(evaluation) = evaluation else {
            self.stop = true;
            return Ok(false);
        };
        let step = self.state.step;
        let best = self.state.best.is_none_or(|best| evaluation.usdr > best.usdr);
        if best {
            self.state.best = Some(Best { step, usdr: evaluation.usdr });
        }
        self.state.validated = Some(step);
        self.saved = None;
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
            weights: values(&self.learner.weights)?,
            average: values(&self.learner.average)?,
            moments: [
                values(&self.learner.optimizer.moments[0])?,
                values(&self.learner.optimizer.moments[1])?,
            ],
        };
        let path = self.checkpoints.save(&checkpoint, self.config.keep_checkpoints)?;
        self.saved = Some(self.state.step);
        self.tell(&Event::Saved { step: self.state.step, path: &path });
        Ok(())
    }

    /// Writes `model.safetensors`: the average at the best validation if there was one, else the last.
    fn export(&mut self) -> Result<(PathBuf, u64), TrainError> {
        let (mut average, mut state) = (self.learner.average.clone(), self.state.clone());
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
        unbraid_model::weights::save(
            &path,
            &unpack(self.learner.model.clone(), &average).valid(),
            &provenance,
        )?;
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

fn vector(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}

fn values(vector: &Tensor<1>) -> Result<Vec<f32>, TrainError> {
    read(vector.try_to_vec_as::<f32>())
}
