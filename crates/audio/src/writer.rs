//! Writes stereo to a file that appears under its name complete or not at all.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use unbraid_base::Stereo;
use unbraid_base::file::WholeFile;

use crate::error::{AudioError, Problem};
use crate::flac::{self, FlacWriter};

/// The formats that [`AudioWriter`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Wav, 16-bit integers.
    Wav16,
    /// Wav, 24-bit integers.
    Wav24,
    /// Wav, 32-bit floats. Samples are neither rounded nor clipped.
    Wav32f,
    /// Flac, 24-bit integers.
    Flac,
}

impl Format {
    /// All formats with their names.
    pub const ALL: [(&'static str, Self); 4] =
        [("wav16", Self::Wav16), ("wav24", Self::Wav24), ("wav32f", Self::Wav32f), ("flac", Self::Flac)];

    /// The extension of the file's name, without the dot.
    pub fn extension(self) -> &'static str {
        if self == Self::Flac { "flac" } else { "wav" }
    }

    /// Checks that a file of this format can hold `frames` frames of stereo.
    ///
    /// # Errors
    /// [`Problem::TooLong`] beyond the 4 GiB of a wav.
    pub fn check_length(self, frames: u64) -> Result<(), Problem> {
        // A wav counts its bytes in 32 bits. The header takes less than 100 bytes.
        let frame_bytes = 2 * u64::from(self.bits().unwrap_or(32) / 8);
        if self != Self::Flac && frames > (u64::from(u32::MAX) - 100) / frame_bytes {
            return Err(Problem::TooLong("a wav file holds at most 4 GiB"));
        }
        Ok(())
    }

    /// Bits of an integer sample. `None` for floats.
    fn bits(self) -> Option<u32> {
        match self {
            Self::Wav16 => Some(16),
            Self::Wav24 => Some(24),
            Self::Wav32f => None,
            Self::Flac => Some(flac::BITS as u32),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, format)| format == self).map_or("", |(name, _)| name);
        f.pad(name)
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, format)| *format).ok_or_else(|| {
            let names = Self::ALL.map(|(name, _)| name).join(", ");
            format!("unknown format '{text}'; the formats are {names}")
        })
    }
}

enum Encoder {
    Wav(hound::WavWriter<BufWriter<File>>),
    Flac(Box<FlacWriter<BufWriter<File>>>),
}

/// Writes stereo to a temporary file in the target's folder. [`finish`](Self::finish) gives it the target's name.
/// A writer that is dropped before that removes its file.
pub struct AudioWriter {
    encoder: Encoder,
    file: WholeFile,
    path: PathBuf,
    format: Format,
    rate: u32,
    frames: u64,
    clipped: u64,
}

impl AudioWriter {
    /// Starts a file at `rate` Hz. An existing file of that name stays until `finish` replaces it.
    ///
    /// # Errors
    /// [`Problem::Write`] if the folder is missing or cannot be written to. [`Problem::SampleRate`] for a rate that
    /// the format cannot hold.
    pub fn create(path: &Path, format: Format, rate: u32) -> Result<Self, AudioError> {
        Self::start(path, format, rate).map_err(|problem| AudioError::new(Some(path), problem))
    }

    fn start(path: &Path, format: Format, rate: u32) -> Result<Self, Problem> {
        // The limit of flacenc.
        const MAX_FLAC_RATE: u32 = 96_000;
        if rate == 0 || (format == Format::Flac && rate > MAX_FLAC_RATE) {
            return Err(Problem::SampleRate(rate));
        }
        let file = WholeFile::create(path).map_err(Problem::Write)?;
        let out = BufWriter::with_capacity(1 << 16, file.handle().map_err(Problem::Write)?);
        let encoder = match format {
            Format::Flac => Encoder::Flac(Box::new(FlacWriter::new(out, rate).map_err(Problem::Write)?)),
            Format::Wav16 | Format::Wav24 | Format::Wav32f => {
                let (bits_per_sample, sample_format) = match format.bits() {
                    Some(bits) => (bits as u16, hound::SampleFormat::Int),
                    None => (32, hound::SampleFormat::Float),
                };
                let spec = hound::WavSpec { channels: 2, sample_rate: rate, bits_per_sample, sample_format };
                Encoder::Wav(hound::WavWriter::new(out, spec).map_err(wav_error)?)
            }
        };
        Ok(Self { encoder, file, path: path.to_path_buf(), format, rate, frames: 0, clipped: 0 })
    }

    /// Appends a block of any length.
    ///
    /// Integer formats round to the nearest value and clip at full scale.
    ///
    /// # Errors
    /// [`Problem::NonFinite`] for a sample that is NaN or infinite. [`Problem::TooLong`] beyond the 4 GiB of a wav.
    /// [`Problem::Write`] if the system refuses, for example because the disk is full.
    ///
    /// # Panics
    /// If the channels differ in length.
    pub fn write(&mut self, block: &Stereo) -> Result<(), AudioError> {
        self.append(block).map_err(|problem| AudioError::new(Some(&self.path), problem))
    }

    fn append(&mut self, block: &Stereo) -> Result<(), Problem> {
        let [left, right] = block;
        assert_eq!(left.len(), right.len(), "both channels have the same length");
        for channel in block {
            if let Some(index) = channel.iter().position(|sample| !sample.is_finite()) {
                let seconds = (self.frames + index as u64) as f64 / f64::from(self.rate);
                return Err(Problem::NonFinite { seconds });
            }
        }
        self.frames += left.len() as u64;
        self.format.check_length(self.frames)?;
        let interleaved = left.iter().zip(right).flat_map(|(&left, &right)| [left, right]);
        let scale = self.format.bits().map_or(0.0, |bits| f64::from(1 << (bits - 1)));
        if self.format.bits().is_some() {
            self.clipped += interleaved.clone().filter(|sample| sample.abs() > 1.0).count() as u64;
        }
        let quantised = interleaved
            .clone()
            .map(|sample| (f64::from(sample) * scale).round().clamp(-scale, scale - 1.0) as i32);
        match &mut self.encoder {
            Encoder::Flac(flac) => flac.write(quantised).map_err(Problem::Write),
            Encoder::Wav(wav) => match self.format.bits() {
                None => interleaved.into_iter().try_for_each(|sample| wav.write_sample(sample)),
                Some(_) => quantised.into_iter().try_for_each(|sample| wav.write_sample(sample)),
            }
            .map_err(wav_error),
        }
    }

    /// Completes the file, syncs it to disk and gives it its name. Returns the number of clipped samples, summed over
    /// both channels. It is 0 for floats.
    ///
    /// # Errors
    /// [`Problem::Write`]. Then an existing file of that name is unchanged.
    pub fn finish(self) -> Result<u64, AudioError> {
        let Self { encoder, file, path, clipped, .. } = self;
        let done = match encoder {
            Encoder::Wav(wav) => wav.finalize().map_err(wav_error),
            Encoder::Flac(flac) => flac.finish().map(drop).map_err(Problem::Write),
        };
        done.and_then(|()| file.commit().map_err(Problem::Write))
            .map_err(|problem| AudioError::new(Some(&path), problem))?;
        Ok(clipped)
    }
}

fn wav_error(error: hound::Error) -> Problem {
    Problem::Write(match error {
        hound::Error::IoError(error) => error,
        error => io::Error::other(error),
    })
}

#[cfg(test)]
mod tests {
    use super::{AudioWriter, Format};
    use crate::error::Problem;

    #[test]
    fn a_wav_beyond_4_gib_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let block = [vec![0.0; 100], vec![0.0; 100]];
        for (name, format) in Format::ALL {
            let path = folder.path().join(name);
            let mut writer = AudioWriter::create(&path, format, 44_100).expect("a writable folder");
            // Pretends that 4 GiB less a few frames have been written.
            writer.frames = match format {
                Format::Wav16 => (1 << 30) - 60,
                Format::Wav24 => (1 << 32) / 6 - 60,
                Format::Wav32f | Format::Flac => (1 << 29) - 60,
            };
            let result = writer.write(&block).map_err(|error| error.problem);
            assert_eq!(
                matches!(result, Err(Problem::TooLong(_))),
                format != Format::Flac,
                "{name}: {result:?}"
            );
            // A damaged header may state such a length.
            assert_eq!(format.check_length(u64::MAX).is_err(), format != Format::Flac, "{name}");
        }
    }
}
