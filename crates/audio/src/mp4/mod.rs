//! Mp4, m4a and mov (ISO/IEC 14496-12): finds the audio track, its packets and the parts of it that are the song.
//!
//! An AAC encoder adds a delay before the first sample (usually 1024 or 2112 samples) and pads its last packet. Two
//! places in the file state the extent of the song: the track's edit list, and iTunes' gapless tag `iTunSMPB`, which is
//! exact to the sample.

mod boxes;
mod edits;
mod entry;
mod fragments;
mod gapless;
mod samples;

use std::sync::Arc;

use symphonia::core::io::MediaSource;
use unbraid_base::Stereo;

use self::boxes::{Atom, Walk, find};
use self::edits::{Clock, Edit, Piece};
use self::entry::Description;
use self::samples::Builder;
use crate::aac;
use crate::error::Problem;
use crate::joined::{Gap, Joined, OpenSection, Section, SectionDecoder};
use crate::notice::{Notice, Notices, ReadOptions};
use crate::source::{Shared, Window};
use crate::table::{Table, TableDecoder};

/// Number of packets that are searched for SBR.
const SBR_SAMPLES: usize = 64;

/// Opens a file of `length` bytes, whose first box is at `start`.
pub(crate) fn open(
    mut source: Box<dyn MediaSource>,
    start: u64,
    length: u64,
    options: ReadOptions,
) -> Result<Joined, Problem> {
    let mut notices = Notices::new(options);
    let movie = Movie::parse(&mut Walk::new(&mut *source, length), start, &mut notices)?;
    let source = Shared::new(source);
    if movie.description.is_aac() && holds_sbr(&movie.table, &source, length)? {
        return Err(aac::implicit_sbr());
    }
    let rate = movie.description.rate();
    let mut pieces = movie.pieces;
    let missing = movie.table.missing(length);
    edits::report_missing(&mut pieces, &missing, rate, &mut notices)?;
    if pieces.is_empty() {
        return Err(Problem::Truncated("all of its audio is missing".into()));
    }
    let channels = movie.description.open()?.channels();
    let sections = pieces.iter().map(|piece| Section { rate, channels, frames: piece.frames }).collect();
    let format = movie.description.format();
    let (description, table) = (movie.description, Arc::new(movie.table));
    Joined::open(format, sections, Box::new(Pieces { source, length, description, table, pieces }), notices)
}

/// Whether most of the packets hold SBR data.
fn holds_sbr(table: &Table, source: &Shared, length: u64) -> Result<bool, Problem> {
    let mut window = Window::new(source.part(0..length));
    let (mut count, mut found) = (0, 0);
    for packet in (0..table.len()).step_by(table.len().div_ceil(SBR_SAMPLES).max(1)) {
        if let Some(packet) = table.read(&mut window, packet)? {
            count += 1;
            found += usize::from(aac::ends_with_sbr(packet));
        }
    }
    Ok(2 * found > count)
}

/// Opens the parts of the song.
struct Pieces {
    source: Shared,
    length: u64,
    description: Description,
    table: Arc<Table>,
    pieces: Vec<Piece>,
}

impl OpenSection for Pieces {
    fn open(&self, index: usize) -> Result<Box<dyn SectionDecoder>, Problem> {
        let piece = self.pieces[index];
        let Some(start) = piece.start else { return Ok(Box::new(Silence { left: piece.frames })) };
        let codec = self.description.open()?;
        let range = [start, start.saturating_add(piece.frames)];
        Ok(Box::new(TableDecoder::new(self.table.clone(), &self.source, self.length, codec, range)))
    }
}

/// A pause between two parts of the song.
struct Silence {
    left: u64,
}

impl SectionDecoder for Silence {
    fn read(&mut self, out: &mut Stereo, _gaps: &mut Vec<Gap>) -> Result<bool, Problem> {
        let count = self.left.min(16_384);
        self.left -= count;
        out.iter_mut().for_each(|channel| channel.resize(channel.len() + count as usize, 0.0));
        Ok(count > 0)
    }

    fn seek(&mut self, frame: u64) -> Result<(), Problem> {
        self.left = self.left.saturating_sub(frame);
        Ok(())
    }
}

/// The audio of a file.
struct Movie {
    description: Description,
    table: Table,
    pieces: Vec<Piece>,
}

/// An audio track.
struct Track {
    number: u32,
    enabled: bool,
    timescale: u64,
    edits: Vec<Edit>,
    tables: Vec<Atom>,
    /// The entry of the sample description that its packets use.
    entry: u32,
    description: Result<Description, Problem>,
}

impl Movie {
    fn parse(walk: &mut Walk<'_>, start: u64, notices: &mut Notices) -> Result<Self, Problem> {
        let top = walk.top(start)?;
        let moov =
            find(&top, b"moov").ok_or_else(|| Problem::Truncated("its movie box is missing".into()))?;
        let parts = walk.children(moov.start, moov.end)?;
        let movie_scale = find(&parts, b"mvhd").map_or(Ok(0), |mvhd| walk.timescale(mvhd))?;
        let mut tracks = Vec::new();
        for trak in parts.iter().filter(|atom| &atom.name == b"trak") {
            tracks.extend(track(walk, *trak)?);
        }
        let mut chosen = choose(tracks, notices)?;
        let description = std::mem::replace(&mut chosen.description, Err(Problem::NoAudio))?;
        let mut builder = Builder::new(&description, chosen.timescale);
        builder.add_tables(walk, &chosen.tables, chosen.entry)?;
        if let Some(mvex) = find(&parts, b"mvex") {
            let mvex = walk.children(mvex.start, mvex.end)?;
            let defaults = fragments::defaults(walk, &mvex, chosen.number)?;
            let entry = if builder.table.len() == 0 { defaults.entry() } else { chosen.entry };
            for moof in top.iter().filter(|atom| &atom.name == b"moof") {
                fragments::add(&mut builder, walk, *moof, chosen.number, (defaults, entry))?;
            }
        }
        let clock = Clock {
            rate: u64::from(description.rate()),
            track: chosen.timescale,
            movie: movie_scale,
            coded: builder.length(),
        };
        let mut pieces = edits::pieces(&chosen.edits, clock)?;
        if pieces.len() == 1
            && description.is_aac()
            && let Some((delay, length)) = gapless::find_tag(walk, &parts)
        {
            let start = delay.min(clock.coded);
            pieces = vec![Piece { start: Some(start), frames: length.min(clock.coded - start) }];
        }
        if pieces.iter().all(|piece| piece.frames == 0) {
            return Err(Problem::NoAudio);
        }
        Ok(Self { description, table: builder.table, pieces })
    }
}

/// The contents of a `trak` box, if it is audio.
fn track(walk: &mut Walk<'_>, trak: Atom) -> Result<Option<Track>, Problem> {
    let parts = walk.children(trak.start, trak.end)?;
    let (Some(tkhd), Some(mdia)) = (find(&parts, b"tkhd"), find(&parts, b"mdia")) else {
        return Ok(None);
    };
    let media = walk.children(mdia.start, mdia.end)?;
    let (Some(mdhd), Some(hdlr)) = (find(&media, b"mdhd"), find(&media, b"hdlr")) else {
        return Ok(None);
    };
    if &walk.bytes::<4>(hdlr, 8)? != b"soun" {
        return Ok(None);
    }
    let [version, _, _, flags] = walk.bytes(tkhd, 0)?;
    let number = u32::from_be_bytes(walk.bytes(tkhd, if version == 0 { 12 } else { 20 })?);
    let mut edits = Vec::new();
    if let Some(edts) = find(&parts, b"edts")
        && let Some(elst) = find(&walk.children(edts.start, edts.end)?, b"elst")
    {
        edits = edits::parse(&walk.content(elst)?)?;
    }
    let tables = match find(&media, b"minf") {
        Some(minf) => match find(&walk.children(minf.start, minf.end)?, b"stbl") {
            Some(stbl) => walk.children(stbl.start, stbl.end)?,
            None => Vec::new(),
        },
        None => Vec::new(),
    };
    let stsd = find(&tables, b"stsd").ok_or_else(|| Problem::header("it does not describe its audio"))?;
    let entry = samples::entry_of(walk, &tables)?;
    let description = entry::description(&walk.content(stsd)?, entry);
    let timescale = walk.timescale(mdhd)?;
    Ok(Some(Track { number, enabled: flags & 1 != 0, timescale, edits, tables, entry, description }))
}

/// The first enabled track that can be decoded. If there is none, a track that is not enabled.
fn choose(mut tracks: Vec<Track>, notices: &mut Notices) -> Result<Track, Problem> {
    let count = tracks.len();
    tracks.sort_by_key(|track| (track.description.is_err(), !track.enabled));
    if count > 1 {
        notices.add(Notice::OneOfSeveralTracks { tracks: count });
    }
    tracks.into_iter().next().ok_or(Problem::NoAudio)
}
