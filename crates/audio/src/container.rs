//! Identifies the container of a file by its first bytes. The file's name is not trusted.

use symphonia::core::io::MediaSource;

use crate::error::Problem;
use crate::foreign::{self, recognise};
use crate::source::read_up_to;
use crate::w64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    Wav,
    W64,
    Caf,
    Aiff,
    Au,
    Flac,
    Mp3,
    Ogg,
    Mp4,
    Adts,
    Matroska,
}

/// The container, and the position of its first byte after any ID3v2 tags.
///
/// `extension` matters in one case only: an mp3 that begins with neither a tag nor a frame.
pub(crate) fn identify(
    source: &mut dyn MediaSource,
    length: u64,
    extension: Option<&str>,
) -> Result<(Container, u64), Problem> {
    let mut start = 0;
    let mut tagged = false;
    let mut head = [0; 16];
    loop {
        let got = read_up_to(source, start, &mut head)?;
        head[got..].fill(0);
        if &head[..3] != b"ID3" {
            break;
        }
        // The size has 28 bits, 7 in each of four bytes. It excludes the 10-byte header and the optional footer.
        let size = head[6..10].iter().fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
        start += 10 + size + if head[5] & 0x10 != 0 { 10 } else { 0 };
        tagged = true;
        // Only an mp3 is searched for its beginning if the size of its tag is wrong.
        if start >= length {
            return Ok((Container::Mp3, 0));
        }
    }
    let container = match &head {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Container::Wav,
        [b'R', b'F', b'6', b'4', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Container::Wav,
        [b'B', b'W', b'6', b'4', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Container::Wav,
        [b'F', b'O', b'R', b'M', _, _, _, _, b'A', b'I', b'F', b'F' | b'C', ..] => Container::Aiff,
        [b'c', b'a', b'f', b'f', ..] => Container::Caf,
        [b'.', b's', b'n', b'd', ..] => Container::Au,
        [b'f', b'L', b'a', b'C', ..] => Container::Flac,
        head if *head == w64::RIFF => Container::W64,
        _ => match foreign(source, start)? {
            Some(problem) => return Err(problem),
            None => by_frames(&head, tagged, extension)?,
        },
    };
    Ok((container, start))
}

/// The container of a file without a signature, or of one whose beginning is not always the same.
fn by_frames(head: &[u8; 16], tagged: bool, extension: Option<&str>) -> Result<Container, Problem> {
    Ok(match head {
        [b'O', b'g', b'g', b'S', ..] => Container::Ogg,
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Container::Matroska,
        // Files of early QuickTime begin with any box.
        [_, _, _, _, b'f', b't', b'y', b'p', ..]
        | [_, _, _, _, b'm', b'o', b'o', b'v', ..]
        | [_, _, _, _, b'm', b'd', b'a', b't', ..]
        | [_, _, _, _, b'w', b'i', b'd', b'e', ..]
        | [_, _, _, _, b's', b't', b'y', b'p', ..] => Container::Mp4,
        // The layer of MPEG audio is 0 in ADTS only.
        [0xff, second, ..] if second & 0xf6 == 0xf0 => Container::Adts,
        [0xff, second, ..] if second & 0xe0 == 0xe0 => Container::Mp3,
        _ if extension.is_some_and(|e| e.eq_ignore_ascii_case("aac")) => Container::Adts,
        _ if tagged || extension.is_some_and(|e| e.eq_ignore_ascii_case("mp3")) => Container::Mp3,
        _ => return Err(Problem::UnknownFormat),
    })
}

/// The error for a file of a known kind that is not read.
fn foreign(source: &mut dyn MediaSource, start: u64) -> Result<Option<Problem>, Problem> {
    let mut head = vec![0; foreign::HEAD];
    let got = read_up_to(source, start, &mut head)?;
    Ok(recognise(&head[..got]))
}
