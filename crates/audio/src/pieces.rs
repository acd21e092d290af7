//! A song that consists of parts of one or more tables of packets.

use std::sync::Arc;

use symphonia::core::io::MediaSource;
use unbraid_base::Stereo;

use crate::codec::Codec;
use crate::error::Problem;
use crate::joined::{Gap, Joined, OpenSection, Section, SectionDecoder};
use crate::notice::Notices;
use crate::source::Shared;
use crate::table::{Table, TableDecoder};

/// Frames of silence that are appended at once.
const BLOCK: u64 = 16_384;

/// A part of the song.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Its first frame in the decoder's output. `None` for silence.
    pub(crate) start: Option<u64>,
    pub(crate) frames: u64,
}

/// Makes a codec.
pub(crate) type OpenCodec = Box<dyn Fn() -> Result<Box<dyn Codec>, Problem> + Send + Sync>;

/// A table of packets with one codec, and the parts of it that belong to the song, in their order.
pub(crate) struct Stream {
    pub(crate) table: Table,
    pub(crate) open: OpenCodec,
    pub(crate) pieces: Vec<Piece>,
}

/// Opens a song in a file of `length` bytes. `format` is that of [`AudioInfo`](crate::AudioInfo).
///
/// Frames that are missing in the file are reported. If the end of the song is missing, the song becomes shorter. Any
/// other gap becomes silence.
pub(crate) fn open(
    format: &'static str,
    streams: Vec<Stream>,
    source: Box<dyn MediaSource>,
    length: u64,
    mut notices: Notices,
) -> Result<Joined, Problem> {
    let mut sections = Vec::new();
    let mut parts = Vec::new();
    let mut gaps = Vec::new();
    let mut time = 0.0;
    let mut tables = Vec::new();
    for stream in streams {
        let codec = (stream.open)()?;
        let (rate, channels) = (codec.rate(), codec.channels());
        let missing = stream.table.missing(length);
        for piece in stream.pieces {
            let section = Section { rate, channels, frames: piece.frames };
            let missing = overlaps(&missing, piece);
            gaps.extend(missing.map(|(offset, frames)| (time, sections.len(), offset, frames)));
            time += piece.frames as f64 / f64::from(rate);
            sections.push(section);
            parts.push((tables.len(), piece));
        }
        tables.push((Arc::new(stream.table), stream.open));
    }
    let seconds = |section: usize, frames: u64| frames as f64 / f64::from(sections[section].rate);
    let total: f64 = gaps.iter().map(|&(_, section, _, frames)| seconds(section, frames)).sum();
    for &(time, section, offset, frames) in &gaps {
        let at = time + seconds(section, offset);
        let is_end = section + 1 == sections.len() && offset + frames == sections[section].frames;
        let detail = if is_end { "the file is cut short" } else { "packets are missing" };
        let refused = || {
            if is_end {
                Problem::Truncated(format!("{total:.3} s of its audio are missing"))
            } else {
                Problem::Malformed { seconds: at, detail: detail.into() }
            }
        };
        notices.missing(at, seconds(section, frames), detail, refused)?;
    }
    while let Some((_, section, offset, frames)) = gaps.pop()
        && section + 1 == sections.len()
        && offset + frames == sections[section].frames
    {
        sections[section].frames = offset;
        if offset == 0 {
            sections.pop();
        }
    }
    if sections.is_empty() {
        return Err(Problem::Truncated("all of its audio is missing".into()));
    }
    Joined::open(
        format,
        sections,
        Box::new(Parts { source: Shared::new(source), length, tables, parts }),
        notices,
    )
}

/// The parts of `missing` that lie inside of a piece, as offset and number of frames.
fn overlaps(missing: &[(u64, u64)], piece: Piece) -> impl Iterator<Item = (u64, u64)> {
    let start = piece.start.unwrap_or(u64::MAX);
    let end = start.saturating_add(piece.frames);
    let first = missing.partition_point(|&(_, to)| to <= start);
    missing[first..]
        .iter()
        .map(move |&(from, to)| (from.max(start), to.min(end)))
        .take_while(|(from, to)| from < to)
        .map(move |(from, to)| (from - start, to - from))
}

struct Parts {
    source: Shared,
    length: u64,
    tables: Vec<(Arc<Table>, OpenCodec)>,
    /// The index of the table of every part.
    parts: Vec<(usize, Piece)>,
}

impl OpenSection for Parts {
    fn open(&self, index: usize) -> Result<Box<dyn SectionDecoder>, Problem> {
        let (table, piece) = self.parts[index];
        let Some(start) = piece.start else { return Ok(Box::new(Silence { left: piece.frames })) };
        let (table, open) = &self.tables[table];
        let range = [start, start.saturating_add(piece.frames)];
        Ok(Box::new(TableDecoder::new(table.clone(), &self.source, self.length, open()?, range)))
    }
}

/// A pause between two parts of the song.
struct Silence {
    left: u64,
}

impl SectionDecoder for Silence {
    fn read(&mut self, out: &mut Stereo, _gaps: &mut Vec<Gap>) -> Result<bool, Problem> {
        let count = self.left.min(BLOCK);
        self.left -= count;
        out.iter_mut().for_each(|channel| channel.resize(channel.len() + count as usize, 0.0));
        Ok(count > 0)
    }

    fn seek(&mut self, frame: u64) -> Result<(), Problem> {
        self.left = self.left.saturating_sub(frame);
        Ok(())
    }
}
