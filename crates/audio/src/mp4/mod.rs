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
mod pcm;
mod samples;

use symphonia::core::io::MediaSource;

use self::boxes::{Atom, Walk, find};
use self::edits::{Clock, Edit};
use self::entry::Description;
use self::samples::Builder;
use crate::aac;
use crate::error::Problem;
use crate::joined::Joined;
use crate::notice::{Notice, Notices, ReadOptions};
use crate::pieces::{self, Piece, Stream};
use crate::source::{Shared, Window};
use crate::table::Table;

/// Opens a file of `length` bytes, whose first box is at `start`.
pub(crate) fn open(
    mut source: Box<dyn MediaSource>,
    start: u64,
    length: u64,
    options: ReadOptions,
) -> Result<Joined, Problem> {
    let mut notices = Notices::new(options);
    let movie = Movie::parse(&mut Walk::new(&mut *source, length), start, options.track, &mut notices)?;
    let source = Shared::new(source);
    if movie.description.is_aac() && movie.table.ends_with_sbr(&mut Window::new(source.part(0..length)))? {
        return Err(aac::implicit_sbr());
    }
    let (format, description) = (movie.description.format(), movie.description);
    let open = Box::new(move || description.open());
    let stream = Stream { table: movie.table, open, pieces: movie.pieces };
    pieces::open(format, vec![stream], Box::new(source.part(0..length)), length, notices)
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
    fn parse(
        walk: &mut Walk<'_>,
        start: u64,
        wanted: Option<usize>,
        notices: &mut Notices,
    ) -> Result<Self, Problem> {
        let top = walk.top(start)?;
        let moov =
            find(&top, b"moov").ok_or_else(|| Problem::Truncated("its movie box is missing".into()))?;
        let parts = walk.children(moov.start, moov.end)?;
        let movie_scale = find(&parts, b"mvhd").map_or(Ok(0), |mvhd| walk.timescale(mvhd))?;
        let mut tracks = Vec::new();
        for trak in parts.iter().filter(|atom| &atom.name == b"trak") {
            tracks.extend(track(walk, *trak)?);
        }
        let mut chosen = match wanted {
            Some(index) => nth(tracks, index)?,
            None => choose(tracks, notices)?,
        };
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

/// Audio track `index`, in the order of the file.
fn nth(tracks: Vec<Track>, index: usize) -> Result<Track, Problem> {
    let tracks_in_file = tracks.len();
    tracks.into_iter().nth(index).ok_or(Problem::NoTrack { track: index, tracks: tracks_in_file })
}
