//! Which format a file has, from its first bytes; names are not trusted.

use std::io::SeekFrom;

use symphonia::core::io::MediaSource;

use crate::Problem;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    Wav,
    Aiff,
    Flac,
    Mp3,
    Ogg,
    Mp4,
}

/// The container and the position of its first byte, past any ID3v2 tags.
///
/// `extension` matters for one case only: an mp3 that begins with neither a tag nor a frame.
pub(crate) fn identify(
    source: &mut dyn MediaSource,
    length: u64,
    extension: Option<&str>,
) -> Result<(Container, u64), Problem> {
    let mut start = 0;
    let mut tagged = false;
    let mut head = [0; 12];
    loop {
        let got = read_up_to(source, start, &mut head)?;
        head[got..].fill(0);
        if &head[..3] != b"ID3" {
            break;
        }
        // Size of the tag: 28 bits in four bytes of 7, without its 10-byte header and optional footer.
        let size = head[6..10].iter().fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
        start += 10 + size + if head[5] & 0x10 != 0 { 10 } else { 0 };
        tagged = true;
        if start >= length {
            return Err(Problem::Truncated("it ends inside its ID3 tag".into()));
        }
    }
    let container = match &head {
        [b'R', b'I', b'F', b'F', .., b'W', b'A', b'V', b'E'] => Container::Wav,
        [b'R', b'F', b'6', b'4', .., b'W', b'A', b'V', b'E'] => Container::Wav,
        [b'F', b'O', b'R', b'M', .., b'A', b'I', b'F', b'F' | b'C'] => Container::Aiff,
        [b'f', b'L', b'a', b'C', ..] => Container::Flac,
        [b'O', b'g', b'g', b'S', ..] => Container::Ogg,
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Container::Mp4,
        [0xff, second, ..] if second & 0xe0 == 0xe0 => Container::Mp3,
        _ if tagged || extension.is_some_and(|e| e.eq_ignore_ascii_case("mp3")) => Container::Mp3,
        _ => return Err(Problem::UnknownFormat),
    };
    Ok((container, start))
}

/// Fills as much of `buffer` as the source holds from `position` on.
pub(crate) fn read_up_to(
    source: &mut dyn MediaSource,
    position: u64,
    buffer: &mut [u8],
) -> Result<usize, Problem> {
    source.seek(SeekFrom::Start(position)).map_err(Problem::Read)?;
    let mut got = 0;
    while got < buffer.len() {
        match source.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Problem::Read(error)),
        }
    }
    Ok(got)
}
