//! Matroska and WebM (RFC 9559): finds an audio track and its packets.

mod block;
mod ebml;
mod track;

use symphonia::core::io::MediaSource;

use self::block::Block;
use self::ebml::{Element, children, content, element, float, signed, unsigned};
use self::track::Track;
use crate::aac;
use crate::codec::Codec;
use crate::error::Problem;
use crate::joined::Joined;
use crate::notice::{Notice, Notices, ReadOptions};
use crate::pieces::{self, Piece, Stream};
use crate::source::{Shared, Window};
use crate::table::Table;

/// Maximum number of elements. A film of three hours has about a million.
const MAX_ELEMENTS: usize = 10_000_000;

/// The bytes of a block that hold its header and the sizes of its frames, at most.
const BLOCK_HEAD: usize = 16 * 1024;

/// The bytes of a packet that tell its length.
const PACKET_HEAD: usize = 32;

const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1f43_b675;
const BLOCK_GROUP: u32 = 0xa0;
const SIMPLE_BLOCK: u32 = 0xa3;
const BLOCK: u32 = 0xa1;
const DISCARD_PADDING: u32 = 0x75a2;
const INFO: u32 = 0x1549_a966;
const TRACKS: u32 = 0x1654_ae6b;

/// Opens a file of `length` bytes that begins at `start`.
pub(crate) fn open(
    source: Box<dyn MediaSource>,
    start: u64,
    length: u64,
    options: ReadOptions,
) -> Result<Joined, Problem> {
    let shared = Shared::new(source);
    let mut window = Window::new(shared.part(0..length));
    let mut notices = Notices::new(options);
    let mut scan = Scan::default();
    scan.walk(&mut window, start, &mut notices)?;
    let Some(Selected { track, codec, table, padding, .. }) = scan.selected else {
        return Err(if scan.is_cut {
            Problem::Truncated("its audio is missing".into())
        } else {
            Problem::NoAudio
        });
    };
    let description = track.description?;
    if description.is_aac() && table.ends_with_sbr(&mut window)? {
        return Err(aac::implicit_sbr());
    }
    let rate = codec.rate();
    let frames = |nanoseconds: u64| {
        let frames = (u128::from(nanoseconds) * u128::from(rate) + 500_000_000) / 1_000_000_000;
        u64::try_from(frames).unwrap_or(u64::MAX)
    };
    let skip = codec.delay().max(frames(track.delay)).min(table.frames());
    let song = (table.frames() - skip).saturating_sub(frames(padding));
    let seconds = song as f64 / f64::from(rate);
    if scan.is_cut {
        // Packets that are known to be missing are reported with the others.
        let missing = (scan.duration - seconds).max(0.0);
        let refused = || Problem::Truncated(format!("its last {missing:.3} s are missing"));
        notices.missing(seconds, missing.max(f64::MIN_POSITIVE), "the file is cut short", refused)?;
    }
    if song == 0 {
        return Err(Problem::NoAudio);
    }
    drop(window);
    let format = description.format();
    let open = Box::new(move || description.open());
    let stream = Stream { table, open, pieces: vec![Piece { start: Some(skip), frames: song }] };
    pieces::open(format, vec![stream], Box::new(shared.part(0..length)), length, notices)
}

/// The audio track that is read.
struct Selected {
    track: Track,
    codec: Box<dyn Codec>,
    table: Table,
    /// Block size of the last packet.
    previous: Option<u64>,
    /// Time at the end of the last block that does not belong to the song, in nanoseconds.
    padding: u64,
}

#[derive(Default)]
struct Scan {
    selected: Option<Selected>,
    /// Length of the file in seconds, as it states it.
    duration: f64,
    is_cut: bool,
}

impl Scan {
    /// Walks over all elements. Elements that hold others are entered, so that their ends need not be known.
    fn walk(&mut self, window: &mut Window, start: u64, notices: &mut Notices) -> Result<(), Problem> {
        let length = window.length();
        let mut position = start;
        let mut segments = 0;
        for count in 0.. {
            if count > MAX_ELEMENTS {
                return Err(Problem::header("it has too many elements"));
            }
            let Some(found) = element(window, position)? else {
                self.is_cut |= position < length;
                return Ok(());
            };
            position = match found.id {
                SEGMENT => {
                    segments += 1;
                    if segments > 1 {
                        return Err(Problem::Unsupported("a file of several Matroska segments".into()));
                    }
                    self.is_cut |= found.end.is_some_and(|end| end > length);
                    found.start
                }
                CLUSTER | BLOCK_GROUP => found.start,
                id => {
                    let Some(end) = found.end else {
                        return Err(Problem::header("an element does not state its size"));
                    };
                    self.is_cut |= end > length;
                    match id {
                        INFO => self.duration = duration(&content(window, found)?),
                        TRACKS if self.selected.is_none() => {
                            self.select(&content(window, found)?, notices)?;
                        }
                        SIMPLE_BLOCK | BLOCK => self.block(window, found, end)?,
                        DISCARD_PADDING => self.padding(signed(&content(window, found)?)),
                        _ => {}
                    }
                    end
                }
            };
        }
        Ok(())
    }

    /// Selects the first default track that can be decoded. If there is none, another track.
    fn select(&mut self, tracks: &[u8], notices: &mut Notices) -> Result<(), Problem> {
        const ENTRY: u32 = 0xae;
        let entries = children(tracks).into_iter().filter(|(id, _)| *id == ENTRY);
        let mut tracks: Vec<_> = entries.filter_map(|(_, entry)| Track::parse(entry)).collect();
        if tracks.len() > 1 {
            notices.add(Notice::OneOfSeveralTracks { tracks: tracks.len() });
        }
        tracks.sort_by_key(|track| (track.description.is_err(), !track.is_default));
        let track = tracks.into_iter().next().ok_or(Problem::NoAudio)?;
        let description = match track.description {
            Ok(ref description) => description,
            Err(problem) => return Err(problem),
        };
        let codec = description.open()?;
        self.selected = Some(Selected { codec, track, table: Table::default(), previous: None, padding: 0 });
        Ok(())
    }

    /// Appends the packets of a block.
    fn block(&mut self, window: &mut Window, element: Element, end: u64) -> Result<(), Problem> {
        let Some(selected) = &mut self.selected else { return Ok(()) };
        let size = end - element.start;
        let head = window.at(element.start, BLOCK_HEAD.min(usize::try_from(size).unwrap_or(BLOCK_HEAD)))?;
        let Some(block) = Block::parse(head, size) else {
            return if self.is_cut { Ok(()) } else { Err(Problem::header("a block is damaged")) };
        };
        if block.track != selected.track.number {
            return Ok(());
        }
        selected.padding = 0;
        let mut position = element.start + block.head;
        for size in block.frames {
            let end = position.saturating_add(size);
            let packet =
                window.at(position, PACKET_HEAD.min(usize::try_from(size).unwrap_or(PACKET_HEAD)))?;
            if let Some(length) = selected.codec.block(packet) {
                let frames = selected.codec.frames(selected.previous, length);
                selected.previous = Some(length);
                selected.table.push(position, u32::try_from(size).unwrap_or(u32::MAX), frames)?;
            } else if end <= window.length() {
                return Err(Problem::header("a packet is damaged"));
            }
            position = end;
        }
        Ok(())
    }

    fn padding(&mut self, nanoseconds: i64) {
        if let Some(selected) = &mut self.selected {
            selected.padding = u64::try_from(nanoseconds).unwrap_or(0);
        }
    }
}

/// The length in seconds that an `Info` element states. 0 if it states none.
fn duration(info: &[u8]) -> f64 {
    let parts = children(info);
    let find = |wanted: u32| parts.iter().find(|(id, _)| *id == wanted).map(|(_, content)| *content);
    let scale = find(0x2a_d7b1).map_or(1e6, |content| unsigned(content) as f64);
    find(0x4489).map_or(0.0, float) * scale / 1e9
}
