//! The training loop: steps, validations, checkpoints, export.

use crate::data::dataset::Dataset;
use crate::data::segments::{Loader, Segments};
use crate::error::{TrainError, read};
use crate::run::checkpoint::{Best, Checkpoint, RunState};
use crate::run::checkpoints::Checkpoints;
use crate::run::events::{Event, Flow, Listener, StepEvent};
use crate::run::export;
use crate::run::folder::{MetricsLog, RunFolder, RunLock};
use crate::run::guard::{BadBatch, GuardError, SAVED_AT};
use crate::settings::config::TrainConfig;
use crate::step::learner::{Learner, Outcome};
use crate::step::loss_scale::LossScale;
use crate::step::memory::MemoryEvent;
use crate::step::schedule::{Position, Schedule};
use burn::tensor::{Device, Tensor, TensorData};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Consecutive steps without a finite loss and gradient before the run ends. A run survives one bad batch, but weights
/// that are not finite do not recover.
const MOST_SKIPPED: u32 = 8;

/// The result of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainReport {
    /// Completed steps.
    pub steps: u64,
    /// Seconds of training, without interruptions.
    pub seconds: f64,
    /// Whether the listener stopped the run before its end.
    pub stopped: bool,
    /// Whether the run had reached its end before, so that it made no step.
    pub already_complete: bool,
    /// Whether the run ended because its validations no longer improved.
    pub stopped_early: bool,
    /// Steps whose update was skipped because the loss or the gradient was not finite.
    pub skipped: u64,
    /// The best validation. `None` without validation.
    pub best: Option<Best>,
    /// The memory at the last step and the peak of the run.
    pub memory: MemoryEvent,
    /// The exported model.
    pub model: PathBuf,
    /// The step whose weights are exported.
    pub model_step: u64,
}

/// A run in progress.
pub(super) struct Trainer<'a> {
    pub(super) config: &'a TrainConfig,
    pub(super) device: Device,
    pub(super) listener: &'a mut dyn Listener,
    pub(super) stop: bool,

    pub(super) dataset: Arc<dyn Dataset>,
    /// The source of whole batches.
    pub(super) segments: Segments,
    pub(super) loader: Loader,
    /// The tracks that validation scores.
    pub(super) validation: Vec<usize>,
    pub(super) learner: Learner,

    pub(super) state: RunState,
    /// The step of the newest checkpoint, unless the state has changed since.
    pub(super) saved: Option<u64>,
    pub(super) skipped: u64,
    pub(super) skipped_in_a_row: u32,
    /// Skipped steps that are no overflow of f16.
    pub(super) bad: u64,
    /// Where the batch of such a step was saved.
    pub(super) bad_batch: Option<PathBuf>,
    /// Seconds of the run before this process.
    pub(super) before: f64,
    pub(super) started: Instant,
    /// Seconds per step, smoothed.
    pub(super) pace: Option<f64>,

    pub(super) folder: RunFolder,
    pub(super) checkpoints: Checkpoints,
    pub(super) metrics: MetricsLog,
    pub(super) schedule: Schedule,
    /// Held until the run ends.
    pub(super) _lock: RunLock,
}

impl Trainer<'_> {
    /// The rest of the run: steps, checkpoints, export.
    ///
    /// # Errors
    /// Those of [`train`](crate::train).
    pub(super) fn run(mut self) -> Result<TrainReport, TrainError> {
        let already_complete = self.is_complete();
        let end = self.steps();
        // A song that cannot be read ends the run, but the weights are valid and worth saving.
        let valid = matches!(end, Ok(()) | Err(TrainError::Song { .. } | TrainError::Validation(_)));
        if valid && self.saved != Some(self.state.step) && (end.is_ok() || self.state.step > 0) {
            self.save()?;
        }
        end?;
        let (model, model_step) = self.export()?;
        self.learner.team.end();
        Ok(TrainReport {
            steps: self.state.step,
            seconds: self.elapsed(),
            stopped: self.stop,
            already_complete,
            stopped_early: self.has_stalled(),
            skipped: self.skipped,
            best: self.state.best,
            memory: self.learner.memory(),
            model,
            model_step,
        })
    }

    /// The remaining steps, with the validations and checkpoints that are due.
    fn steps(&mut self) -> Result<(), TrainError> {
        loop {
            let step = self.state.step;
            let due = |interval: u64| interval > 0 && step > 0 && step.is_multiple_of(interval);
            // Validation comes first, because an interruption may have prevented the validation of this step.
            let validates = due(self.config.validation_interval)
                && self.state.validated != Some(step)
                && self.has_time_to_validate();
            let better = validates && self.validate()?;
            if better || due(self.config.checkpoint_interval) && self.saved != Some(step) {
                self.save()?;
            }
            if self.is_complete() || self.stop {
                break;
            }
            self.step()?;
        }
        if !self.stop && self.config.validation_interval > 0 && self.state.validated != Some(self.state.step)
        {
            self.validate()?;
        }
        if self.has_stalled()
            && let Some(best) = self.state.best
        {
            let (step, validations) = (self.state.step, self.state.watch.stale);
            self.message(&format!(
                "step {step}: early stop; the best validation was at step {}, {validations} validations ago",
                best.step
            ));
        }
        Ok(())
    }

    /// Processes one batch and updates the weights once.
    fn step(&mut self) -> Result<(), TrainError> {
        let began = Instant::now();
        let position = Position { step: self.state.step, elapsed: self.elapsed() };
        let rate = self.schedule.rate(self.config.warmup_steps, position);
        let batch = self.loader.batch();
        let batch = batch.map_err(|source| TrainError::Song { step: self.state.step, source })?;
        if let Some(share) = self.loader.starving() {
            let workers = self.config.workers;
            let percent = 100.0 * share;
            self.message(&format!(
                "the device waited for data {percent:.0} % of the last steps' time; it has {workers} `workers`"
            ));
        }
        let batch = self.learner.team.deal(batch);
        let scale = self.learner.loss_scale;
        let outcome = self.learner.step(self.config, &batch, rate)?;
        let step = self.state.step + 1;
        if outcome.updated() {
            self.skipped_in_a_row = 0;
        } else {
            self.skip(step, &outcome, scale, rate)?;
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
            loss: outcome.loss,
            gradient_norm: outcome.norm,
            updated: outcome.updated(),
            losses: outcome.losses,
            skipped: self.skipped,
            loss_scale: scale.map(LossScale::factor),
            learning_rate: rate,
            speed: self.config.batch_size as f64 * self.config.segment_seconds / pace,
            memory: self.learner.memory(),
            elapsed: self.elapsed(),
            remaining: self.remaining(pace),
        };
        let logged = step.is_multiple_of(self.config.log_interval) || step == 1 || event.progress >= 1.0;
        if logged || !event.updated {
            self.metrics.append("step", &event)?;
        }
        self.report(&Event::Step(&event));
        let over = self.config.stall_steps;
        if over > 0
            && event.updated
            && let Some([before, now]) = self.state.watch.loss(event.loss, over)
        {
            self.message(&format!(
                "step {step}: the loss has not moved in {over} steps: its mean is {now:.4e}, after {before:.4e}"
            ));
        }
        Ok(())
    }

    /// Counts a step without an update. Too many in a row end the run, except while the loss scale can be halved.
    fn skip(
        &mut self,
        step: u64,
        outcome: &Outcome,
        scale: Option<LossScale>,
        rate: f64,
    ) -> Result<(), TrainError> {
        self.skipped += 1;
        if let Some(scale) = scale.filter(|scale| outcome.loss.is_finite() && scale.can_fall()) {
            self.message(&format!(
                "step {step}: the gradients overflowed f16 at a loss scale of {}; the scale is halved and the update skipped",
                scale.factor()
            ));
            return Ok(());
        }
        let what = if outcome.loss.is_finite() { "gradient" } else { "loss" };
        self.skipped_in_a_row += 1;
        self.bad += 1;
        if self.bad == SAVED_AT {
            self.save_batch(step, what, outcome, rate);
        }
        if self.skipped_in_a_row >= MOST_SKIPPED {
            let batch = self.bad_batch.take();
            return Err(TrainError::Diverged { step, what, times: self.skipped_in_a_row, batch });
        }
        self.message(&format!("step {step}: the {what} is not finite; the update is skipped"));
        Ok(())
    }

    /// Saves the batch of a step that made no update. It is made again from the songs, because a process may compute
    /// only a part of it.
    fn save_batch(&mut self, step: u64, what: &'static str, outcome: &Outcome, rate: f64) {
        let saved = self.segments.batch(step - 1).map_err(GuardError::from).and_then(|items| {
            let batch = BadBatch {
                step,
                what,
                outcome,
                rate,
                seed: self.config.seed,
                items: &items,
                stems: &self.state.model.stems,
                sample_rate: self.state.model.sample_rate,
            };
            batch.save(&self.folder.bad_batches())
        });
        // A full disk must not end the run here.
        let message = match saved {
            Ok(path) => {
                let message = format!("step {step}: its batch is saved in {}", path.display());
                self.bad_batch = Some(path);
                message
            }
            Err(error) => format!("step {step}: its batch cannot be saved: {error}"),
        };
        self.message(&message);
    }

    /// Writes a checkpoint.
    fn save(&mut self) -> Result<(), TrainError> {
        self.state.elapsed = self.elapsed();
        let layout = &self.state.layout;
        let values = |vector| Ok::<_, TrainError>(layout.without_gaps(&values(vector)?));
        let [first, second] = &self.learner.optimizer.moments;
        let checkpoint = Checkpoint {
            state: self.state.clone(),
            weights: values(&self.learner.weights)?,
            average: values(&self.learner.average)?,
            moments: [values(first)?, values(second)?],
        };
        let path = self.checkpoints.save(&checkpoint, self.config.keep_checkpoints)?;
        self.saved = Some(self.state.step);
        self.report(&Event::Saved { step: self.state.step, path: &path });
        Ok(())
    }

    /// Writes `model.safetensors` with the average at the best validation, or at the end if there was none. Returns the
    /// file and the step of its weights.
    fn export(&mut self) -> Result<(PathBuf, u64), TrainError> {
        let (mut average, mut state) = (self.learner.average.clone(), self.state.clone());
        if let Some(best) = self.state.best.filter(|best| best.step != self.state.step) {
            match Checkpoint::read(&self.checkpoints.path(best.step)) {
                Ok(checkpoint) => {
                    let parameters = self.state.layout.with_gaps(&checkpoint.average);
                    average = vector(parameters, &self.device);
                    state = checkpoint.state;
                }
                Err(error) => {
                    self.message(&format!("the last weights are exported instead of the best: {error}"));
                }
            }
        }
        let path = self.folder.model();
        let provenance = export::provenance(self.config, &state);
        unbraid_model::weights::save(&path, &self.learner.network(&average), &provenance)?;
        self.report(&Event::Saved { step: state.step, path: &path });
        Ok((path, state.step))
    }

    /// Whether the run has reached a limit or stopped improving.
    fn is_complete(&self) -> bool {
        self.progress() >= 1.0 || self.has_stalled()
    }

    /// Whether `early_stop` ends the run.
    fn has_stalled(&self) -> bool {
        self.config.early_stop > 0 && self.state.watch.stale >= self.config.early_stop
    }

    /// Seconds of training, without interruptions.
    pub(super) fn elapsed(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    /// Completed share of the run: of the steps or of the time, whichever is larger.
    fn progress(&self) -> f64 {
        let steps = self.state.step as f64 / self.config.steps as f64;
        self.config.max_minutes.map_or(steps, |minutes| steps.max(self.elapsed() / (60.0 * minutes)))
    }

    /// Seconds until the end at `pace` seconds per step.
    fn remaining(&self, pace: f64) -> f64 {
        let steps = self.config.steps.saturating_sub(self.state.step) as f64 * pace;
        let time = self.config.max_minutes.map_or(f64::INFINITY, |minutes| 60.0 * minutes - self.elapsed());
        steps.min(time).max(0.0)
    }

    pub(super) fn report(&mut self, event: &Event<'_>) {
        if self.listener.event(event) == Flow::Stop {
            self.stop = true;
        }
    }

    pub(super) fn message(&mut self, message: &str) {
        self.report(&Event::Message(message));
    }
}

pub(super) fn vector(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}

pub(super) fn values(vector: &Tensor<1>) -> Result<Vec<f32>, TrainError> {
    read(vector.try_to_vec_as::<f32>())
}
