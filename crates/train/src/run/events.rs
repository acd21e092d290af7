//! The events that a run reports to its listener. Terminal, log and tests are listeners. This crate prints nothing.

use crate::score::evaluation::SilentSongs;
use crate::score::metrics::StemScores;
use crate::step::memory::MemoryEvent;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::path::Path;

/// A listener's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Continue.
    Continue,
    /// Stop at the next safe point, with a checkpoint.
    Stop,
}

/// Receives the progress of a run and may end it.
pub trait Listener {
    /// Called on the training thread: the run waits until it returns.
    fn event(&mut self, event: &Event<'_>) -> Flow;
}

/// An event of a run.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A line of text for people.
    Message(&'a str),
    /// A training step is complete.
    Step(&'a StepEvent),
    /// A validation or evaluation begins a song.
    Song {
        /// The song.
        name: &'a str,
        /// Songs scored before it.
        done: usize,
        /// Number of songs.
        total: usize,
    },
    /// A validation is complete.
    Validation(&'a ValidationEvent),
    /// A checkpoint or the model was written completely.
    Saved {
        /// Steps whose result the file holds.
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
    /// Completed share of the run (0 to 1), in steps or in time, whichever is larger.
    pub progress: f64,
    /// The loss that is minimised: the weighted sum of `losses`.
    pub loss: f64,
    /// The terms of the loss by name, without their weights. Serialised as `loss_NAME`.
    #[serde(flatten, serialize_with = "with_prefix")]
    pub losses: BTreeMap<&'static str, f64>,
    /// Norm of all gradients, before clipping.
    pub gradient_norm: f64,
    /// False if the update was skipped because the loss or the gradient was not finite.
    pub updated: bool,
    /// Steps whose update was skipped since this process started or resumed the run.
    pub skipped: u64,
    /// The factor of the loss in the backward pass, in f16 training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Seconds of training audio per second of wall time.
    pub speed: f64,
    /// Memory taken by the step.
    #[serde(flatten)]
    pub memory: MemoryEvent,
    /// Seconds since the run began, without interruptions.
    pub elapsed: f64,
    /// Estimate of the remaining seconds, from the pace of the last steps.
    pub remaining: f64,
}

/// Scores of the moving average of the weights on the validation songs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValidationEvent {
    /// Steps done.
    pub step: u64,
    /// Number of songs.
    pub songs: usize,
    /// Per stem, averaged over the songs in which it sounds. A stem that is silent in every song is absent.
    pub stems: BTreeMap<String, StemScores>,
    /// The stems that are silent in some song.
    pub silent: BTreeMap<String, SilentSongs>,
    /// uSDR averaged over the stems, dB. `None` if every stem is silent in every song.
    pub usdr: Option<f64>,
    /// cSDR averaged over the stems, dB. `None` if no stem has one.
    pub csdr: Option<f64>,
    /// uSDR of the mixture scaled by its best constant, averaged over the stems, dB.
    pub baseline_usdr: Option<f64>,
    /// Whether it is the best so far.
    pub best: bool,
    /// Seconds since the run began, without interruptions.
    pub elapsed: f64,
}

/// Serialises the terms of the loss as `loss_NAME`.
fn with_prefix<S: Serializer>(
    losses: &BTreeMap<&'static str, f64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(losses.iter().map(|(name, value)| (format!("loss_{name}"), value)))
}
