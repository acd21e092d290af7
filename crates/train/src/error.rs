//! Why a training run ends before its time.

use crate::checkpoint::CheckpointError;
use crate::config::ConfigError;
use crate::dataset::DataError;
use crate::evaluate::EvaluateError;
use std::path::PathBuf;

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
    /// The device failed while computing.
    #[error("the device failed: {0}; go on with --resume, or with --device cpu")]
    Device(String),
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
         go on from it with --resume and a lower learning rate (--learning-rate, half of it as a start) or a lower \
         --clip-norm; if it happens at step 1 already, look for a damaged file in the data set"
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
