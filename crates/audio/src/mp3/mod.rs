//! Mp3, and the layers 1 and 2 of the same standard.
//!
//! An mp3 states its length only in an optional tag in its first frame, and files are often joined, cut or damaged.
//! Therefore one walk from header to header finds all frames, and the decoder makes the same walk again.

mod header;
mod piece;
mod scan;
mod tags;
mod walk;

use symphonia::core::io::MediaSource;

use self::piece::PieceDecoder;
use self::scan::{Piece, Scan};
use self::walk::Walk;
use crate::error::Problem;
use crate::joined::{Joined, OpenSection, SectionDecoder};
use crate::notice::{Notices, ReadOptions};
use crate::source::Shared;

/// Opens an mp3 of `length` bytes.
pub(crate) fn open(
    source: Box<dyn MediaSource>,
    length: u64,
    options: ReadOptions,
) -> Result<Joined, Problem> {
    let source = Shared::new(source);
    let mut walk = Walk::new(source.part(0..length))?;
    let Scan { pieces, sections, notices, .. } = Scan::run(&mut walk, Notices::new(options))?;
    let format = match pieces.first().ok_or(Problem::NoAudio)?.first.layout.layer {
        1 => "mp1",
        2 => "mp2",
        _ => "mp3",
    };
    let file = Pieces { source, length, end: walk.end(), pieces };
    Joined::open(format, sections, Box::new(file), notices)
}

struct Pieces {
    source: Shared,
    length: u64,
    /// The end of the audio.
    end: u64,
    pieces: Vec<Piece>,
}

impl OpenSection for Pieces {
    fn open(&self, index: usize) -> Result<Box<dyn SectionDecoder>, Problem> {
        let walk = Walk::resume(self.source.part(0..self.length), self.end);
        Ok(Box::new(PieceDecoder::new(walk, &self.pieces[index])?))
    }
}
