//! Is an Ogg file whole? Its last page must be marked as the last (RFC 3533, section 6).

use symphonia::core::io::MediaSource;

use crate::Problem;
use crate::container::read_up_to;

/// The largest page: a header of 27 bytes, 255 segment sizes, 255 segments of 255 bytes.
const MAX_PAGE: u64 = 27 + 255 + 255 * 255;

pub(crate) fn check_end(source: &mut dyn MediaSource, length: u64) -> Result<(), Problem> {
    let tail_start = length.saturating_sub(2 * MAX_PAGE);
    let mut tail = vec![0; (length - tail_start) as usize];
    let got = read_up_to(source, tail_start, &mut tail)?;
    tail.truncate(got);
    let cut = || Problem::Truncated("its last page is missing".into());
    let start = tail.windows(4).rposition(|four| four == b"OggS").ok_or_else(cut)?;
    let page = &tail[start..];
    let segments = usize::from(*page.get(26).ok_or_else(cut)?);
    let sizes = page.get(27..27 + segments).ok_or_else(cut)?;
    let size = 27 + segments + sizes.iter().map(|&size| usize::from(size)).sum::<usize>();
    const LAST_PAGE: u8 = 4;
    if page.len() < size || page[5] & LAST_PAGE == 0 { Err(cut()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::check_end;
    use crate::Problem;

    fn page(flags: u8) -> Vec<u8> {
        [b"OggS\0".as_slice(), &[flags], &[0; 20], &[2, 255, 3], &[7; 258]].concat()
    }

    #[test]
    fn the_last_page_must_be_marked_and_whole() {
        let check = |bytes: &[u8]| check_end(&mut Cursor::new(bytes.to_vec()), bytes.len() as u64);
        let whole = [page(2), page(0), page(4)].concat();
        assert!(check(&whole).is_ok());
        let length = page(0).len();
        for cut in [0, 10, length, 2 * length, 2 * length + 5, 2 * length + 28, whole.len() - 1] {
            let result = check(&whole[..cut]);
            assert!(matches!(result, Err(Problem::Truncated(_))), "cut to {cut}: {result:?}");
        }
    }
}
