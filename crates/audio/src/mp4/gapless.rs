//! iTunes' gapless tag: the item `iTunSMPB` in moov/udta/meta/ilst.

use super::boxes::{Atom, Walk, find};
use crate::error::Problem;

/// Samples before the song, and samples of the song. Damaged tags are ignored, because tags hold no audio.
pub(super) fn find_tag(walk: &mut Walk<'_>, moov: &[Atom]) -> Option<(u64, u64)> {
    let mut found = None;
    for udta in moov.iter().filter(|atom| &atom.name == b"udta") {
        found = found.or(tag(walk, *udta).unwrap_or(None));
    }
    found
}

fn tag(walk: &mut Walk<'_>, udta: Atom) -> Result<Option<(u64, u64)>, Problem> {
    let Some(meta) = find(&walk.children(udta.start, udta.end)?, b"meta") else { return Ok(None) };
    // Four bytes of version and flags come first, except in QuickTime's version of the box.
    let head: [u8; 8] = walk.bytes(meta, 0)?;
    let start = if &head[4..] == b"hdlr" { meta.start } else { meta.start + 4 };
    let Some(ilst) = find(&walk.children(start, meta.end)?, b"ilst") else { return Ok(None) };
    for item in walk.children(ilst.start, ilst.end)? {
        if &item.name != b"----" {
            continue;
        }
        let parts = walk.children(item.start, item.end)?;
        let (Some(name), Some(data)) = (find(&parts, b"name"), find(&parts, b"data")) else { continue };
        if name.end - name.start != 12 || &walk.bytes::<8>(name, 4)? != b"iTunSMPB" {
            continue;
        }
        let text = walk.content(data)?;
        return Ok(parse(&String::from_utf8_lossy(text.get(8..).unwrap_or_default())));
    }
    Ok(None)
}

/// Parses hexadecimal words: 0, samples of delay, samples of padding, samples of the song, and others.
fn parse(text: &str) -> Option<(u64, u64)> {
    let mut words = text.split_whitespace().map(|word| u64::from_str_radix(word, 16));
    let delay = words.nth(1)?.ok()?;
    let samples = words.nth(1)?.ok()?;
    (samples > 0).then_some((delay, samples))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_tag_gives_delay_and_length() {
        let text = " 00000000 00000840 000001CA 00000000003F31F6 00000000 00000000 00000000";
        assert_eq!(parse(text), Some((2112, 0x3f31f6)));
        assert_eq!(parse(" 00000000 00000840 000001CA 0000000000000000"), None);
        assert_eq!(parse("nonsense"), None);
        assert_eq!(parse(""), None);
    }
}
