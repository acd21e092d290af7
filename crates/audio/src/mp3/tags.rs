//! Tags: those in the first frame that state the length (Xing, LAME, VBRI), and those with texts and pictures.

use symphonia::core::checksum::Crc16AnsiLe;
use symphonia::core::io::Monitor;

use super::header::Header;
use crate::error::Problem;
use crate::source::Window;

/// What the tag in the first frame of a song states. That frame holds no audio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LengthTag {
    /// Number of frames that follow.
    pub(crate) frames: Option<u64>,
    /// Samples before the song: the delays of the encoder and of the decoder.
    pub(crate) delay: u64,
    /// Samples after the song.
    pub(crate) padding: u64,
}

impl LengthTag {
    /// The tag that `frame` holds.
    pub(crate) fn parse(frame: &[u8], header: &Header) -> Option<Self> {
        const VBRI_AT: usize = 4 + 32;
        if header.layout.layer != 3 {
            return None;
        }
        let count = |at: usize| {
            let bytes: [u8; 4] = frame.get(at..at + 4)?.try_into().ok()?;
            Some(u64::from(u32::from_be_bytes(bytes)))
        };
        let at = 4 + header.side_info;
        let silent = frame.get(if header.has_crc { 6 } else { 4 }..at)?.iter().all(|&byte| byte == 0);
        if silent && matches!(frame.get(at..at + 4)?, b"Xing" | b"Info") {
            let flags = frame.get(at + 7)?;
            let has = |bit: u8| flags & bit != 0;
            let frames = if has(1) { count(at + 8) } else { None };
            let size = 8 + [(1, 4), (2, 4), (4, 100), (8, 4)]
                .map(|(bit, size)| if has(bit) { size } else { 0 })
                .iter()
                .sum::<usize>();
            let (delay, padding) = lame(frame, at + size, header.has_crc).unwrap_or((0, 0));
            return Some(Self { frames, delay, padding });
        }
        if frame.get(VBRI_AT..VBRI_AT + 4)? == b"VBRI" {
            return Some(Self { frames: count(VBRI_AT + 14), ..Self::default() });
        }
        None
    }
}

/// The delay and the padding of LAME's extension at `at`.
fn lame(frame: &[u8], at: usize, has_crc: bool) -> Option<(u64, u64)> {
    /// The delay of the decoder, in samples.
    const DECODER: u64 = 528 + 1;
    let tag = frame.get(at..at + 24)?;
    let is_lame = tag.starts_with(b"LAME");
    if !is_lame && !tag.starts_with(b"Lavf") && !tag.starts_with(b"Lavc") {
        return None;
    }
    // A checksum of 0 means that there is none.
    if (is_lame || has_crc)
        && let Some(&[high, low]) = frame.get(at + 34..at + 36).and_then(<[u8]>::first_chunk)
    {
        let mut crc = Crc16AnsiLe::new(0);
        crc.process_buf_bytes(&frame[..at + 34]);
        let stated = u16::from_be_bytes([high, low]);
        if stated != 0 && stated != crc.crc() {
            return None;
        }
    }
    let field = u64::from(tag[21]) << 16 | u64::from(tag[22]) << 8 | u64::from(tag[23]);
    Some((DECODER + (field >> 12), (field & 0xfff).saturating_sub(DECODER)))
}

/// The end of the tag that begins at `position`. `None` if no tag begins there.
pub(crate) fn tag_end(window: &mut Window, position: u64) -> Result<Option<u64>, Problem> {
    /// Maximum size of the text between the first and the last word of a Lyrics3 tag, version 1.
    const MAX_LYRICS: usize = 5100;
    let head = window.at(position, 32)?;
    let size = if let Some(size) = id3v2_size(head) {
        size
    } else if head.starts_with(b"TAG+") {
        227
    } else if head.starts_with(b"TAG") {
        128
    } else if let Some(tag) = Ape::parse(head) {
        if tag.is_header { 32 + tag.size } else { 32 }
    } else if head.starts_with(b"LYRICSBEGIN") {
        let text = window.at(position, MAX_LYRICS)?;
        match text.windows(9).position(|nine| nine == b"LYRICS200" || nine == b"LYRICSEND") {
            Some(end) => end as u64 + 9,
            None => return Ok(None),
        }
    } else {
        return Ok(None);
    };
    Ok(Some(position + size))
}

/// Whether the bytes look like the beginning of a tag.
pub(crate) fn begins_tag(bytes: &[u8]) -> bool {
    [&b"TAG"[..], b"ID3", b"APETAGEX", b"LYRICSBEGIN"].iter().any(|magic| bytes.starts_with(magic))
}

/// The position after all ID3v2 tags at the beginning of a file. It may be beyond the end of the file.
pub(crate) fn id3v2_end(window: &mut Window) -> Result<u64, Problem> {
    let mut position = 0;
    while let Some(size) = id3v2_size(window.at(position, 10)?) {
        position += size;
    }
    Ok(position)
}

/// The size of the ID3v2 tag that begins with `head`.
fn id3v2_size(head: &[u8]) -> Option<u64> {
    let &[b'I', b'D', b'3', major, minor, flags, a, b, c, d] = head.first_chunk()? else { return None };
    if major == 0xff || minor == 0xff {
        return None;
    }
    // The size has 28 bits, 7 in each of four bytes. It excludes the 10-byte header and the optional footer.
    let size = [a, b, c, d].iter().fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
    Some(10 + size + if flags & 0x10 != 0 { 10 } else { 0 })
}

/// The header or the footer of an APE tag.
struct Ape {
    /// Size of the items and the footer.
    size: u64,
    /// This is the header.
    is_header: bool,
    has_header: bool,
}

impl Ape {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..32).filter(|bytes| bytes.starts_with(b"APETAGEX"))?;
        let field = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let flags = if field(8) >= 2000 { field(20) } else { 0 };
        Some(Self {
            size: u64::from(field(12)),
            is_header: flags & 1 << 29 != 0,
            has_header: flags & 1 << 31 != 0,
        })
    }
}

/// The position of the first byte of the tags at the end of the file.
pub(crate) fn trailing_tags(window: &mut Window) -> Result<u64, Problem> {
    const MAX_TAGS: usize = 16;
    let mut end = window.length();
    for _ in 0..MAX_TAGS {
        match trailing_tag(window, end)? {
            Some(start) => end = start,
            None => break,
        }
    }
    Ok(end)
}

/// The beginning of the tag that ends at `end`. `None` if no tag ends there. A tag's stated size is believed only if the
/// tag begins as it should.
fn trailing_tag(window: &mut Window, end: u64) -> Result<Option<u64>, Problem> {
    const MAX_LYRICS: u64 = 5100;
    let mut bytes = |start: u64, count: usize| Ok::<_, Problem>(window.at(start, count)?.to_vec());
    let before = |distance: u64| end.saturating_sub(distance);
    if bytes(before(128), 3)? == b"TAG" {
        let extended = bytes(before(128 + 227), 4)? == b"TAG+";
        return Ok(Some(before(if extended { 128 + 227 } else { 128 })));
    }
    if let Some(tag) = Ape::parse(&bytes(before(32), 32)?).filter(|tag| !tag.is_header) {
        let start = before(tag.size + if tag.has_header { 32 } else { 0 });
        let head = bytes(start, 8)?;
        // Without a header, the tag begins with the size of its first item.
        let item = head.first_chunk().map_or(u32::MAX, |size| u32::from_le_bytes(*size));
        let sound = if tag.has_header { head == b"APETAGEX" } else { u64::from(item) + 40 < tag.size };
        return Ok(Some(if sound { start } else { before(32) }));
    }
    let foot = bytes(before(10), 10)?;
    if let Some(rest) = foot.strip_prefix(b"3DI") {
        let start = id3v2_size(&[b"ID3", rest].concat()).map(before);
        return Ok(match start {
            Some(start) if bytes(start, 3)? == b"ID3" => Some(start),
            _ => None,
        });
    }
    match &bytes(before(9), 9)?[..] {
        b"LYRICS200" => {
            let digits = bytes(before(15), 6)?;
            let size = std::str::from_utf8(&digits).ok().and_then(|digits| digits.parse::<u64>().ok());
            let start = before(15 + size.unwrap_or(0));
            Ok(if bytes(start, 11)? == b"LYRICSBEGIN" { Some(start) } else { None })
        }
        b"LYRICSEND" => {
            let text = bytes(before(MAX_LYRICS), MAX_LYRICS.min(end) as usize)?;
            let begin = text.windows(11).rposition(|eleven| eleven == b"LYRICSBEGIN");
            Ok(begin.map(|begin| before((text.len() - begin) as u64)))
        }
        _ => Ok(None),
    }
}
