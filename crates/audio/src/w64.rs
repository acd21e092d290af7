//! Sony Wave64: chunks with names of 16 bytes and sizes of 64 bits.

use symphonia::core::io::MediaSource;

use crate::decoder::Decoder;
use crate::error::Problem;
use crate::extent::Stated;
use crate::notice::ReadOptions;
use crate::pcm::PcmDecoder;
use crate::source::{le_u64, read_up_to};
use crate::wav::{Format, MAX_CHUNKS};

/// Bytes of the name and the size of a chunk. The size includes them.
const CHUNK_HEADER: u64 = 24;

/// The first bytes of a file.
pub(crate) const RIFF: [u8; 16] = *b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0";

/// The end of the names of all other chunks. Their beginnings are the names of wav's chunks.
const NAME_END: [u8; 12] = *b"\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a";

/// Opens the file that begins at byte `start`.
pub(crate) fn open(
    mut source: Box<dyn MediaSource>,
    start: u64,
    length: u64,
    options: ReadOptions,
) -> Result<Box<dyn Decoder>, Problem> {
    let mut head = [0; CHUNK_HEADER as usize];
    read_up_to(&mut *source, start, &mut head)?;
    let file_end = start.saturating_add(le_u64(&head[16..]));
    let mut format = None;
    // The first chunk's size is that of the file. The form's name follows it.
    let mut position = start + CHUNK_HEADER + 16;
    for _ in 0..MAX_CHUNKS {
        if read_up_to(&mut *source, position, &mut head)? < head.len() {
            return Err(Problem::Truncated("its header announces audio that is missing".into()));
        }
        let size = le_u64(&head[16..]);
        let body = position + CHUNK_HEADER;
        let is = |name: &[u8; 4]| head.starts_with(name) && head[4..16] == NAME_END;
        if is(b"data") {
            let format: Format =
                format.ok_or_else(|| Problem::header("no format chunk precedes its audio"))?;
            // A file system holds no file of 2^63 - 1 bytes.
            let audio = size.checked_sub(CHUNK_HEADER).filter(|_| size < (1 << 63) - 1);
            let stated = Stated { audio, file_end, narrow: false, is_chunk };
            let extent = stated.extent(&mut *source, body, length)?;
            let layout = format.layout("w64", "a w64 file")?;
            return Ok(Box::new(PcmDecoder::new(source, layout, body, &extent, options)?));
        }
        if size < CHUNK_HEADER {
            return Err(Problem::header("a chunk is shorter than its own header"));
        }
        if is(b"fmt ") {
            let mut bytes = [0; 40];
            let wanted = (size - CHUNK_HEADER).min(40) as usize;
            if read_up_to(&mut *source, body, &mut bytes[..wanted])? < wanted {
                return Err(Problem::Truncated("it ends inside its header".into()));
            }
            format = Some(Format::parse(&bytes[..wanted])?);
        }
        // Chunks begin at multiples of eight bytes.
        position = position.saturating_add(size).div_ceil(8).saturating_mul(8);
    }
    Err(Problem::header("it has too many chunks before its audio"))
}

/// Whether a chunk begins with `head`. Up to seven bytes of padding may precede it.
fn is_chunk(head: &[u8], _: u64) -> bool {
    (0..8).any(|at| head[at + 4..].starts_with(&NAME_END))
}
