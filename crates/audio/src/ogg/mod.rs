//! Ogg: one or more links, each with the streams that begin together (RFC 3533, section 4).
//!
//! Recordings of radio streams and files that were joined end to end have several links. All are read. One walk over
//! the pages finds the links, their exact lengths and what is missing. The decoder walks over the same pages again.
//!
//! To add a codec, implement [`crate::codec::Codec`] and list its [`Kind`] in `KINDS`.

mod link;
mod packets;
mod page;
mod scan;
mod setup;
pub(crate) mod vorbis;

use symphonia::core::io::MediaSource;

use self::link::{Link, LinkDecoder};
use self::scan::scan;
use self::vorbis::VORBIS;
use crate::codec::Kind;
use crate::error::Problem;
use crate::joined::{Joined, OpenSection, SectionDecoder};
use crate::notice::ReadOptions;
use crate::opus::OPUS;
use crate::source::Shared;

/// The codecs that can be read.
const KINDS: &[&Kind] = &[&VORBIS, &OPUS];

/// The first bytes and the names of audio codecs that cannot be read.
const OTHERS: &[(&[u8], &str)] = &[(b"\x7fFLAC", "FLAC"), (b"Speex   ", "Speex")];

/// Opens an Ogg file. `start`: position of its first page. `length`: of the file. Both in bytes.
pub(crate) fn open(
    source: Box<dyn MediaSource>,
    start: u64,
    length: u64,
    options: ReadOptions,
) -> Result<Joined, Problem> {
    let source = Shared::new(source);
    let file = scan(&source, start..length, KINDS, OTHERS, options)?;
    let format = file.links.first().ok_or(Problem::NoAudio)?.kind.format;
    Joined::open(format, file.sections, Box::new(Links { source, links: file.links }), file.notices)
}

struct Links {
    source: Shared,
    links: Vec<Link>,
}

impl OpenSection for Links {
    fn open(&self, index: usize) -> Result<Box<dyn SectionDecoder>, Problem> {
        Ok(Box::new(LinkDecoder::new(&self.source, &self.links[index])))
    }
}
