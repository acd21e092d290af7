//! Flac: finds the last complete frame, so that the true length is known before anything is decoded.
//!
//! A flac's header may not state its length, the end may be missing, and other programs append tags. Frames are
//! numbered, so the last one gives the length. Format: RFC 9639.

use std::ops::Range;

use symphonia::core::checksum::{Crc8Ccitt, Crc16Ansi};
use symphonia::core::codecs::audio::well_known::CODEC_ID_FLAC;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Result as SymphoniaResult;
use symphonia::core::formats::{FormatOptions, FormatReader, Track};
use symphonia::core::io::{MediaSource, MediaSourceStream, Monitor};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};
use symphonia::default::codecs::FlacDecoder;
use symphonia::default::formats::FlacReader;

use crate::error::Problem;
use crate::notice::Notices;
use crate::source::{be_u16, be_u32, be_u64, read_up_to};
use crate::symphonia_decoder::SymphoniaFormat;
use crate::trim::{SeekInfo, Trim, to_i64};

/// Bytes of the stream information.
const INFO_BYTES: usize = 34;

/// Minimum number of bytes of a frame.
const MIN_FRAME: usize = 8;

/// Maximum number of blocks before the first frame. A real file has a few.
const MAX_BLOCKS: usize = 10_000;

/// Maximum number of bytes of a frame's header.
const MAX_HEADER: usize = 16;

/// Maximum number of bytes that are searched at once.
const MAX_STEP: usize = 1 << 22;

/// The extent of the frames of a file.
pub(crate) struct FlacFrames {
    /// Position after the last complete frame.
    pub(crate) end: u64,
    /// Number of the first sample. It is not 0 in a part of a longer stream whose header states no length.
    first: u64,
    /// One past the number of the last sample that is there.
    last: u64,
    /// The number of samples that the file should hold. `None` if nothing is missing.
    announced: Option<u64>,
    /// The positions of the channels, if a comment states them.
    mask: Option<u32>,
}

/// What the header states.
struct Info {
    bytes: [u8; INFO_BYTES],
    max_block: usize,
    fixed_blocks: bool,
    sample_rate: u32,
    channels: usize,
    bits: usize,
    /// 0 if it is not stated.
    total: u64,
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    /// Number of its first sample.
    sample: u64,
    samples: u64,
}

impl FlacFrames {
    /// Finds the frames of a file of `length` bytes that begins at byte `start`.
    pub(crate) fn find(source: &mut dyn MediaSource, start: u64, length: u64) -> Result<Self, Problem> {
        let (info, begin, mask) = read_header(source, start)?;
        let no_frame = || Problem::Truncated("it holds no complete frame".into());
        let (frame, end) = last_frame(source, &info, begin, length)?.ok_or_else(no_frame)?;
        let held = frame.sample + frame.samples;
        if !is_ascending(source, &info, begin..end, held)? {
            let first = match info.total {
                0 => String::new(),
                total => {
                    format!(" (the first ends at {:.2} s)", total as f64 / f64::from(info.sample_rate.max(1)))
                }
            };
            return Err(Problem::Unsupported(format!("a file of several flacs joined end to end{first}")));
        }
        let mut head = [0; MAX_HEADER];
        let got = read_up_to(source, begin, &mut head)?;
        let first = match info.parse_frame(&head[..got]) {
            Some(frame) if info.total == 0 => frame.sample,
            _ => 0,
        };
        // What follows the last complete frame is an incomplete frame, or no audio.
        let got = read_up_to(source, end, &mut head)?;
        let announced = match info.parse_frame(&head[..got]) {
            _ if info.total > 0 => info.total,
            Some(frame) => frame.sample + frame.samples,
            None if matches!(head[..got], [0xff] | [0xff, 0xf8..=0xf9, ..]) => held + info.max_block as u64,
            None => held,
        };
        let announced = Some(announced).filter(|&announced| announced > held);
        Ok(Self { end, first: first.min(frame.sample), last: held, announced, mask })
    }
}

impl SymphoniaFormat for FlacFrames {
    fn container(&self) -> &'static str {
        "flac"
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(FlacReader::try_new(stream, FormatOptions::default())?))
    }

    fn name(&self, _: AudioCodecId) -> Option<&'static str> {
        Some("flac")
    }

    fn trim(&self, _: &Track, _: &AudioCodecParameters, _: u32) -> (Trim, Option<SeekInfo>) {
        let (start, end) = (to_i64(self.first), to_i64(self.last));
        let seek = SeekInfo { offset: 0, preroll: 0, limit: end };
        (Trim { origin: start, start, end: Some(end) }, Some(seek))
    }

    fn report(&self, notices: &mut Notices, sample_rate: u32) -> Result<(), Problem> {
        let Some(announced) = self.announced else { return Ok(()) };
        let seconds = |samples: u64| samples as f64 / f64::from(sample_rate.max(1));
        let (at, missing) = (seconds(self.last - self.first), seconds(announced - self.last));
        let refused = || Problem::Truncated(format!("its last {missing:.3} s are missing"));
        notices.missing(at, missing, "the file is cut short", refused)
    }

    fn channel_mask(&self) -> Option<u32> {
        self.mask
    }

    fn is_numbered(&self) -> bool {
        true
    }

    fn has_whole_stream(&self) -> bool {
        self.announced.is_none()
    }
}

/// The stream information, the position of the first frame, and the channels' positions if a comment states them.
fn read_header(source: &mut dyn MediaSource, start: u64) -> Result<(Info, u64, Option<u32>), Problem> {
    const STREAM_INFO: u8 = 0;
    const COMMENTS: u8 = 4;
    const LAST: u8 = 0x80;
    let cut = || Problem::Truncated("it ends inside its header".into());
    let mut position = start + 4;
    let mut info = None;
    let mut mask = None;
    for _ in 0..MAX_BLOCKS {
        let mut head = [0; 4];
        if read_up_to(source, position, &mut head)? < head.len() {
            return Err(cut());
        }
        let (kind, size) = (head[0] & !LAST, be_u32(&head) & 0xff_ffff);
        let body = position + 4;
        position = body + u64::from(size);
        match kind {
            STREAM_INFO => {
                let mut bytes = [0; INFO_BYTES];
                if read_up_to(source, body, &mut bytes)? < INFO_BYTES {
                    return Err(cut());
                }
                info = Some(Info::parse(bytes));
            }
            COMMENTS => {
                let mut bytes = vec![0; size.min(1 << 16) as usize];
                let got = read_up_to(source, body, &mut bytes)?;
                mask = channel_mask(&bytes[..got]);
            }
            _ => {}
        }
        if head[0] & LAST != 0 {
            let info = info.ok_or_else(|| Problem::header("it has no stream information"))?;
            return Ok((info, position, mask));
        }
    }
    Err(Problem::header("it has too many blocks before its audio"))
}

/// The channel mask of a wav, which the reference encoder stores as a comment in hexadecimal digits.
fn channel_mask(comments: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x";
    let at = comments.windows(NAME.len()).position(|name| name.eq_ignore_ascii_case(NAME))?;
    let digits = comments[at + NAME.len()..].iter().take_while(|digit| digit.is_ascii_hexdigit()).take(8);
    let text: String = digits.map(|&digit| char::from(digit)).collect();
    u32::from_str_radix(&text, 16).ok()
}

/// The last complete frame, and the position after it. Frames begin at `begin` or later.
fn last_frame(
    source: &mut dyn MediaSource,
    info: &Info,
    begin: u64,
    length: u64,
) -> Result<Option<(Frame, u64)>, Problem> {
    let bound = info.max_frame();
    let mut step = bound;
    let mut upper = length;
    while upper > begin {
        let lower = upper.saturating_sub(step as u64).max(begin);
        // Frames that begin before `upper`, whole.
        let starts = (upper - lower) as usize;
        let mut bytes = vec![0; starts + bound];
        let got = read_up_to(source, lower, &mut bytes)?;
        bytes.truncate(got);
        for at in (0..starts.min(got)).rev().filter(|&at| bytes[at] == 0xff) {
            if let Some(frame) = info.parse_frame(&bytes[at..])
                && let Some(size) = info.frame_size(&bytes[at..got.min(at + bound)])
            {
                return Ok(Some((frame, lower + (at + size) as u64)));
            }
        }
        upper = lower;
        step = (2 * step).min(MAX_STEP.max(bound));
    }
    Ok(None)
}

/// Whether the frames are numbered in ascending order at a few places of the file. They are not if files were joined.
/// `held`: one past the number of the last sample.
fn is_ascending(
    source: &mut dyn MediaSource,
    info: &Info,
    positions: Range<u64>,
    held: u64,
) -> Result<bool, Problem> {
    const PLACES: u64 = 4;
    let mut bytes = vec![0; info.max_frame() + MAX_HEADER];
    // A file of a few frames is decoded as a whole when it is opened, or soon after.
    if positions.end - positions.start < PLACES * bytes.len() as u64 {
        return Ok(true);
    }
    let mut last = 0;
    for place in 1..PLACES {
        let position = positions.start + (positions.end - positions.start) / PLACES * place;
        let got = read_up_to(source, position, &mut bytes)?;
        // The place may be damaged. Then decoding tells.
        if let Some(frame) = (0..got).find_map(|at| info.parse_frame(&bytes[at..got])) {
            if frame.sample < last || frame.sample > held {
                return Ok(false);
            }
            last = frame.sample;
        }
    }
    Ok(true)
}

impl Info {
    fn parse(bytes: [u8; INFO_BYTES]) -> Self {
        let (min_block, max_block) = (be_u16(&bytes), be_u16(&bytes[2..]));
        // 20 bits of sample rate, 3 of channels, 5 of bits per sample, 36 of the number of samples.
        let packed = be_u64(&bytes[10..]);
        Self {
            bytes,
            max_block: usize::from(max_block),
            fixed_blocks: min_block == max_block,
            sample_rate: (packed >> 44) as u32,
            channels: (packed >> 41 & 7) as usize + 1,
            bits: (packed >> 36 & 31) as usize + 1,
            total: packed & ((1 << 36) - 1),
        }
    }

    /// The largest number of bytes of a frame: samples as they are, with an additional bit in one channel.
    fn max_frame(&self) -> usize {
        MAX_HEADER + 2 + self.channels * (8 + (self.max_block * (self.bits + 1)).div_ceil(8))
    }

    /// Parses the header of a frame of this stream.
    fn parse_frame(&self, bytes: &[u8]) -> Option<Frame> {
        let &[0xff, second @ 0xf8..=0xf9, third, fourth, lead, ..] = bytes else { return None };
        let variable = second & 1 == 1;
        // The number has the form of a character in UTF-8, with up to seven bytes.
        let more = match lead {
            0..=0x7f => 0,
            0xc0..=0xfe => lead.leading_ones() as usize - 1,
            _ => return None,
        };
        let mut number = u64::from(lead) & (0x7f >> if more > 0 { more + 1 } else { 0 });
        let mut rest = bytes[5..].iter();
        for _ in 0..more {
            number = number << 6 | u64::from(rest.next()? & 0x3f);
        }
        let mut next = |count: usize| {
            (0..count).try_fold(0, |value: u32, _| Some(value << 8 | u32::from(*rest.next()?)))
        };
        let samples = match third >> 4 {
            0 => return None,
            1 => 192,
            code @ 2..=5 => 576 << (code - 2),
            6 => next(1)? + 1,
            7 => next(2)? + 1,
            code => 256 << (code - 8),
        };
        let rate = match third & 15 {
            0 => self.sample_rate,
            code @ 1..=11 => {
                [88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000]
                    [usize::from(code) - 1]
            }
            12 => next(1)? * 1000,
            13 => next(2)?,
            14 => next(2)? * 10,
            _ => return None,
        };
        let channels = match fourth >> 4 {
            code @ 0..=7 => usize::from(code) + 1,
            8..=10 => 2,
            _ => return None,
        };
        let bits = match fourth >> 1 & 7 {
            0 => self.bits,
            code => [8, 12, 0, 16, 20, 24, 32][usize::from(code) - 1],
        };
        let fits = samples as usize <= self.max_block && variable != self.fixed_blocks && fourth & 1 == 0;
        if !fits || (rate, channels, bits) != (self.sample_rate, self.channels, self.bits) {
            return None;
        }
        let size = bytes.len() - rest.as_slice().len();
        let mut checksum = Crc8Ccitt::new(0);
        checksum.process_buf_bytes(&bytes[..size]);
        (checksum.crc() == *bytes.get(size)?).then_some(Frame {
            sample: if variable { number } else { number * self.max_block as u64 },
            samples: u64::from(samples),
        })
    }

    /// The size of the frame at the beginning of `bytes`, if it is complete.
    ///
    /// A frame does not state its size. Its checksum fits at its end, and by chance elsewhere. Decoding without the last
    /// byte tells whether the samples end there.
    fn frame_size(&self, bytes: &[u8]) -> Option<usize> {
        const CHECKSUM: usize = 2;
        let mut codec = AudioCodecParameters::new();
        codec.for_codec(CODEC_ID_FLAC).with_extra_data(self.bytes.into());
        let mut decoder = FlacDecoder::try_new(&codec, &AudioDecoderOptions::default()).ok()?;
        let mut decodes = |size: usize| {
            let packet = Packet::new(0, Timestamp::new(0), Duration::new(0), bytes[..size].to_vec());
            decoder.decode(&packet).is_ok()
        };
        let mut checksum = Crc16Ansi::new(0);
        for (at, &byte) in bytes.iter().enumerate() {
            checksum.process_byte(byte);
            let size = at + 1;
            if checksum.crc() == 0
                && size > MIN_FRAME
                && decodes(size - CHECKSUM)
                && !decodes(size - CHECKSUM - 1)
            {
                return Some(size);
            }
        }
        None
    }
}
