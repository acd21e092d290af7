//! How much audio an mp3 holds, and whether its end is missing: a walk from frame header to frame header.
//!
//! Nothing in an mp3 tells its length but an optional tag in its first frame, so the frames are counted. Headers:
//! ISO/IEC 11172-3, 2.4.1.3, and 13818-3 for the low rates; tags: Xing's and Fraunhofer's (VBRI).

use std::io::{BufReader, Read, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

use crate::Problem;

/// Bytes before the first frame that may be neither tag nor audio.
const MAX_JUNK: u64 = 64 * 1024;

/// What a walk over all frames found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Position of the first frame, which may be a tag.
    pub(crate) start: u64,
    /// Frames that hold audio.
    pub(crate) frames: u64,
    /// Samples of one channel in a frame.
    pub(crate) frame_samples: u64,
    /// The number of frames that the tag promises.
    pub(crate) promised: Option<u64>,
}

#[derive(Clone, Copy)]
struct Header {
    /// The bits that no frame of a stream may change: sync, version, layer, sample rate.
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
        // 3: MPEG 1; 2: MPEG 2, half the rate; 0: MPEG 2.5, a quarter.
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
        // A bit rate of 0 is the free format, whose frames do not tell their size.
        (kbits > 0).then_some(Self {
            fixed: word & FIXED,
            bytes,
            samples,
            side_info,
            has_crc: field(16, 1) == 0,
        })
    }

    /// The word as a header of the same stream.
    fn next(&self, word: u32) -> Option<Self> {
        Self::parse(word).filter(|header| header.fixed == self.fixed)
    }
}

pub(crate) fn scan(source: &mut dyn MediaSource, begin: u64, length: u64) -> Result<Scan, Problem> {
    let mut walk = Walk { reader: BufReader::with_capacity(64 * 1024, source), position: begin, length };
    walk.reader.seek(SeekFrom::Start(begin)).map_err(Problem::Read)?;
    let first = walk.first(begin + MAX_JUNK)?.ok_or(Problem::UnknownFormat)?;
    let start = walk.position;
    let mut found = Scan { start, frames: 0, frame_samples: first.samples, promised: None };
    let mut cut = false;
    let mut header = first;
    loop {
        if walk.position + header.bytes > length {
            cut = true;
            break;
        }
        match walk.tag(&header)? {
            Some(promised) if walk.position == start => found.promised = promised,
            // A tag further on: files were joined end to end. It holds no audio.
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
    // Some encoders count the tag's own frame, so one frame less than promised is not held against a clean end.
    let missing = found.promised.map_or(0, |promised| promised.saturating_sub(found.frames));
    if missing > 1 || (cut && (missing > 0 || found.promised.is_none())) {
        return Err(Problem::Truncated(match found.promised {
            Some(promised) => format!("{} of its {promised} mp3 frames are there", found.frames),
            None => "its last mp3 frame is incomplete".into(),
        }));
    }
    if found.frames == 0 {
        return Err(Problem::NoAudio);
    }
    Ok(found)
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
    /// The four bytes at the position, which stays; `None` where fewer are left.
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

    /// Does a frame of the same stream, or the end, follow the frame at the position?
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

    /// Moves to the first header before `limit` that another one follows.
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

    /// Moves to the next frame; junk between frames, such as a tag at the end, is stepped over.
    fn resync(&mut self, first: &Header) -> Result<Next, Problem> {
        let mut in_junk = false;
        loop {
            let Some(word) = self.word()? else {
                // One to three bytes that begin like a header are the stump of a frame.
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

    /// Is the frame at the position a tag, and how many frames does it promise?
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
