//! Training and evaluation of a separation network.
//!
//! [`train`] runs a [`TrainConfig`] and reports its progress to a [`Listener`]. [`evaluate`] scores a network on whole
//! songs. [`measure`] and [`dry_run`] estimate the time and memory of a step. This crate prints nothing and parses no
//! arguments.
//!
//! The folders follow the data: `data` (tracks and segments) → `loss` → `step` (gradient and update) → `run` (the loop,
//! checkpoints, events) → `score` (separation of whole songs). `settings` configures them.
//!
//! Axis letters: `b` batch · `s` stems · `c` channels · `n` samples · `p` parameters.

mod data;
mod error;
pub mod loss;
mod run;
mod score;
pub mod settings;
mod step;

pub use data::check::check;
pub use data::check::report::{CheckReport, Fault, FaultKind, FileCheck, SongCheck};
pub use data::dataset::{
    DataError, DataOptions, Dataset, Excerpt, Grouping, Series, TrackBlock, TrackInfo, TrackReader,
};
pub use data::endless::{MakeError, MakeSongs, SongMaker, register_song_makers};
pub use data::formats::{open_dataset, open_dataset_with};
pub use data::recipe::Recipe;
pub use data::roots::{Root, Roots, open_roots};
pub use data::source::Source;
pub use data::split::{Split, split};
pub use data::summary::summary;
pub use error::TrainError;
pub use run::checkpoint::{Best, Checkpoint, CheckpointError, RunState};
pub use run::checkpoints::Checkpoints;
pub use run::events::{Event, Flow, Listener, StepEvent, ValidationEvent};
pub use run::folder::{MetricsLog, RunFolder};
#[cfg(feature = "mpi")]
pub use run::follow::follow;
pub use run::start::{open_training_data, train};
pub use run::trainer::TrainReport;
pub use run::watch::Watch;
pub use score::ensemble::{Ensemble, EnsembleError, Member, average_parameters};
pub use score::evaluate::{EvaluateError, evaluate, evaluate_ensemble};
pub use score::evaluation::{Evaluation, SilentSongs, SongScores};
pub use score::folders::{FolderScores, Folders, FoldersError, score_folders};
pub use score::metrics::StemScores;
pub use score::statistics::{CONFIDENCE, MetricStatistics, Statistic, Statistics};
pub use settings::config::{ConfigError, SETTINGS, TrainConfig};
pub use settings::preset::{CHUNK, MemoryPreset, fallbacks};
pub use settings::setting::Setting;
pub use step::freeze::FreezeError;
pub use step::loss_scale::LossScale;
pub use step::measure::{StepMeasurement, dry_run, measure};
pub use step::memory::{MemoryEvent, MemoryPhases};
pub use step::parameters::{ParameterLayout, pack};
#[cfg(feature = "mpi")]
pub use step::ranks::Ranks;
pub use step::replica::check_loss;
pub use step::schedule::{Course, Position, Schedule};
pub use step::team::Crew;
