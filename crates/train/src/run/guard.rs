//! Saves a batch whose loss or gradient is not finite, so that people can look at it and listen to it.

use crate::data::dataset::DataError;
use crate::data::items::Items;
use crate::step::learner::Outcome;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use unbraid_audio::{AudioError, AudioWriter, Format};
use unbraid_base::file::write_whole;

/// Steps without a finite loss and gradient, since the process started the run, at which the batch is saved. A single
/// one may be chance.
pub(crate) const SAVED_AT: u64 = 2;

/// A batch and what is known about its step.
pub(crate) struct BadBatch<'a> {
    /// The step, counted from 1.
    pub(crate) step: u64,
    /// The value that is not finite: the loss or the gradient.
    pub(crate) what: &'static str,
    /// The result of the step.
    pub(crate) outcome: &'a Outcome,
    /// Learning rate of the step.
    pub(crate) rate: f64,
    /// Seed of the run.
    pub(crate) seed: u64,
    /// The segments of the batch.
    pub(crate) items: &'a Items,
    /// The stems, `s`.
    pub(crate) stems: &'a [String],
    /// Sample rate in Hz.
    pub(crate) sample_rate: u32,
}

/// The reason why a batch cannot be saved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuardError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Audio(#[from] AudioError),
    #[error(transparent)]
    File(#[from] std::io::Error),
}

impl BadBatch<'_> {
    /// Writes `FOLDER/step-STEP/segment-I/STEM.wav` and `batch.json`. The folder of the step appears when it is
    /// complete. Returns it.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(crate) fn save(&self, folder: &Path) -> Result<PathBuf, GuardError> {
        let whole = folder.join(format!("step-{:06}", self.step));
        let part = folder.join(format!(".step-{:06}.part", self.step));
        // A killed process may have left a part, and a resumed run repeats the step.
        for old in [&part, &whole] {
            if old.exists() {
                std::fs::remove_dir_all(old)?;
            }
        }
        let stems = self.stems.len();
        let Items { samples, groupings } = self.items;
        let n = samples.len() / (groupings.len() * stems * 2);
        let mut peaks = Vec::new();
        for (i, (segment, grouping)) in samples.chunks_exact(stems * 2 * n).zip(groupings).enumerate() {
            let folder = part.join(format!("segment-{i}"));
            std::fs::create_dir_all(&folder)?;
            let mut of_segment = Map::new();
            for first in grouping.sources() {
                let (stem, channels) = (grouping.name(first, self.stems), &segment[first * 2 * n..][..2 * n]);
                let path = folder.join(format!("{stem}.wav"));
                let mut writer = AudioWriter::create(&path, Format::Wav32f, self.sample_rate)?;
                writer.write(&[channels[..n].to_vec(), channels[n..].to_vec()])?;
                writer.finish()?;
                let peak = channels.iter().fold(0f32, |peak, x| peak.max(x.abs()));
                of_segment.insert(stem, number(peak.into()));
            }
            peaks.push(Value::Object(of_segment));
        }
        let losses = self.outcome.losses.iter().map(|(name, value)| ((*name).into(), number(*value)));
        let first = (self.step - 1) * self.items.len() as u64;
        let description = json!({
            "step": self.step,
            "not_finite": self.what,
            "loss": number(self.outcome.loss),
            "losses": losses.collect::<Map<_, _>>(),
            "gradient_norm": number(self.outcome.norm),
            "learning_rate": self.rate,
            "seed": self.seed,
            "first_segment": first,
            "peaks": peaks,
        });
        let text = serde_json::to_string_pretty(&description).expect("numbers and names serialise");
        write_whole(&part.join("batch.json"), text.as_bytes())?;
        std::fs::rename(&part, &whole)?;
        Ok(whole)
    }
}

/// JSON has no number for NaN and infinity.
fn number(value: f64) -> Value {
    if value.is_finite() { value.into() } else { value.to_string().into() }
}
