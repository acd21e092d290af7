//! Training and judging a separation network: data sets, segments, losses, the loop, checkpoints, metrics.
//!
//! [`train`] runs a [`TrainConfig`] and tells a [`Listener`] how it goes; [`evaluate`] scores a network on whole
//! songs; [`metrics`] are the scores themselves. Nothing here knows a screen or parses arguments.
//!
//! Axis letters: `b` batch · `s` stems · `c` channels · `n` samples · `p` parameters.

pub mod checkpoint;
pub mod config;
pub mod dataset;
mod error;
mod evaluate;
mod events;
mod export;
mod learner;
pub mod loss;
mod loss_scale;
mod measure;
mod memory;
pub mod metrics;
mod muon;
pub mod optimizer;
pub mod parameters;
mod preset;
mod resume;
mod run;
pub mod segments;
pub mod synth;
mod trainer;

pub use config::{ConfigError, TrainConfig};
pub use dataset::{DataError, Track};
pub use error::TrainError;
pub use evaluate::{EvaluateError, Evaluation, SongScores, evaluate};
pub use events::{Event, Flow, Listener, StepEvent, ValidationEvent};
pub use loss_scale::LossScale;
pub use measure::{StepMeasurement, measure, rehearse};
pub use memory::{MemoryEvent, MemoryPhases};
pub use metrics::StemScores;
pub use preset::{CHUNK, Preset, rungs};
pub use run::{MetricsLog, RunFolder};
pub use trainer::{Report, train};
