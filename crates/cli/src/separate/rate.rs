//! The flag `--sample-rate`, and stems at another sample rate than the model's.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use unbraid_audio::{AudioError, Resampler, Stereo, WriteOptions};

use super::stem_file::{Peaks, StemFile};

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
    file: StemFile,
    resampler: Option<Resampler>,
}

impl StemWriter {
    /// `from` is the rate of the blocks in Hz. That of the file is among its options.
    pub(super) fn create(
        path: &Path,
        options: WriteOptions,
        clip: Peaks,
        from: u32,
    ) -> Result<Self, AudioError> {
        let resampler = (from != options.rate).then(|| Resampler::new(from, options.rate));
        Ok(Self { file: StemFile::create(path, options, clip)?, resampler })
    }

    pub(super) fn write(&mut self, block: &Stereo) -> Result<(), AudioError> {
        let Some(resampler) = &mut self.resampler else { return self.file.write(block) };
        let mut converted = Stereo::default();
        resampler.push(block, &mut converted);
        self.file.write(&converted)
    }

    /// Ends the stem, of `frames` frames if it was resampled. Returns its file, which is to be completed.
    pub(super) fn finish(mut self, frames: u64) -> Result<StemFile, AudioError> {
        if let Some(resampler) = &mut self.resampler {
            let mut rest = Stereo::default();
            resampler.finish_at(frames, &mut rest);
            self.file.write(&rest)?;
        }
        Ok(self.file)
    }
}
