//! Wav with ADPCM, which symphonia demuxes and decodes.
//!
//! Symphonia reads as many bytes as the header states. [`AdpcmWav::patch`] gives it a header with the right number.

use std::io::{self, Read, Seek, SeekFrom};

use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};
use symphonia::core::errors::Result as SymphoniaResult;
use symphonia::core::formats::{FormatOptions, FormatReader, Track};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::default::formats::WavReader;

use crate::error::Problem;
use crate::extent::Extent;
use crate::notice::Notices;
use crate::symphonia_decoder::SymphoniaFormat;
use crate::trim::{SeekInfo, Trim, to_i64};

pub(crate) struct AdpcmWav {
    extent: Extent,
    /// Bytes per second.
    byte_rate: f64,
    /// Position of the file's first byte and of the first byte of audio.
    positions: (u64, u64),
}

impl AdpcmWav {
    pub(crate) fn new(extent: Extent, byte_rate: f64, positions: (u64, u64)) -> Self {
        Self { extent, byte_rate, positions }
    }

    /// The source with the sizes that the file should state.
    pub(crate) fn patch(&self, source: Box<dyn MediaSource>) -> Box<dyn MediaSource> {
        const UNKNOWN: u32 = u32::MAX;
        let (start, body) = self.positions;
        let audio = u32::try_from(self.extent.bytes).unwrap_or(UNKNOWN);
        let file = [b"RIFF".as_slice(), &UNKNOWN.to_le_bytes()].concat();
        let patches = [(start, file), (body - 4, audio.to_le_bytes().to_vec())];
        Box::new(Patched { source, patches, position: 0 })
    }
}

impl SymphoniaFormat for AdpcmWav {
    fn container(&self) -> &'static str {
        "wav"
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(WavReader::try_new(stream, FormatOptions::default())?))
    }

    fn name(&self, _: AudioCodecId) -> Option<&'static str> {
        Some("wav (adpcm)")
    }

    fn report(&self, notices: &mut Notices, _: u32) -> Result<(), Problem> {
        self.extent.report(notices, self.byte_rate)
    }

    /// No seeking: symphonia seeks to the wrong place in a wav whose samples come in blocks.
    fn trim(&self, track: &Track, _: &AudioCodecParameters, _: u32) -> (Trim, Option<SeekInfo>) {
        (Trim { origin: 0, start: 0, end: track.num_frames.map(to_i64) }, None)
    }
}

/// A source some of whose bytes are replaced.
struct Patched {
    source: Box<dyn MediaSource>,
    /// Positions and new bytes.
    patches: [(u64, Vec<u8>); 2],
    position: u64,
}

impl Read for Patched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        for (at, patch) in &self.patches {
            for (position, byte) in (*at..).zip(patch) {
                let index = position.checked_sub(self.position).and_then(|index| usize::try_from(index).ok());
                if let Some(target) = index.and_then(|index| buffer[..count].get_mut(index)) {
                    *target = *byte;
                }
            }
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Patched {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = self.source.seek(to)?;
        Ok(self.position)
    }
}

impl MediaSource for Patched {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        self.source.byte_len()
    }
}
