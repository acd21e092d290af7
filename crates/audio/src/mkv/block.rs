//! The frames of a block (RFC 9559, section 10).

use super::ebml::number;
use super::track::xiph_size;

/// The track of a block, and the sizes of its frames.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) track: u64,
    /// Bytes before the first frame.
    pub(super) head: u64,
    pub(super) frames: Vec<u64>,
}

impl Block {
    /// Parses a block of `size` bytes that begins with `bytes`. `None` if it is damaged.
    pub(super) fn parse(bytes: &[u8], size: u64) -> Option<Self> {
        let (track, rest) = number(bytes, true)?;
        let &[_, _, flags, ref rest @ ..] = rest else { return None };
        let mut rest = rest;
        let lacing = flags >> 1 & 3;
        let mut frames = Vec::new();
        if lacing != 0 {
            let (&count, sizes) = rest.split_first()?;
            rest = sizes;
            for index in 0..count {
                match lacing {
                    1 => {
                        let (size, after) = xiph_size(rest)?;
                        frames.push(size as u64);
                        rest = after;
                    }
                    3 => {
                        let (value, after) = number(rest, true)?;
                        let bits = 7 * (rest.len() - after.len());
                        frames.push(match (index, frames.last()) {
                            (0, _) | (_, None) => value,
                            // A difference with a bias.
                            (_, Some(last)) => (last + value).checked_sub((1 << (bits - 1)) - 1)?,
                        });
                        rest = after;
                    }
                    _ => frames.push(0),
                }
            }
        }
        let head = (bytes.len() - rest.len()) as u64;
        let left = size.checked_sub(head)?;
        if lacing == 2 {
            let each = left / (frames.len() as u64 + 1);
            frames.fill(each);
            frames.push(each);
        } else {
            frames.push(left.checked_sub(frames.iter().sum())?);
        }
        Some(Self { track, head, frames })
    }
}

#[cfg(test)]
mod tests {
    use super::Block;

    #[test]
    fn frames_of_every_lacing_are_found() {
        let sizes = |bytes: &[u8], size| {
            let block = Block::parse(bytes, size).expect("well formed");
            assert_eq!(block.track, 1);
            (block.head, block.frames)
        };
        assert_eq!(sizes(&[0x81, 0, 0, 0x80], 104), (4, vec![100]));
        assert_eq!(sizes(&[0x81, 0, 0, 0x02, 2, 255, 45, 7], 1008), (8, vec![300, 7, 693]), "Xiph");
        assert_eq!(sizes(&[0x81, 0, 0, 0x04, 3], 45), (5, vec![10; 4]), "fixed");
        // 800, then 500 as a difference of -300 in two bytes.
        assert_eq!(
            sizes(&[0x81, 0, 0, 0x06, 2, 0x43, 0x20, 0x5e, 0xd3], 2309),
            (9, vec![800, 500, 1000]),
            "EBML"
        );
        assert_eq!(Block::parse(&[0x81, 0, 0, 0x02, 1, 200], 100), None);
        assert_eq!(Block::parse(&[0x81, 0], 2), None);
    }
}
