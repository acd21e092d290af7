//! Mp3: checks that the file is complete, and finds the extent of its song.
//!
//! An mp3 states its length only in an optional tag in its first frame. Therefore the frames are counted, from header
//! to header. Headers: ISO/IEC 11172-3, 2.4.1.3, and 13818-3 for the low rates. Tags: Xing's and Fraunhofer's (VBRI).

use std::io::{BufReader, Read, Seek, SeekFrom};

use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};
use symphonia::core::errors::Result as SymphoniaResult;
use symphonia::core::formats::{FormatReader, Track};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::default::formats::MpaReader;

use crate::error::Problem;
use crate::symphonia_decoder::SymphoniaFormat;
use crate::trim::{SeekInfo, Trim, to_i64};

/// Maximum number of bytes before the first frame that are neither a tag nor audio.
const MAX_JUNK: u64 = 64 * 1024;

/// The frames of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mp3 {
    /// Position of the first frame, which may be a tag.
    pub(crate) start: u64,
    /// Number of frames that hold audio.
    frames: u64,
    /// Samples of one channel in a frame.
    frame_samples: u64,
    /// The number of frames that the tag states.
    stated: Option<u64>,
}

#[derive(Clone, Copy)]
struct Header {
    /// The bits that are the same in all frames of a stream: sync, version, layer, sample rate.
    fixed: u32,
    bytes: u64,
    samples: u64,
    side_info: usize,
    has_crc: bool,
}

impl Header {
    fn parse(word: u32) -> Option<Self> {
        const FIXED: u32 = 0xfffe_0c00;
        const LAYER_3: u32 = 1;
        const KBITS_1: [u64; 15] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
        const KBITS_2: [u64; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
        let field = |shift: u32, bits: u32| (word >> shift) & ((1 << bits) - 1);
        if field(21, 11) != 0x7ff || field(17, 2) != LAYER_3 {
            return None;
        }
        // 3: MPEG 1. 2: MPEG 2, half the rate. 0: MPEG 2.5, a quarter of the rate.
        let divisor = match field(19, 2) {
            3 => 1,
            2 => 2,
            0 => 4,
            _ => return None,
        };
        let first = divisor == 1;
        let rate = *[44_100, 48_000, 32_000].get(field(10, 2) as usize)? / divisor;
        let kbits = *if first { &KBITS_1 } else { &KBITS_2 }.get(field(12, 4) as usize)?;
        let samples = if first { 1152 } else { 576 };
        let bytes = samples / 8 * kbits * 1000 / rate + u64::from(field(9, 1));
        let mono = field(6, 2) == 3;
        let side_info = match (first, mono) {
            (true, false) => 32,
            (true, true) | (false, false) => 17,
            (false, true) => 9,
        };
        // A bit rate of 0 means the free format, whose frames do not state their size.
        (kbits > 0).then_some(Self {
            fixed: word & FIXED,
            bytes,
            samples,
            side_info,
            has_crc: field(16, 1) == 0,
        })
    }

    /// Parses `word` as a header of the same stream.
    fn next(&self, word: u32) -> Option<Self> {
        Self::parse(word).filter(|header| header.fixed == self.fixed)
    }
}

impl Mp3 {
    /// Counts the frames. `begin`: position after any ID3v2 tags. `length`: of the file. Both in bytes.
    pub(crate) fn scan(source: &mut dyn MediaSource, begin: u64, length: u64) -> Result<Self, Problem> {
        let mut walk = Walk { reader: BufReader::with_capacity(64 * 1024, source), position: begin, length };
        walk.reader.seek(SeekFrom::Start(begin)).map_err(Problem::Read)?;
        let first = walk.first(begin + MAX_JUNK)?.ok_or(Problem::UnknownFormat)?;
        let start = walk.position;
        let mut found = Self { start, frames: 0, frame_samples: first.samples, stated: None };
        let mut cut = false;
        let mut header = first;
        loop {
            if walk.position + header.bytes > length {
                cut = true;
                break;
            }
            match walk.tag(&header)? {
                Some(stated) if walk.position == start => found.stated = stated,
                // A later tag: files were joined end to end. It holds no audio.
                Some(_) => {}
                None => found.frames += 1,
            }
            walk.advance(header.bytes)?;
            match walk.resync(&first)? {
                Next::Frame(next) => header = next,
                Next::Cut => {
                    cut = true;
                    break;
                }
                Next::End => break,
            }
        }
        // Some encoders count the tag's own frame. Therefore one missing frame is accepted if the last is complete.
        let missing = found.stated.map_or(0, |stated| stated.saturating_sub(found.frames));
        if missing > 1 || (cut && (missing > 0 || found.stated.is_none())) {
            return Err(Problem::Truncated(match found.stated {
                Some(stated) => format!("it holds {} of its {stated} mp3 frames", found.frames),
                None => "its last mp3 frame is incomplete".into(),
            }));
        }
        if found.frames == 0 {
            return Err(Problem::NoAudio);
        }
        Ok(found)
    }
}

impl SymphoniaFormat for Mp3 {
    fn container(&self) -> &'static str {
        "mp3"
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(MpaReader::try_new(stream, Default::default())?))
    }

    fn name(&self, _: AudioCodecId) -> Option<&'static str> {
        Some("mp3")
    }

    fn trim(&self, track: &Track, _: &AudioCodecParameters, _: u32) -> (Trim, Option<SeekInfo>) {
        let all = to_i64(self.frames.saturating_mul(self.frame_samples));
        let delay = i64::from(track.delay.unwrap_or(0));
        let padding = i64::from(track.padding.unwrap_or(0));
        // More frames than the tag states: files were joined end to end, and the padding is at the first seam.
        let joined = self.stated.is_some_and(|stated| self.frames > stated);
        let end = if joined { all } else { all - padding };
        // Symphonia takes the length from the tag, or estimates it from the first frames' size.
        let limit = track.num_frames.map_or(0, to_i64);
        // A frame needs up to 511 bytes of earlier frames (about 24 of the smallest mono frames), and one frame for
        // the overlap.
        let preroll = 32 * to_i64(self.frame_samples);
        let trim = Trim { origin: 0, start: delay, end: Some(end.max(delay)) };
        (trim, Some(SeekInfo { offset: delay, preroll, limit }))
    }
}

enum Next {
    Frame(Header),
    Cut,
    End,
}

struct Walk<'a> {
    reader: BufReader<&'a mut dyn MediaSource>,
    position: u64,
    length: u64,
}

impl Walk<'_> {
    /// The four bytes at the position, without moving it. `None` if fewer are left.
    fn word(&mut self) -> Result<Option<u32>, Problem> {
        if self.position + 4 > self.length {
            return Ok(None);
        }
        let mut bytes = [0; 4];
        self.reader.read_exact(&mut bytes).map_err(Problem::read)?;
        self.reader.seek_relative(-4).map_err(Problem::Read)?;
        Ok(Some(u32::from_be_bytes(bytes)))
    }

    fn advance(&mut self, bytes: u64) -> Result<(), Problem> {
        self.reader.seek_relative(bytes as i64).map_err(Problem::Read)?;
        self.position += bytes;
        Ok(())
    }

    /// Whether the frame at the position is followed by a frame of the same stream or by the end.
    fn is_followed(&mut self, header: &Header) -> Result<bool, Problem> {
        let here = self.position;
        if here + header.bytes + 4 > self.length {
            return Ok(true);
        }
        self.advance(header.bytes)?;
        let next = self.word()?;
        self.reader.seek_relative(-(header.bytes as i64)).map_err(Problem::Read)?;
        self.position = here;
        Ok(next.is_some_and(|word| header.next(word).is_some()))
    }

    /// Moves to the first header before `limit` that is followed by another header.
    fn first(&mut self, limit: u64) -> Result<Option<Header>, Problem> {
        while self.position < limit {
            let Some(word) = self.word()? else { return Ok(None) };
            if let Some(header) = Header::parse(word)
                && self.is_followed(&header)?
            {
                return Ok(Some(header));
            }
            self.advance(1)?;
        }
        Ok(None)
    }

    /// Moves to the next frame. Skips other data between frames, such as a tag at the end.
    fn resync(&mut self, first: &Header) -> Result<Next, Problem> {
        let mut in_junk = false;
        loop {
            let Some(word) = self.word()? else {
                // One to three bytes that begin like a header are the start of an incomplete frame.
                let mut rest = Vec::new();
                self.reader.read_to_end(&mut rest).map_err(Problem::Read)?;
                return Ok(if !in_junk && rest.first() == Some(&0xff) { Next::Cut } else { Next::End });
            };
            if let Some(header) = first.next(word)
                && (!in_junk || self.is_followed(&header)?)
            {
                return Ok(Next::Frame(header));
            }
            in_junk = true;
            self.advance(1)?;
        }
    }

    /// `Some` if the frame at the position is a tag, with the number of frames that the tag states.
    fn tag(&mut self, header: &Header) -> Result<Option<Option<u64>>, Problem> {
        const VBRI_AT: usize = 4 + 32;
        let mut bytes = [0; VBRI_AT + 18];
        let wanted = bytes.len().min(header.bytes as usize);
        self.reader.read_exact(&mut bytes[..wanted]).map_err(Problem::read)?;
        self.reader.seek_relative(-(wanted as i64)).map_err(Problem::Read)?;
        let count = |at: usize| {
            Some(u64::from(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().expect("four bytes"))))
        };
        let xing_at = 4 + header.side_info;
        let silent = bytes[if header.has_crc { 6 } else { 4 }..xing_at].iter().all(|&byte| byte == 0);
        if silent && matches!(&bytes[xing_at..xing_at + 4], b"Xing" | b"Info") {
            const HAS_FRAMES: u8 = 1;
            let has_frames = bytes[xing_at + 7] & HAS_FRAMES != 0;
            return Ok(Some(if has_frames { count(xing_at + 8) } else { None }));
        }
        if &bytes[VBRI_AT..VBRI_AT + 4] == b"VBRI" {
            return Ok(Some(count(VBRI_AT + 14)));
        }
        Ok(None)
    }
}
