//! The seam between a training step and the others that compute parts of its batch: further devices of the process, or
//! other processes.

use crate::data::items::Items;
use crate::error::TrainError;
use crate::settings::config::TrainConfig;

/// What the others need before the first step.
#[cfg_attr(not(feature = "mpi"), expect(dead_code, reason = "only other processes need it"))]
pub(crate) struct Start<'a> {
    pub(crate) config: &'a TrainConfig,
    /// Checksum of the names and lengths of the tracks.
    pub(crate) data: u32,
    /// Index of the first batch.
    pub(crate) batch: u64,
}

/// What the others need for a step.
pub(crate) struct Order<'a> {
    /// The weights, `[p]`.
    pub(crate) weights: &'a [f32],
    /// The factor of the loss.
    pub(crate) scale: f64,
    /// The items of each further device of this process.
    pub(crate) parts: &'a [Items],
}

/// Others that compute parts of every batch. They follow the one process that holds the state of the run, so no state
/// can differ between them.
pub(crate) trait Exchange {
    /// The number of parts of the batch, the own one included. All have the same size.
    fn parts(&self) -> usize;

    /// Called once, before the first step.
    ///
    /// # Errors
    /// If the others cannot be reached.
    fn start(&mut self, _start: &Start<'_>) -> Result<(), TrainError> {
        Ok(())
    }

    /// Lets the others begin with their parts of a batch. Does not wait for them.
    ///
    /// # Errors
    /// If the others cannot be reached.
    fn begin(&mut self, order: &Order<'_>) -> Result<(), TrainError>;

    /// Waits for the others. Replaces the vector of the own part by the mean of the vectors of all parts, which are
    /// added in a fixed order.
    ///
    /// # Errors
    /// The error of another.
    fn mean(&mut self, own: &mut Vec<f32>) -> Result<(), TrainError>;

    /// Called after the last step of a run that has not failed.
    fn end(&mut self) {}
}

/// Adds `other` to `sum`.
pub(crate) fn add(sum: &mut [f32], other: &[f32]) {
    sum.iter_mut().zip(other).for_each(|(sum, other)| *sum += other);
}

/// Divides `sum` by the number of its parts.
pub(crate) fn divide(sum: &mut [f32], parts: usize) {
    let share = 1.0 / parts as f32;
    sum.iter_mut().for_each(|value| *value *= share);
}
