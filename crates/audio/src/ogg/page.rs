//! The pages of an Ogg file (RFC 3533, section 6).

use symphonia::core::checksum::Crc32;
use symphonia::core::io::Monitor;

use crate::error::Problem;
use crate::source::{Part, Window};

/// Size in bytes of the fixed part of a page's header.
const HEADER: usize = 27;

/// Maximum number of damaged pages in one file. Each costs the time of one checksum.
const MAX_DAMAGED: usize = 4096;

/// Bytes that are searched for a page at once.
const SEARCH: usize = 32 * 1024;

/// A page with a correct checksum.
pub(crate) struct Page {
    /// Position of the first byte.
    pub(crate) start: u64,
    /// The first packet began on an earlier page.
    pub(crate) continued: bool,
    /// The first page of its stream.
    pub(crate) first: bool,
    /// The last page of its stream.
    pub(crate) last: bool,
    /// End of the last packet that ends on this page, in units of the codec. `None` if no packet ends here.
    pub(crate) granule: Option<i64>,
    pub(crate) serial: u32,
    pub(crate) sequence: u32,
    /// The sizes of the pieces of packets.
    sizes: Vec<usize>,
    /// The last piece ends its packet.
    complete: bool,
    body: Vec<u8>,
}

impl Page {
    /// The pieces of packets, and whether the packet ends with the piece.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let mut at = 0;
        self.sizes.iter().enumerate().map(move |(index, &size)| {
            let piece = &self.body[at..at + size];
            at += size;
            (piece, self.complete || index + 1 < self.sizes.len())
        })
    }
}

/// A page whose end is missing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CutPage {
    pub(crate) serial: u32,
    pub(crate) granule: Option<i64>,
}

/// Reads pages in their order.
pub(crate) struct Pages {
    window: Window,
    position: u64,
    damaged: usize,
    /// The file ends inside of this page.
    cut: Option<CutPage>,
}

impl Pages {
    pub(crate) fn new(source: Part) -> Self {
        Self { window: Window::new(source), position: 0, damaged: 0, cut: None }
    }

    /// Makes the page at `position` the next one.
    pub(crate) fn seek(&mut self, position: u64) {
        self.position = position;
        self.cut = None;
    }

    /// The page whose end is missing, once [`Self::next`] has returned `None`.
    pub(crate) fn cut(&self) -> Option<CutPage> {
        self.cut
    }

    /// The next page with a correct checksum. `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Page>, Problem> {
        self.cut = None;
        loop {
            let start = self.position;
            let head = self.window.at(start, HEADER + 255)?;
            if !head.starts_with(b"OggS\0") {
                if !self.search()? {
                    return Ok(None);
                }
                continue;
            }
            let segments = head.get(HEADER - 1).map_or(0, |&count| usize::from(count));
            let Some(lacing) = head.get(HEADER..HEADER + segments) else {
                // The end of the file, unless another page begins inside of this one.
                self.position += 1;
                continue;
            };
            let field = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
            let granule = (u64::from(field(10)) << 32 | u64::from(field(6))) as i64;
            let granule = Some(granule).filter(|&granule| granule != -1);
            let (flags, serial, sequence, checksum) = (head[5], field(14), field(18), field(22));
            let mut sizes = Vec::new();
            let mut complete = true;
            for &size in lacing {
                if complete {
                    sizes.push(0);
                }
                if let Some(last) = sizes.last_mut() {
                    *last += usize::from(size);
                }
                complete = size < 255;
            }
            let body_start = HEADER + segments;
            let size = body_start + sizes.iter().sum::<usize>();
            let bytes = self.window.at(start, size)?;
            if bytes.len() < size {
                self.cut = Some(CutPage { serial, granule });
                self.position += 1;
                continue;
            }
            if crc(bytes) != checksum {
                self.damaged += 1;
                if self.damaged > MAX_DAMAGED {
                    return Err(Problem::header(format!("it has more than {MAX_DAMAGED} damaged pages")));
                }
                let followed = self.window.at(start + size as u64, 4)? == b"OggS";
                self.position += if followed { size as u64 } else { 1 };
                continue;
            }
            let body = bytes[body_start..].to_vec();
            self.position = start + size as u64;
            self.cut = None;
            return Ok(Some(Page {
                start,
                continued: flags & 1 != 0,
                first: flags & 2 != 0,
                last: flags & 4 != 0,
                granule,
                serial,
                sequence,
                sizes,
                complete,
                body,
            }));
        }
    }

    /// Moves to the next capture pattern. Returns `false` at the end.
    fn search(&mut self) -> Result<bool, Problem> {
        loop {
            let bytes = self.window.at(self.position, SEARCH)?;
            if let Some(at) = bytes.windows(5).position(|five| five == b"OggS\0") {
                self.position += at as u64;
                return Ok(true);
            }
            if bytes.len() < SEARCH {
                self.position += bytes.len() as u64;
                return Ok(false);
            }
            self.position += (SEARCH - 4) as u64;
        }
    }
}

/// The checksum of a page, whose own field counts as 0.
fn crc(page: &[u8]) -> u32 {
    let mut crc = Crc32::new(0);
    crc.process_buf_bytes(&page[..22]);
    crc.process_buf_bytes(&[0; 4]);
    crc.process_buf_bytes(&page[26..]);
    crc.crc()
}
