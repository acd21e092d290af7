//! The JSON report.

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct SeparationReport {
    pub(super) device: String,
    pub(super) model: String,
    pub(super) songs: Vec<SongReport>,
}

#[derive(Debug, Serialize)]
pub(super) struct SongReport {
    // JSON is UTF-8, and a path may be in another encoding, so these are strings.
    pub(super) song: String,
    pub(super) stems: Vec<String>,
    pub(super) audio_seconds: f64,
    pub(super) wall_seconds: f64,
    /// Clipped samples, per stem.
    pub(super) clipped: Vec<u64>,
    /// The gain of all stems in dB, if they are rescaled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gain_db: Option<f64>,
}
