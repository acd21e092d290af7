//! The formats that are written, and what each of them can hold.

use std::fmt;
use std::str::FromStr;

use crate::error::Problem;

/// The formats that [`AudioWriter`](crate::AudioWriter) writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Wav, 16-bit integers.
    Wav16,
    /// Wav, 24-bit integers.
    Wav24,
    /// Wav, 32-bit floats. Samples are not rounded, and clipped only on request.
    Wav32f,
    /// Flac, 24-bit integers.
    Flac,
    /// Flac, 16-bit integers.
    Flac16,
    /// MP3 with a variable bit rate, at the highest quality of its encoder.
    Mp3,
    /// Opus in Ogg, 256 kbit/s. Opus has a sample rate of 48 kHz, so other rates are resampled.
    Opus,
}

impl Format {
    /// All formats with their names.
    pub const ALL: [(&'static str, Self); 7] = [
        ("wav16", Self::Wav16),
        ("wav24", Self::Wav24),
        ("wav32f", Self::Wav32f),
        ("flac", Self::Flac),
        ("flac16", Self::Flac16),
        ("mp3", Self::Mp3),
        ("opus", Self::Opus),
    ];

    /// The extension of the file's name, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Wav16 | Self::Wav24 | Self::Wav32f => "wav",
            Self::Flac | Self::Flac16 => "flac",
            Self::Mp3 => "mp3",
            Self::Opus => "opus",
        }
    }

    /// Whether the format holds samples beyond full scale. The others clip them.
    pub fn exceeds_full_scale(self) -> bool {
        self == Self::Wav32f
    }

    /// Checks that a file of this format can have a sample rate of `rate` Hz.
    ///
    /// # Errors
    /// [`Problem::FormatRate`].
    pub fn check_rate(self, rate: u32) -> Result<(), Problem> {
        let accepted = match self {
            Self::Wav16 | Self::Wav24 | Self::Wav32f => rate > 0,
            // The limit of flacenc.
            Self::Flac | Self::Flac16 => (1..=96_000).contains(&rate),
            Self::Mp3 => MP3_RATES.contains(&rate),
            Self::Opus => (1000..=384_000).contains(&rate),
        };
        if accepted { Ok(()) } else { Err(Problem::FormatRate { format: self.to_string(), rate }) }
    }

    /// Checks that a file of this format can hold `frames` frames of stereo.
    ///
    /// # Errors
    /// [`Problem::TooLong`] beyond the 4 GiB of a wav.
    pub fn check_length(self, frames: u64) -> Result<(), Problem> {
        let sample_bytes = match self {
            Self::Wav16 => 2,
            Self::Wav24 => 3,
            Self::Wav32f => 4,
            Self::Flac | Self::Flac16 | Self::Mp3 | Self::Opus => return Ok(()),
        };
        // A wav counts its bytes in 32 bits. The header takes less than 100 bytes, and tags less than `RESERVED`.
        if frames > (u64::from(u32::MAX) - RESERVED) / (2 * sample_bytes) {
            return Err(Problem::TooLong("a wav file holds at most 4 GiB"));
        }
        Ok(())
    }

    /// Bits of an integer sample. `None` for floats and for formats with a lossy codec.
    pub(crate) fn bits(self) -> Option<u32> {
        match self {
            Self::Wav16 | Self::Flac16 => Some(16),
            Self::Wav24 | Self::Flac => Some(24),
            Self::Wav32f | Self::Mp3 | Self::Opus => None,
        }
    }
}

/// Bytes of a wav that are kept free for its header and its tags.
const RESERVED: u64 = 8 << 20;

/// The sample rates of MPEG-1 layer III in Hz. The lower rates of MPEG-2 would limit the quality.
const MP3_RATES: [u32; 3] = [32_000, 44_100, 48_000];

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
