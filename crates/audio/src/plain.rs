//! Formats whose decoder outputs the song and nothing else: aiff, flac and wav with a compressed codec.

use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};
use symphonia::core::errors::Result;
use symphonia::core::formats::{FormatOptions, FormatReader, Track};
use symphonia::core::io::MediaSourceStream;
use symphonia::default::formats::{AiffReader, FlacReader, WavReader};

use crate::symphonia_decoder::SymphoniaFormat;
use crate::trim::{SeekInfo, Trim, to_i64};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    Aiff,
    Flac,
    CompressedWav,
}

impl SymphoniaFormat for Plain {
    fn container(&self) -> &'static str {
        match self {
            Self::Aiff => "aiff",
            Self::Flac => "flac",
            Self::CompressedWav => "wav",
        }
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>) -> Result<Box<dyn FormatReader>> {
        let options = FormatOptions::default();
        Ok(match self {
            Self::Aiff => Box::new(AiffReader::try_new(stream, options)?),
            Self::Flac => Box::new(FlacReader::try_new(stream, options)?),
            Self::CompressedWav => Box::new(WavReader::try_new(stream, options)?),
        })
    }

    fn name(&self, _: AudioCodecId) -> Option<&'static str> {
        Some(match self {
            Self::Aiff => "aiff",
            Self::Flac => "flac",
            Self::CompressedWav => "wav (compressed)",
        })
    }

    fn trim(&self, track: &Track, _: &AudioCodecParameters, _: u32) -> (Trim, Option<SeekInfo>) {
        let end = track.num_frames.map(to_i64);
        // Symphonia seeks to the wrong place in a wav whose samples come in blocks.
        let limit = end.filter(|_| *self != Self::CompressedWav);
        let seek = limit.map(|limit| SeekInfo { offset: 0, preroll: 0, limit });
        (Trim { origin: 0, start: 0, end }, seek)
    }
}
