//! Finds the sections of a file, their lengths, and what is missing.
//!
//! A section ends where the sample rate or the number of channels changes, and where the first frame of another file
//! follows, which is known by its length tag.

use super::header::{Header, Layout};
use super::tags::{LengthTag, id3v2_end};
use super::walk::{Step, Walk, lost_frames};
use crate::error::Problem;
use crate::joined::{Section, check_count};
use crate::notice::Notices;

/// Minimum number of frames between two places where decoding can begin.
const ENTRY_STEP: u64 = 16;

/// Maximum number of damaged places in a section.
const MAX_DAMAGED: usize = 10_000;

/// Headers that must follow the first frame of a file if other data precede it.
const FOLLOWERS: usize = 3;

/// A part of a file that one decoder decodes. Frames are those of mp3.
pub(crate) struct Piece {
    /// The first frame with audio.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The header of the first frame.
    pub(crate) first: Header,
    /// Samples before the song.
    pub(crate) delay: u64,
    /// Lost frames are replaced by silence.
    pub(crate) fill: bool,
    /// Places where decoding can begin.
    pub(crate) entries: Vec<Entry>,
}

/// A frame at which decoding can begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) position: u64,
    /// Frames before this one in the section.
    pub(crate) frames: u64,
    /// Frames that were lost before this one.
    pub(crate) lost: u64,
}

/// The section that is being scanned.
struct Open {
    piece: Piece,
    layout: Layout,
    tag: Option<LengthTag>,
    frames: u64,
    lost: u64,
    /// For each damaged place, the frames before it, the lost frames before it, and its own lost frames.
    damaged: Vec<(u64, u64, u64)>,
    /// The file ends inside of a frame.
    cut: bool,
}

pub(crate) struct Scan {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) sections: Vec<Section>,
    pub(crate) notices: Notices,
    /// Length of the finished sections in seconds.
    seconds: f64,
}

impl Scan {
    /// Walks over a file.
    pub(crate) fn run(walk: &mut Walk, notices: Notices) -> Result<Self, Problem> {
        let mut scan = Self { pieces: Vec::new(), sections: Vec::new(), notices, seconds: 0.0 };
        let (mut last, lost) = first(walk)?;
        if lost > 0 {
            let missing = (lost * last.samples) as f64 / f64::from(last.layout.rate);
            let detail = "its beginning is damaged";
            let refused = || Problem::Malformed { seconds: 0.0, detail: detail.into() };
            scan.notices.missing(0.0, missing, detail, refused)?;
        }
        let mut open: Option<Open> = None;
        let mut step =
            if walk.position() + last.bytes as u64 > walk.end() { Step::Cut } else { Step::Frame(last) };
        loop {
            match step {
                Step::Frame(header) => {
                    let position = walk.position();
                    let tag = LengthTag::parse(walk.frame(&header)?, &header);
                    if tag.is_some() || open.as_ref().is_none_or(|open| open.layout != header.layout) {
                        if let Some(open) = open.take() {
                            scan.finish(open, position)?;
                        }
                        let start = if tag.is_some() { position + header.bytes as u64 } else { position };
                        open = Some(Open::new(start, header, tag));
                    }
                    if let Some(open) = &mut open
                        && tag.is_none()
                    {
                        open.take(position);
                    }
                    walk.pass(&header);
                    last = header;
                }
                Step::Damage(bytes) => {
                    if let Some(open) = &mut open {
                        let frames = lost_frames(bytes, &last);
                        if open.damaged.len() == MAX_DAMAGED {
                            let detail = format!("it is damaged in more than {MAX_DAMAGED} places");
                            return Err(Problem::Malformed { seconds: scan.seconds, detail });
                        }
                        open.damaged.push((open.frames, open.lost, frames));
                        open.lost += frames;
                    }
                }
                Step::Cut | Step::End => {
                    let mut open = open.unwrap_or_else(|| Open::new(walk.position(), last, None));
                    open.cut = step == Step::Cut;
                    scan.finish(open, walk.position())?;
                    return Ok(scan);
                }
            }
            step = walk.step(&last)?;
        }
    }

    /// Ends a section at byte `end`.
    fn finish(&mut self, open: Open, end: u64) -> Result<(), Problem> {
        let Open { mut piece, layout, tag, frames, lost, damaged, cut } = open;
        let samples = piece.first.samples;
        let rate = f64::from(layout.rate);
        let stated = tag.and_then(|tag| tag.frames);
        // If all stated frames were found, the data between them are no audio.
        piece.fill = stated.is_none_or(|stated| frames < stated);
        if piece.fill {
            for (frames, lost, count) in damaged {
                let at = self.seconds + ((frames + lost) * samples).saturating_sub(piece.delay) as f64 / rate;
                let refused = || Problem::Malformed {
                    seconds: at,
                    detail: "data between its frames are no frame".into(),
                };
                let missing = (count * samples) as f64 / rate;
                self.notices.missing(at, missing, "data between its frames are no frame", refused)?;
            }
        }
        let held = if piece.fill { frames + lost } else { frames };
        // Some encoders count the tag's own frame. Therefore one missing frame is accepted if the last is complete.
        let missing = stated.map_or(0, |stated| stated.saturating_sub(held));
        let missing =
            if cut { missing.max(u64::from(stated.is_none())) } else { missing * u64::from(missing > 1) };
        let all = held.saturating_mul(samples);
        let tag = tag.unwrap_or_default();
        // More frames than the tag states: files were joined end to end, and the padding is at the first seam.
        let joined = stated.is_some_and(|stated| held > stated);
        let padding = if joined { 0 } else { tag.padding.saturating_sub(missing.saturating_mul(samples)) };
        let length = all.saturating_sub(tag.delay).saturating_sub(padding);
        let at = self.seconds + length as f64 / rate;
        if missing > 0 {
            let refused = || {
                Problem::Truncated(match stated {
                    Some(stated) => format!("it holds {frames} of its {stated} mp3 frames"),
                    None => "its last mp3 frame is incomplete".into(),
                })
            };
            let seconds = missing as f64 * samples as f64 / rate;
            self.notices.missing(at, seconds, "the file is cut short", refused)?;
        }
        if length > 0 {
            piece.end = end;
            piece.entries.shrink_to_fit();
            self.pieces.push(piece);
            self.sections.push(Section { rate: layout.rate, channels: layout.channels, frames: length });
            self.seconds = at;
        }
        check_count(self.pieces.len())
    }
}

impl Open {
    fn new(start: u64, first: Header, tag: Option<LengthTag>) -> Self {
        let delay = tag.map_or(0, |tag| tag.delay);
        let piece = Piece { start, end: start, first, delay, fill: true, entries: Vec::new() };
        Self { piece, layout: first.layout, tag, frames: 0, lost: 0, damaged: Vec::new(), cut: false }
    }

    /// Takes a frame with audio.
    fn take(&mut self, position: u64) {
        if self.piece.entries.last().is_none_or(|last| last.frames + ENTRY_STEP <= self.frames) {
            self.piece.entries.push(Entry { position, frames: self.frames, lost: self.lost });
        }
        self.frames += 1;
    }
}

/// Moves to the first frame. Returns its header and the number of frames that were lost before it.
fn first(walk: &mut Walk) -> Result<(Header, u64), Problem> {
    let after_tags = id3v2_end(walk.window())?;
    let mut at = after_tags;
    // Zeros between the tag and the first frame are padding.
    while at < walk.end() && walk.is_zero(at, (at + 4096).min(walk.end()))? {
        at = (at + 4096).min(walk.end());
    }
    while at < walk.end() && walk.is_zero(at, at + 1)? {
        at += 1;
    }
    walk.seek(at);
    walk.pass_tags()?;
    let at = walk.position();
    let bytes = walk.window().at(at, Header::MAX_BYTES + 4)?;
    if let Some(header) = Header::parse(bytes)
        && (at + header.bytes as u64 > walk.end() || walk.is_followed(at, &header, 1)?)
    {
        return Ok((header, 0));
    }
    if is_free_format(walk.window().at(at, 2 * MAX_FREE_FORMAT)?) {
        return Err(Problem::Unsupported("an mp3 of free format".into()));
    }
    // A tag whose size is wrong, or a recording that begins inside of a frame.
    let tagged = after_tags > 0;
    walk.seek(if tagged { 10 } else { at });
    match walk.find(|walk, at, header| walk.is_followed(at, header, FOLLOWERS))? {
        Some(header) => {
            let junk = walk.position() - at.min(walk.position());
            let lost = if tagged { 0 } else { junk / header.bytes as u64 };
            Ok((header, lost))
        }
        None if after_tags >= walk.window().length() => {
            Err(Problem::Truncated("it ends inside its ID3 tag".into()))
        }
        None => Err(Problem::UnknownFormat),
    }
}

/// Maximum distance in bytes between two frames of free format.
const MAX_FREE_FORMAT: usize = 4608;

/// Whether the bytes begin with two frames of free format.
fn is_free_format(bytes: &[u8]) -> bool {
    let Some(head) = bytes.first_chunk::<4>().filter(|head| Header::is_free_format(&head[..])) else {
        return false;
    };
    // All but the padding bit and the mode extension are the same in all frames.
    let same = |at: usize| {
        bytes.get(at..at + 4).is_some_and(|next| {
            next[..2] == head[..2] && next[2] | 2 == head[2] | 2 && next[3] & 0xc0 == head[3] & 0xc0
        })
    };
    (32..MAX_FREE_FORMAT)
        .any(|size| same(size) && (same(2 * size) || same(2 * size + 1) || same(2 * size - 1)))
}
