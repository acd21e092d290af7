//! The elements of EBML (RFC 8794), of which Matroska consists.

use crate::error::Problem;
use crate::source::Window;

/// Maximum size in bytes of an element that is read at once. `Window` reads no more.
const MAX_CONTENT: u64 = 64 * 1024;

/// An element, without its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) id: u32,
    pub(super) start: u64,
    /// `None` if the size is unknown, as in files that were written while they were streamed.
    pub(super) end: Option<u64>,
}

/// The element at a position. `None` at the end of the file, inside of a header, and if there is no element.
pub(super) fn element(window: &mut Window, position: u64) -> Result<Option<Element>, Problem> {
    let bytes = window.at(position, 12)?;
    let Some((id, rest)) = number(bytes, false).filter(|(_, rest)| bytes.len() - rest.len() <= 4) else {
        return Ok(None);
    };
    let Some((size, after)) = number(rest, true) else { return Ok(None) };
    let bits = 7 * (rest.len() - after.len());
    let start = position + (bytes.len() - after.len()) as u64;
    let unknown = size == (1 << bits) - 1;
    let end = start.saturating_add(size);
    Ok(u32::try_from(id).ok().map(|id| Element { id, start, end: (!unknown).then_some(end) }))
}

/// The contents of an element.
pub(super) fn content(window: &mut Window, element: Element) -> Result<Vec<u8>, Problem> {
    let size = element.end.map_or(u64::MAX, |end| end - element.start);
    if size > MAX_CONTENT {
        return Err(Problem::header("an element of its header is too large"));
    }
    let content = window.at(element.start, size as usize)?;
    if (content.len() as u64) < size {
        return Err(Problem::Truncated("it ends inside its headers".into()));
    }
    Ok(content.to_vec())
}

/// The elements inside of a content. Damage ends them.
pub(super) fn children(mut bytes: &[u8]) -> Vec<(u32, &[u8])> {
    let mut children = Vec::new();
    while let Some((id, rest)) = number(bytes, false)
        && let Some((size, rest)) = number(rest, true)
        && let Some((content, rest)) = usize::try_from(size).ok().and_then(|size| rest.split_at_checked(size))
    {
        children.push((u32::try_from(id).unwrap_or(0), content));
        bytes = rest;
    }
    children
}

/// A number of 1 to 8 bytes: the zeros before the first 1 are the number of further bytes. `value`: without that 1.
pub(super) fn number(bytes: &[u8], value: bool) -> Option<(u64, &[u8])> {
    let first = *bytes.first()?;
    let length = first.leading_zeros() as usize + 1;
    let (number, rest) = bytes.split_at_checked(length).filter(|_| length <= 8)?;
    let sum = number.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    Some((if value { sum & !(1 << (7 * length)) } else { sum }, rest))
}

/// An unsigned integer of up to 8 bytes.
pub(super) fn unsigned(content: &[u8]) -> u64 {
    content.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// A signed integer of up to 8 bytes.
pub(super) fn signed(content: &[u8]) -> i64 {
    let unused = 64 - 8 * content.len().min(8) as u32;
    if unused == 64 { 0 } else { ((unsigned(content) << unused) as i64) >> unused }
}

/// A number of 4 or 8 bytes with floating point.
pub(super) fn float(content: &[u8]) -> f64 {
    match content.len() {
        4 => f64::from(f32::from_bits(unsigned(content) as u32)),
        8 => f64::from_bits(unsigned(content)),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::{children, float, number, signed, unsigned};

    #[test]
    fn numbers_of_every_length_are_read() {
        assert_eq!(number(&[0x81, 9], true), Some((1, [9].as_slice())));
        assert_eq!(number(&[0x40, 0x02], true), Some((2, [].as_slice())));
        assert_eq!(number(&[0x1a, 0x45, 0xdf, 0xa3], false), Some((0x1a45_dfa3, [].as_slice())));
        assert_eq!(number(&[0x01, 0, 0, 0, 0, 0, 0, 7], true), Some((7, [].as_slice())));
        assert_eq!(number(&[0], true), None);
        assert_eq!(number(&[0x40], true), None);
        assert_eq!(
            (unsigned(&[1, 0]), signed(&[0xff, 0x38]), signed(&[]), signed(&[200])),
            (256, -200, 0, -56)
        );
        assert_eq!(
            (float(&1.5_f32.to_be_bytes()), float(&2.5_f64.to_be_bytes()), float(&[])),
            (1.5, 2.5, 0.0)
        );
        assert_eq!(children(&[0xd7, 0x81, 5, 0x83, 0x90]), [(0xd7, [5].as_slice())]);
    }
}
