//! Why a training run ends before its time.

use crate::data::dataset::DataError;
use crate::run::checkpoint::CheckpointError;
use crate::score::evaluate::EvaluateError;
use crate::settings::config::ConfigError;
use std::fmt;
use std::path::PathBuf;
use unbraid_ops::device::{MemoryRefused, memory_refused};

/// Why a training run cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data set.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A transform of the loss.
    #[error("loss_resolutions: {0}")]
    Loss(#[from] unbraid_ops::StftError),
    /// The disk.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A validation.
    #[error("validation: {0}")]
    Validation(#[from] EvaluateError),
    /// The finished model cannot be written.
    #[error(transparent)]
    Weights(#[from] unbraid_model::weights::WeightsError),
    /// `precision` asks for what the device does not have.
    #[error(
        "precision = \"f16\" needs a GPU with 16-bit floats, and this device has none (`unbraid doctor` lists them); \
         train with --precision f32"
    )]
    NoF16,
    /// The device failed while computing.
    #[error("the device failed: {0}; go on with --resume, or with --device cpu")]
    Device(String),
    /// The device did not give the memory that a step takes.
    #[error("the device's memory does not suffice: {0}")]
    OutOfMemory(MemoryRefused),
    /// A step took more memory than `memory_limit` allows.
    #[error("a step took {} MB of memory, and the limit is {} MB", taken / 1_000_000, limit / 1_000_000)]
    OverLimit {
        /// Bytes taken.
        taken: u64,
        /// Bytes that may be.
        limit: u64,
    },
    /// A fresh run would write over an old one.
    #[error("{} already holds checkpoints: give --resume to go on with that run, or name another folder", .0.display())]
    RunExists(PathBuf),
    /// There is no run to resume.
    #[error("{} holds no run to resume: leave out --resume to start one", .0.display())]
    NothingToResume(PathBuf),
    /// No checkpoint of the run is whole.
    #[error(
        "every checkpoint of {} is damaged (they are kept, under the ending .damaged): start again without --resume",
        .0.display()
    )]
    AllDamaged(PathBuf),
    /// The run to resume was another one.
    #[error("{} cannot be resumed: {difference}; set it back, or start a new run", run.display())]
    Changed {
        /// The run's folder.
        run: PathBuf,
        /// The field, what it is and what it was.
        difference: String,
    },
    /// The checkpoint's parameters are not the network's.
    #[error("{} cannot be resumed: its checkpoint has other parameters than this version's network", .0.display())]
    OtherParameters(PathBuf),
    /// Loss or gradient are no longer finite.
    #[error(
        "step {step}: the {what} was not a finite number {times} times in a row. The last checkpoint is from before; \
         go on from it with --resume and a lower learning rate (--learning-rate, half of it as a start); if it happens at step 1 already, look for a damaged file in the data set"
    )]
    Diverged {
        /// The step at which the run gave up.
        step: u64,
        /// What was not finite.
        what: &'static str,
        /// For how many steps.
        times: u32,
    },
}

impl TrainError {
    /// Whether thriftier settings would help.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::OutOfMemory(_) | Self::OverLimit { .. })
    }
}

/// What was read from a device, unless the memory that it was computed in was refused.
pub(crate) fn read<T>(values: Result<T, impl fmt::Display>) -> Result<T, TrainError> {
    match memory_refused() {
        Some(refused) => Err(TrainError::OutOfMemory(refused)),
        None => values.map_err(|error| TrainError::Device(error.to_string())),
    }
}
