//! Training and judging a separation network: data sets, segments, losses, the loop, checkpoints, metrics.
//!
//! [`train`] runs a [`TrainConfig`] and tells a [`Listener`] how it goes; [`evaluate`] scores a network on whole
//! songs; [`metrics`] are the scores themselves. Nothing here knows a screen or parses arguments.
//!
//! Axis letters: `b` batch · `s` stems · `c` channels · `n` samples · `p` parameters.

pub mod data;
mod error;
pub mod loss;
pub mod run;
pub mod score;
pub mod settings;
pub mod step;

pub use data::dataset::{DataError, Track};
pub use error::TrainError;
pub use run::events::{Event, Flow, Listener, StepEvent, ValidationEvent};
pub use run::folder::{MetricsLog, RunFolder};
pub use run::trainer::{Report, train};
pub use score::evaluate::{EvaluateError, Evaluation, SongScores, evaluate};
pub use score::metrics::StemScores;
pub use settings::config::{ConfigError, SETTINGS, TrainConfig};
pub use settings::preset::{CHUNK, MemoryPreset, fallbacks};
pub use settings::setting::Setting;
pub use step::loss_scale::LossScale;
pub use step::measure::{StepMeasurement, measure, rehearse};
pub use step::memory::{MemoryEvent, MemoryPhases};
