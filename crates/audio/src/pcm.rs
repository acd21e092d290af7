//! Uncompressed samples: the decoder that wav, w64, caf, aiff and au share, and their conversion, which mov uses too.
//!
//! Training reads thousands of short segments. This decoder reads a segment with one seek and one read.

use std::io::{Read, Seek, SeekFrom};

use symphonia::core::io::MediaSource;
use unbraid_base::Stereo;

use crate::decoder::Decoder;
use crate::downmix::Mixer;
use crate::error::Problem;
use crate::extent::Extent;
use crate::info::{AudioInfo, check_layout};
use crate::notice::{Notice, Notices, ReadOptions};

/// Maximum number of bytes that are read at once: more than a training segment.
const MAX_READ: usize = 1 << 22;

/// The type of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    /// Unsigned, with 128 for silence.
    U8,
    I8,
    I16,
    I24,
    I32,
    F32,
    F64,
    /// Logarithmic, 8 bits (ITU-T G.711).
    ALaw,
    /// Logarithmic, 8 bits (ITU-T G.711).
    MuLaw,
}

impl Sample {
    /// Signed integers of `bytes` bytes.
    pub(crate) fn integer(bytes: usize) -> Option<Self> {
        [Self::I8, Self::I16, Self::I24, Self::I32].get(bytes.checked_sub(1)?).copied()
    }

    /// Floats of `bytes` bytes.
    pub(crate) fn float(bytes: usize) -> Option<Self> {
        match bytes {
            4 => Some(Self::F32),
            8 => Some(Self::F64),
            _ => None,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::ALaw | Self::MuLaw => 1,
            Self::I16 => 2,
            Self::I24 => 3,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// What a header states about the samples.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    /// The container's name in [`AudioInfo::format`].
    pub(crate) format: &'static str,
    pub(crate) sample: Sample,
    pub(crate) big_endian: bool,
    pub(crate) sample_rate: u32,
    pub(crate) mixer: Mixer,
}

impl Layout {
    /// Bytes of one frame: one sample of every channel.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.mixer.channels() * self.sample.bytes()
    }

    /// Appends the frames of `bytes`, which holds whole frames.
    pub(crate) fn append(&self, bytes: &[u8], out: &mut Stereo) {
        match self.sample {
            Sample::U8 => self.convert(bytes, out, |b: [u8; 1]| (f32::from(b[0]) - 128.0) / 128.0),
            Sample::I8 => self.convert(bytes, out, |b| f32::from(i8::from_le_bytes(b)) / 128.0),
            Sample::I16 => self.convert(bytes, out, |b| f32::from(i16::from_le_bytes(b)) / 32_768.0),
            // Shifted to the upper 24 bits and back, so that the sign is extended. 24 bits are exact in f32.
            Sample::I24 => {
                self.convert(bytes, out, |[a, b, c]| {
                    (i32::from_le_bytes([0, a, b, c]) >> 8) as f32 / 8_388_608.0
                });
            }
            Sample::I32 => self.convert(bytes, out, |b| i32::from_le_bytes(b) as f32 / 2_147_483_648.0),
            Sample::F32 => self.convert(bytes, out, f32::from_le_bytes),
            Sample::F64 => self.convert(bytes, out, |b| f64::from_le_bytes(b) as f32),
            Sample::ALaw => self.convert(bytes, out, |[b]| f32::from(a_law(b)) / 32_768.0),
            Sample::MuLaw => self.convert(bytes, out, |[b]| f32::from(mu_law(b)) / 32_768.0),
        }
    }

    fn convert<const N: usize>(&self, bytes: &[u8], out: &mut Stereo, sample: impl Fn([u8; N]) -> f32) {
        let (samples, rest) = bytes.as_chunks::<N>();
        assert!(rest.is_empty(), "frames are whole samples");
        if self.big_endian && N > 1 {
            let reversed = samples.iter().map(|&bytes| {
                let mut bytes = bytes;
                bytes.reverse();
                sample(bytes)
            });
            self.mixer.append_interleaved(reversed, out);
        } else {
            self.mixer.append_interleaved(samples.iter().map(|&bytes| sample(bytes)), out);
        }
    }
}

/// Decoder of uncompressed samples.
pub(crate) struct PcmDecoder {
    source: Box<dyn MediaSource>,
    layout: Layout,
    /// Position of the first sample in the source.
    start: u64,
    frames: u64,
    info: AudioInfo,
    notices: Notices,
    position: u64,
    bytes: Vec<u8>,
}

impl PcmDecoder {
    /// A decoder of the samples at byte `start` of `source`. `extent` tells how many bytes they are.
    pub(crate) fn new(
        source: Box<dyn MediaSource>,
        layout: Layout,
        start: u64,
        extent: &Extent,
        options: ReadOptions,
    ) -> Result<Self, Problem> {
        check_layout(layout.mixer.channels(), layout.sample_rate)?;
        let frame_bytes = layout.frame_bytes() as u64;
        let mut notices = Notices::new(options);
        extent.report(&mut notices, frame_bytes as f64 * f64::from(layout.sample_rate))?;
        let frames = extent.bytes / frame_bytes;
        if frames == 0 {
            return Err(Problem::NoAudio);
        }
        layout.mixer.notice().into_iter().for_each(|notice| notices.add(notice));
        let info = AudioInfo {
            format: layout.format,
            sample_rate: layout.sample_rate,
            channels: layout.mixer.channels(),
            frames: Some(frames),
        };
        Ok(Self { source, layout, start, frames, info, notices, position: 0, bytes: Vec::new() })
    }
}

impl Decoder for PcmDecoder {
    fn info(&self) -> &AudioInfo {
        &self.info
    }

    fn notices(&self) -> &[Notice] {
        self.notices.list()
    }

    /// Appends up to `frames` frames, but no more than [`MAX_READ`] bytes.
    fn read(&mut self, frames: usize, out: &mut Stereo) -> Result<bool, Problem> {
        let frame_bytes = self.layout.frame_bytes();
        let left = self.frames - self.position;
        let frames = frames.min(MAX_READ / frame_bytes).min(usize::try_from(left).unwrap_or(usize::MAX));
        if frames == 0 {
            return Ok(false);
        }
        let start = self.start + self.position * frame_bytes as u64;
        self.source.seek(SeekFrom::Start(start)).map_err(Problem::Read)?;
        self.bytes.resize(frames * frame_bytes, 0);
        self.source.read_exact(&mut self.bytes).map_err(Problem::read)?;
        self.position += frames as u64;
        self.layout.append(&self.bytes, out);
        Ok(true)
    }

    fn seek(&mut self, frame: u64) -> Result<(), Problem> {
        self.position = frame.min(self.frames);
        Ok(())
    }
}

/// Sign, exponent and mantissa of a logarithmic sample. Both laws store some of the bits inverted.
fn fields(byte: u8, inverted: u8) -> (bool, u32, i16) {
    let byte = byte ^ inverted;
    (byte & 0x80 != 0, u32::from(byte >> 4 & 7), i16::from(byte & 15))
}

fn a_law(byte: u8) -> i16 {
    let (positive, exponent, mantissa) = fields(byte, 0x55);
    let magnitude = match exponent {
        0 => (mantissa << 4) + 8,
        _ => ((mantissa << 4) + 0x108) << (exponent - 1),
    };
    if positive { magnitude } else { -magnitude }
}

fn mu_law(byte: u8) -> i16 {
    const BIAS: i16 = 0x84;
    let (negative, exponent, mantissa) = fields(byte, 0xff);
    let magnitude = (((mantissa << 3) + BIAS) << exponent) - BIAS;
    if negative { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::{a_law, mu_law};

    /// Values from the tables of ITU-T G.711, scaled to 16 bits.
    #[test]
    fn logarithmic_samples_have_the_values_of_the_recommendation() {
        assert_eq!([0xd5, 0x55, 0xaa, 0x2a, 0x80].map(a_law), [8, -8, 32_256, -32_256, 5_504]);
        assert_eq!([0xff, 0x7f, 0x80, 0x00, 0xf0].map(mu_law), [0, 0, 32_124, -32_124, 120]);
    }
}
