//! Validations of a run, and what follows from them: the best step, the learning rate of a plateau, the early stop.

use crate::error::TrainError;
use crate::run::checkpoint::Best;
use crate::run::events::{Event, ValidationEvent};
use crate::run::trainer::Trainer;
use crate::score::evaluate::evaluate;
use crate::settings::config::Metric;
use std::time::Instant;
use unbraid_model::SeparatorOptions;
use unbraid_ops::device::memory_refused;

impl Trainer<'_> {
    /// Whether a validation keeps within its share of the time. Says so if it does not.
    pub(super) fn has_time_to_validate(&mut self) -> bool {
        let (share, elapsed) = (self.config.validation_time_share, self.elapsed());
        let has_time = self.validation.is_empty() || self.state.watch.has_time(share, elapsed);
        if !has_time {
            let [spent, _] = self.state.watch.validating;
            self.message(&format!(
                "step {}: the validation is left out; validations have taken {spent:.0} of {elapsed:.0} s",
                self.state.step
            ));
        }
        has_time
    }

    /// Scores the moving average of the weights on the validation songs. Returns whether the score is the best so far.
    pub(super) fn validate(&mut self) -> Result<bool, TrainError> {
        if self.validation.is_empty() {
            return Ok(false);
        }
        let began = Instant::now();
        let model = self.learner.network(&self.learner.average);
        let options = SeparatorOptions {
            segment: self.config.segment_samples(&self.state.model),
            overlap: SeparatorOptions::DEFAULT_OVERLAP,
            batch: self.config.examples_at_once().min(64),
        };
        let limit = self.config.validation_seconds;
        let evaluation = evaluate(&model, &*self.dataset, &self.validation, &options, limit, self.listener);
        let evaluation = evaluation
            .map_err(|error| memory_refused().map_or_else(|| error.into(), TrainError::OutOfMemory))?;
        let Some(evaluation) = evaluation else {
            self.stop = true;
            return Ok(false);
        };
        let step = self.state.step;
        let now = evaluation.usdr.map(|usdr| Best { step, usdr, csdr: evaluation.csdr });
        // Without a stem that sounds, no model is better than another.
        let best = now.filter(|now| self.is_better(now));
        self.state.best = best.or(self.state.best);
        self.state.validated = Some(step);
        self.saved = None;
        self.state.scores = evaluation.stems.iter().map(|(stem, s)| (stem.clone(), s.usdr)).collect();
        self.state.watch.took(began.elapsed().as_secs_f64());
        let event = ValidationEvent {
            step,
            songs: evaluation.songs.len(),
            stems: evaluation.stems,
            silent: evaluation.silent,
            usdr: evaluation.usdr,
            csdr: evaluation.csdr,
            baseline_usdr: evaluation.baseline_usdr,
            best: best.is_some(),
            elapsed: self.elapsed(),
        };
        self.metrics.append("validation", &event)?;
        self.report(&Event::Validation(&event));
        if self.state.watch.validated(event.best, self.config.plateau_patience) {
            self.reduce_rate();
        }
        Ok(event.best)
    }

    fn is_better(&self, now: &Best) -> bool {
        let score = |best: &Best| match self.config.best_metric {
            Metric::Usdr => Some(best.usdr),
            Metric::Csdr => best.csdr,
        };
        let before = self.state.best.as_ref().and_then(score);
        score(now).is_some_and(|now| before.is_none_or(|before| now > before))
    }

    /// Reduces the learning rate, if its schedule is that of a plateau.
    fn reduce_rate(&mut self) {
        let position = self.state.position();
        let reduced = self.schedule.reduced();
        let (before, now) = (self.schedule.base_rate(position), reduced.base_rate(position));
        self.schedule = reduced;
        self.state.schedule = Some(reduced);
        if now < before {
            let patience = self.config.plateau_patience;
            self.message(&format!(
                "step {}: {patience} validations without an improvement; the learning rate falls from {before:.2e} to \
                 {now:.2e}",
                self.state.step
            ));
        }
    }
}
