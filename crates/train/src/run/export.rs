//! The provenance that an exported model carries.

use crate::run::checkpoint::RunState;
use crate::settings::config::TrainConfig;
use time::OffsetDateTime;
use unbraid_model::weights::Provenance;

/// The provenance of the weights in `state`.
pub(crate) fn provenance(config: &TrainConfig, state: &RunState) -> Provenance {
    Provenance {
        tool: concat!("unbraid ", env!("CARGO_PKG_VERSION")).into(),
        date: OffsetDateTime::now_utc().date().to_string(),
        data: config.data.names(),
        steps: state.step,
        seed: config.seed,
        segment_seconds: config.segment_seconds,
        overlap: 0.0,
        scores: state.scores.iter().map(|(stem, usdr)| (format!("uSDR {stem}"), *usdr)).collect(),
        notes: format!("moving average of the weights after {:.1} minutes of training", state.elapsed / 60.0),
    }
}
