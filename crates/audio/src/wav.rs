//! Uncompressed wav. Training reads thousands of short segments, and this decoder reads a segment with one seek and
//! one read.
//!
//! Format: Microsoft's "Multimedia Programming Interface and Data Specifications 1.0" (RIFF WAVE), the
//! `WAVEFORMATEXTENSIBLE` structure, and RF64 (EBU Tech 3306) for files beyond 4 GiB.

use std::io::{Read, Seek, SeekFrom};

use symphonia::core::io::MediaSource;
use unbraid_base::Stereo;

use crate::decoder::Decoder;
use crate::error::Problem;
use crate::info::{AudioInfo, check_layout};
use crate::notice::{Notice, Notices, ReadOptions};
use crate::source::read_up_to;

/// Maximum number of frames that are read at once: more than a training segment, and 4 MiB of the widest samples.
const MAX_READ: usize = 1 << 18;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    U8,
    I16,
    I24,
    I32,
    F32,
    F64,
}

/// The position and the encoding of the samples in a wav file.
#[derive(Debug)]
pub(crate) struct Header {
    data_start: u64,
    /// Bytes of one frame: one sample of every channel.
    frame_bytes: usize,
    frames: u64,
    channels: usize,
    sample_rate: u32,
    encoding: Encoding,
}

/// Decoder of uncompressed wav.
pub(crate) struct WavDecoder {
    source: Box<dyn MediaSource>,
    header: Header,
    info: AudioInfo,
    notices: Notices,
    position: u64,
    bytes: Vec<u8>,
}

/// Reads the header. `None` if the codec is compressed.
pub(crate) fn parse(
    source: &mut dyn MediaSource,
    start: u64,
    length: u64,
) -> Result<Option<Header>, Problem> {
    let mut header = [0; 8];
    let mut format = None;
    let mut long_data = None;
    let mut position = start + 12;
    loop {
        if read_up_to(source, position, &mut header)? < 8 {
            return Err(Problem::Truncated("its header announces audio that is missing".into()));
        }
        let size = u64::from(le_u32(&header[4..]));
        let body = position + 8;
        match &header[..4] {
            b"fmt " => {
                let mut bytes = [0; 40];
                let wanted = size.min(40) as usize;
                if wanted < 16 {
                    return Err(Problem::header("its format chunk is too short"));
                }
                if read_up_to(source, body, &mut bytes[..wanted])? < wanted {
                    return Err(Problem::Truncated("it ends inside its header".into()));
                }
                format = Some(bytes);
            }
            b"ds64" => {
                let mut bytes = [0; 16];
                if read_up_to(source, body, &mut bytes)? == 16 {
                    long_data = Some(le_u64(&bytes[8..]));
                }
            }
            b"data" => {
                let format = format.ok_or_else(|| Problem::header("no format chunk precedes its audio"))?;
                let available = length.saturating_sub(body);
                let declared = match (size, long_data) {
                    (0xffff_ffff, Some(long)) => long,
                    // A program that streams wav does not know the length and writes this.
                    (0xffff_ffff, None) => available,
                    (size, _) => size,
                };
                if declared > available {
                    return Err(Problem::Truncated(format!(
                        "its header announces {declared} bytes of audio, but it holds {available}"
                    )));
                }
                return parse_format(&format, body, declared);
            }
            _ => {}
        }
        // Chunks are padded to an even size.
        position = body + size + size % 2;
    }
}

fn parse_format(format: &[u8; 40], data_start: u64, data_bytes: u64) -> Result<Option<Header>, Problem> {
    const EXTENSIBLE: u16 = 0xfffe;
    let channels = usize::from(le_u16(&format[2..]));
    let sample_rate = le_u32(&format[4..]);
    let frame_bytes = usize::from(le_u16(&format[12..]));
    let bits = usize::from(le_u16(&format[14..]));
    // In the extensible form the actual tag is the beginning of a 16-byte identifier.
    let tag = match le_u16(&format[0..]) {
        EXTENSIBLE => le_u16(&format[24..]),
        tag => tag,
    };
    if tag != 1 && tag != 3 {
        return Ok(None);
    }
    check_layout(channels, sample_rate)?;
    let sample_bytes = frame_bytes / channels;
    if frame_bytes % channels != 0 || bits.div_ceil(8) > sample_bytes || bits == 0 {
        return Err(Problem::header(format!("{bits}-bit samples do not fit frames of {frame_bytes} bytes")));
    }
    // If fewer bits are valid than a sample has, they are its upper bits. Therefore only the width matters.
    let encoding = match (tag, sample_bytes) {
        (1, 1) => Encoding::U8,
        (1, 2) => Encoding::I16,
        (1, 3) => Encoding::I24,
        (1, 4) => Encoding::I32,
        (3, 4) => Encoding::F32,
        (3, 8) => Encoding::F64,
        _ => return Err(Problem::Unsupported(format!("a wav file with {bits}-bit samples"))),
    };
    let frames = data_bytes / frame_bytes as u64;
    if frames == 0 {
        return Err(Problem::NoAudio);
    }
    Ok(Some(Header { data_start, frame_bytes, frames, channels, sample_rate, encoding }))
}

impl WavDecoder {
    pub(crate) fn new(source: Box<dyn MediaSource>, header: Header, options: ReadOptions) -> Self {
        let info = AudioInfo {
            format: "wav",
            sample_rate: header.sample_rate,
            channels: header.channels,
            frames: Some(header.frames),
        };
        Self { source, header, info, notices: Notices::new(options), position: 0, bytes: Vec::new() }
    }

    fn convert<const N: usize>(&self, out: &mut Stereo, sample: impl Fn([u8; N]) -> f32) {
        let (samples, rest) = self.bytes.as_chunks::<N>();
        assert!(rest.is_empty(), "frames are whole samples");
        let [left, right] = out;
        if self.header.channels == 1 {
            left.extend(samples.iter().map(|&s| sample(s)));
            right.extend_from_slice(&left[left.len() - samples.len()..]);
        } else {
            let (pairs, _) = samples.as_chunks::<2>();
            left.extend(pairs.iter().map(|&[l, _]| sample(l)));
            right.extend(pairs.iter().map(|&[_, r]| sample(r)));
        }
    }
}

impl Decoder for WavDecoder {
    fn info(&self) -> &AudioInfo {
        &self.info
    }

    fn notices(&self) -> &[Notice] {
        self.notices.list()
    }

    /// Appends up to `frames` frames, but no more than [`MAX_READ`].
    fn read(&mut self, frames: usize, out: &mut Stereo) -> Result<bool, Problem> {
        let left = self.header.frames - self.position;
        let frames = frames.min(MAX_READ).min(usize::try_from(left).unwrap_or(usize::MAX));
        if frames == 0 {
            return Ok(false);
        }
        let frame_bytes = self.header.frame_bytes;
        let start = self.header.data_start + self.position * frame_bytes as u64;
        self.source.seek(SeekFrom::Start(start)).map_err(Problem::Read)?;
        self.bytes.resize(frames * frame_bytes, 0);
        self.source.read_exact(&mut self.bytes).map_err(Problem::read)?;
        self.position += frames as u64;
        match self.header.encoding {
            Encoding::U8 => self.convert(out, |b: [u8; 1]| (f32::from(b[0]) - 128.0) / 128.0),
            Encoding::I16 => self.convert(out, |b| f32::from(i16::from_le_bytes(b)) / 32_768.0),
            // Shifted to the upper 24 bits and back, so that the sign is extended. 24 bits are exact in f32.
            Encoding::I24 => {
                self.convert(out, |[a, b, c]| (i32::from_le_bytes([0, a, b, c]) >> 8) as f32 / 8_388_608.0);
            }
            Encoding::I32 => self.convert(out, |b| i32::from_le_bytes(b) as f32 / 2_147_483_648.0),
            Encoding::F32 => self.convert(out, f32::from_le_bytes),
            Encoding::F64 => self.convert(out, |b| f64::from_le_bytes(b) as f32),
        }
        Ok(true)
    }

    fn seek(&mut self, frame: u64) -> Result<(), Problem> {
        self.position = frame.min(self.header.frames);
        Ok(())
    }
}

fn le_u16(bytes: &[u8]) -> u16 {
    u16::from_le_bytes([bytes[0], bytes[1]])
}

fn le_u32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn le_u64(bytes: &[u8]) -> u64 {
    u64::from(le_u32(bytes)) | u64::from(le_u32(&bytes[4..])) << 32
}
