//! The reason why a training run cannot start or continue. The messages state facts, and a front end adds advice.

use crate::data::dataset::DataError;
use crate::loss::term::LossError;
use crate::run::checkpoint::CheckpointError;
use crate::score::evaluate::EvaluateError;
use crate::settings::config::ConfigError;
use crate::step::freeze::FreezeError;
use std::fmt;
use std::path::PathBuf;
use unbraid_ops::device::{MemoryRefused, memory_refused};

/// The reason why a training run cannot start or continue.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data set cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A song cannot be read during the run.
    #[error("the run ended after step {step}: {source}")]
    Song {
        /// Completed steps.
        step: u64,
        /// The failure, which names the file and, where it is known, the time in it.
        source: DataError,
    },
    /// The loss cannot be built.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// A file of the run cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A validation failed.
    #[error("validation: {0}")]
    Validation(#[from] EvaluateError),
    /// The exported model cannot be written.
    #[error(transparent)]
    Weights(#[from] unbraid_model::weights::WeightsError),
    /// The patterns of `freeze` cannot be used.
    #[error(transparent)]
    Freeze(#[from] FreezeError),
    /// No parameter of the weights file `init` fits the network.
    #[error(
        "no parameter of {} fits: it holds the network \"{theirs}\", and the run's is \"{ours}\"", path.display()
    )]
    NothingFits {
        /// The weights file.
        path: PathBuf,
        /// The name of its network.
        theirs: String,
        /// The name of the run's network.
        ours: String,
    },
    /// The device lacks the precision of the configuration.
    #[error("precision = \"f16\" needs a GPU with 16-bit floats, and this device is not one")]
    NoF16,
    /// A batch cannot be divided into equal parts.
    #[error("batch_size = {batch} cannot be divided among {parts} devices")]
    Parts {
        /// Segments of a batch.
        batch: usize,
        /// Devices of all processes.
        parts: usize,
    },
    /// A process has other songs than the one that leads the run.
    #[error("the songs in {0} (their names and lengths) are not those of rank 0")]
    OtherSongs(String),
    /// The device failed while computing.
    #[error("the device failed: {0}")]
    Device(String),
    /// The device refused memory that a step needs.
    #[error("the device does not have enough memory: {0}")]
    OutOfMemory(MemoryRefused),
    /// A step took more memory than `memory_limit`.
    #[error("a step took {:.1} MB of memory, and the limit is {:.1} MB", *taken as f64 / 1e6, *limit as f64 / 1e6)]
    OverLimit {
        /// Bytes that the step took.
        taken: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A new run would overwrite an earlier one.
    #[error("{} already holds checkpoints of a run", .0.display())]
    RunExists(PathBuf),
    /// Another process is training the run.
    #[error("another process is training the run in {}", .0.display())]
    Locked(PathBuf),
    /// The run has checkpoints, but its settings are gone.
    #[error("{} holds checkpoints of a run, but its settings (config.toml) are missing", .0.display())]
    SettingsLost(PathBuf),
    /// There is no run to resume.
    #[error("{} holds no run to resume", .0.display())]
    NothingToResume(PathBuf),
    /// All checkpoints of the run are damaged.
    #[error("every checkpoint of {} is damaged; the files are kept with the extension .damaged", .0.display())]
    AllDamaged(PathBuf),
    /// The configuration differs from that of the run to resume.
    #[error("{} cannot be resumed: {difference}", run.display())]
    Changed {
        /// The run's folder.
        run: PathBuf,
        /// The field, its value now, and its value in the run.
        difference: String,
    },
    /// The checkpoint's parameters are not those of the network.
    #[error("{} cannot be resumed: its checkpoint has other parameters than the network of this version", .0.display())]
    OtherParameters(PathBuf),
    /// The loss or the gradient is no longer finite.
    #[error(
        "step {step}: the {what} was not finite {times} times in a row; the last checkpoint is from an earlier step{}",
        batch.as_ref().map(|batch| format!("; {} holds a batch", batch.display())).unwrap_or_default()
    )]
    Diverged {
        /// The step at which the run ended.
        step: u64,
        /// The value that was not finite: the loss or the gradient.
        what: &'static str,
        /// Number of consecutive steps.
        times: u32,
        /// The folder of a batch whose loss or gradient was not finite, if one was saved.
        batch: Option<PathBuf>,
    },
}

impl TrainError {
    /// Whether settings that need less memory would help.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::OutOfMemory(_) | Self::OverLimit { .. })
    }
}

/// Values that were read from a device, unless the device refused memory: the values are undefined then.
///
/// # Errors
/// [`TrainError::OutOfMemory`], or [`TrainError::Device`] if reading failed.
pub(crate) fn read<T>(values: Result<T, impl fmt::Display>) -> Result<T, TrainError> {
    match memory_refused() {
        Some(refused) => Err(TrainError::OutOfMemory(refused)),
        None => values.map_err(|error| TrainError::Device(error.to_string())),
    }
}
