//! The flags of segments.

use clap::Args;
use unbraid_model::SeparatorOptions;
use unbraid_model::weights::Loaded;
use unbraid_ops::device;

fn above_zero(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0.0 && f64::is_finite(seconds) => Ok(seconds),
        _ => Err("give a number of seconds above 0".into()),
    }
}

/// How songs are cut into segments for the network.
#[derive(Debug, Args)]
pub(crate) struct Segmentation {
    /// Share of a segment that the next one overlaps, from 0 to 0.75, by default that of an imported model's
    /// configuration, or 0.25. More is smoother and slower
    #[arg(long, value_name = "SHARE")]
    overlap: Option<f32>,
    /// Length of a segment in seconds, by default as in training. Longer segments can lower the quality
    #[arg(long, value_name = "SECONDS", value_parser = above_zero)]
    segment: Option<f64>,
}

impl Segmentation {
    pub(crate) fn options(&self, loaded: &Loaded) -> SeparatorOptions {
        // Each segment in progress needs its own memory.
        const MOST_AT_ONCE: usize = 4;
        let seconds = self.segment.unwrap_or_else(|| loaded.segment_seconds());
        let segment = (seconds * f64::from(loaded.config.sample_rate)).round() as usize;
        let batch = device::workers(&loaded.model.device()).min(MOST_AT_ONCE);
        SeparatorOptions { segment, overlap: self.overlap.unwrap_or_else(|| loaded.overlap()), batch }
    }
}
