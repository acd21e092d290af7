//! The flag `--sample-rate`, and stems at another sample rate than the model's.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use unbraid_audio::{AudioError, AudioWriter, Format, Resampler, Stereo};

/// The sample rate of the stems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StemRate {
    Model,
    Song,
    Hz(u32),
}

impl FromStr for StemRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "model" => Ok(Self::Model),
            "song" => Ok(Self::Song),
            _ => match text.parse() {
                Ok(hertz @ 1_000..=384_000) => Ok(Self::Hz(hertz)),
                _ => Err("must be model, song or a number from 1000 to 384000".into()),
            },
        }
    }
}

impl fmt::Display for StemRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model => f.write_str("model"),
            Self::Song => f.write_str("song"),
            Self::Hz(hertz) => hertz.fmt(f),
        }
    }
}

/// Writes a stem of the model's sample rate at another sample rate.
pub(super) struct StemWriter {
    writer: AudioWriter,
    resampler: Option<Resampler>,
}

impl StemWriter {
    /// Rates in Hz. `from` is that of the blocks, and `to` is that of the file.
    pub(super) fn create(path: &Path, format: Format, from: u32, to: u32) -> Result<Self, AudioError> {
        let resampler = (from != to).then(|| Resampler::new(from, to));
        Ok(Self { writer: AudioWriter::create(path, format, to)?, resampler })
    }

    pub(super) fn write(&mut self, block: &Stereo) -> Result<(), AudioError> {
        let Some(resampler) = &mut self.resampler else { return self.writer.write(block) };
        let mut converted = Stereo::default();
        resampler.push(block, &mut converted);
        self.writer.write(&converted)
    }

    /// Completes the file, of `frames` frames if it was resampled. Returns the number of clipped samples.
    pub(super) fn finish(mut self, frames: u64) -> Result<u64, AudioError> {
        if let Some(resampler) = &mut self.resampler {
            let mut rest = Stereo::default();
            resampler.finish_at(frames, &mut rest);
            self.writer.write(&rest)?;
        }
        self.writer.finish()
    }
}
