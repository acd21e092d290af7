//! What a run tells its listener. The core knows no screen; terminal, log and test are listeners.

use crate::score::metrics::StemScores;
use crate::step::memory::MemoryEvent;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// A listener's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// End at the next safe place, with a checkpoint.
    Stop,
}

/// Hears of a run's progress, and may end it.
pub trait Listener {
    /// Called from the training thread; what it does takes time from the run.
    fn event(&mut self, event: &Event<'_>) -> Flow;
}

/// Something that happened.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A line for people: what is going on, or what was noticed.
    Message(&'a str),
    /// A training step is done.
    Step(&'a StepEvent),
    /// A validation or evaluation has come this far.
    Song {
        /// The song being separated.
        name: &'a str,
        /// Songs done before it.
        done: usize,
        /// Songs in all.
        total: usize,
    },
    /// A validation is done.
    Validation(&'a ValidationEvent),
    /// A checkpoint or the model is on the disk, whole.
    Saved {
        /// After this many steps.
        step: u64,
        /// The file.
        path: &'a Path,
    },
}

/// A training step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepEvent {
    /// Steps done, this one included.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Share of the run that is done, in steps or in time, whichever is further.
    pub progress: f64,
    /// The loss that is minimised.
    pub loss: f64,
    /// Mean absolute error of the waveform.
    pub loss_waveform: f64,
    /// Spectral L1.
    pub loss_spectral: f64,
    /// Norm of all gradients, before clipping.
    pub gradient_norm: f64,
    /// Whether the update was made; not, if loss or gradient were not finite.
    pub updated: bool,
    /// Steps whose update was left out, since this process took up the run.
    pub skipped: u64,
    /// What the loss was multiplied by for the gradients, in f16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Seconds of audio trained on per second of wall time.
    pub speed: f64,
    /// Memory taken by the step.
    #[serde(flatten)]
    pub memory: MemoryEvent,
    /// Seconds since the run began, interruptions not counted.
    pub elapsed: f64,
    /// Seconds that remain, if it goes on as in the last steps.
    pub remaining: f64,
}

/// Scores of the moving average's weights on the validation songs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValidationEvent {
    /// Steps done.
    pub step: u64,
    /// Songs separated.
    pub songs: usize,
    /// Per stem, averaged over the songs.
    pub stems: BTreeMap<String, StemScores>,
    /// uSDR averaged over the stems, dB.
    pub usdr: f64,
    /// uSDR of the mixture scaled by its best constant, averaged over the stems, dB.
    pub baseline_usdr: f64,
    /// Whether it is the best so far.
    pub best: bool,
    /// Seconds since the run began.
    pub elapsed: f64,
}
