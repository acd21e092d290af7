//! What caf and aiff-c share: Apple's channel layouts and codes of codecs.

use std::borrow::Cow;

use symphonia::core::audio::Position;
use symphonia::core::io::MediaSource;

use crate::downmix::Mixer;
use crate::error::Problem;
use crate::source::{be_u32, read_up_to};

/// Codes of compressed codecs, and their names.
const COMPRESSED: [(&[u8; 4], &str); 14] = [
    (b"ima4", "IMA ADPCM"),
    (b"MAC3", "MACE"),
    (b"MAC6", "MACE"),
    (b"GSM ", "GSM 6.10"),
    (b"agsm", "GSM 6.10"),
    (b"QDM2", "QDesign Music"),
    (b"QDMC", "QDesign Music"),
    (b"Qclp", "PureVoice"),
    (b".mp1", "MPEG layer 1"),
    (b".mp2", "MPEG layer 2"),
    (b".mp3", "mp3"),
    (b"flac", "flac"),
    (b"opus", "Opus"),
    (b"ac-3", "AC-3"),
];

/// Layouts by their numbers in Apple's CoreAudioTypes.h: the upper 16 bits of a layout's tag. Letters: L and R front, C
/// centre, E effects, l and r surround, b and d rear surround, s centre surround, m and n left and right of the centre.
const LAYOUTS: [(u32, &str); 38] = [
    (100, "C"),
    (101, "LR"),
    (102, "LR"),
    (103, "LR"),
    (106, "LR"),
    (108, "LRlr"),
    (109, "LRlrC"),
    (110, "LRlrCs"),
    (113, "LRC"),
    (114, "CLR"),
    (115, "LRCs"),
    (116, "CLRs"),
    (117, "LRClr"),
    (118, "LRlrC"),
    (119, "LClRr"),
    (120, "CLRlr"),
    (121, "LRCElr"),
    (122, "LRlrCE"),
    (123, "LCRlrE"),
    (124, "CLRlrE"),
    (125, "LRCElrs"),
    (126, "LRCElrmn"),
    (127, "CmnLRlrE"),
    (128, "LRCElrbd"),
    (129, "LRlrCEmn"),
    (131, "LRs"),
    (132, "LRlr"),
    (133, "LRE"),
    (134, "LREs"),
    (135, "LRElr"),
    (136, "LRCE"),
    (137, "LRCEs"),
    (138, "LRlrE"),
    (139, "LRlrCs"),
    (140, "LRlrCbd"),
    (141, "CLRlrs"),
    (142, "CLRlrsE"),
    (143, "CLRlrbd"),
];

/// The name of a codec, or its code if it is unknown.
pub(crate) fn codec_name(code: &[u8]) -> Cow<'_, str> {
    let known = COMPRESSED.iter().find(|(known, _)| *known == code);
    known.map_or_else(|| String::from_utf8_lossy(code), |(_, name)| Cow::Borrowed(name))
}

/// The mixer for the channel layout at `position`. `None` if it names no layout. `size`: bytes of the chunk.
pub(crate) fn channel_layout(
    source: &mut dyn MediaSource,
    position: u64,
    size: u64,
) -> Result<Option<Mixer>, Problem> {
    const BY_BITS: u32 = 1 << 16;
    let mut bytes = [0; 8];
    if size < 8 || read_up_to(source, position, &mut bytes)? < bytes.len() {
        return Ok(None);
    }
    let tag = be_u32(&bytes);
    if tag == BY_BITS {
        // The bits are those of a wav's channel mask.
        let bits = be_u32(&bytes[4..]);
        return Mixer::of_mask(bits.count_ones() as usize, bits).map(Some);
    }
    let Some((_, letters)) = LAYOUTS.iter().find(|(number, _)| *number == tag >> 16) else {
        return Ok(None);
    };
    Mixer::new(&letters.bytes().map(position_of).collect::<Vec<_>>()).map(Some)
}

fn position_of(letter: u8) -> Position {
    match letter {
        b'L' => Position::FRONT_LEFT,
        b'R' => Position::FRONT_RIGHT,
        b'C' => Position::FRONT_CENTER,
        b'E' => Position::LFE1,
        b'l' => Position::SIDE_LEFT,
        b'r' => Position::SIDE_RIGHT,
        b'b' => Position::REAR_LEFT,
        b'd' => Position::REAR_RIGHT,
        b's' => Position::REAR_CENTER,
        b'm' => Position::FRONT_LEFT_CENTER,
        _ => Position::FRONT_RIGHT_CENTER,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::{LAYOUTS, channel_layout};
    use crate::downmix::Mixer;
    use crate::notice::Notice;

    #[test]
    fn layouts_are_found_by_their_tags() {
        let mixer = |tag: u32, bits: u32| {
            let bytes = [tag.to_be_bytes(), bits.to_be_bytes()].concat();
            channel_layout(&mut Cursor::new(bytes), 0, 8).expect("readable")
        };
        // MPEG 5.1 A has the order of a wav.
        let wav = Mixer::of_count(6).expect("5.1");
        assert_eq!(mixer(121 << 16 | 6, 0), Some(wav.clone()));
        assert_eq!(mixer(1 << 16, 0x3f), Some(wav.clone()));
        let other = mixer(124 << 16 | 6, 0).expect("5.1");
        assert_eq!(other.notice(), Some(Notice::MixedDown { layout: "5.1".into() }));
        assert_ne!(other, wav);
        assert_eq!(mixer(147 << 16, 0), None);
        // Every letter has a position, so that no layout holds one twice.
        for (number, letters) in LAYOUTS {
            let mut sorted: Vec<_> = letters.bytes().collect();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), letters.len(), "{number}");
        }
    }
}
