//! Ogg (Vorbis): checks that the file is complete, and finds the extent of its song.

use symphonia::core::codecs::audio::well_known::CODEC_ID_VORBIS;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};
use symphonia::core::errors::Result as SymphoniaResult;
use symphonia::core::formats::{FormatReader, Track};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::default::formats::OggReader;

use crate::error::Problem;
use crate::source::read_up_to;
use crate::symphonia_decoder::SymphoniaFormat;
use crate::trim::{SeekInfo, Trim, to_i64};

/// Size in bytes of the largest page: a header of 27 bytes, 255 segment sizes, 255 segments of 255 bytes.
const MAX_PAGE: u64 = 27 + 255 + 255 * 255;

/// An ogg whose end is not missing.
pub(crate) struct Ogg(());

impl Ogg {
    /// Checks that the last page is complete and marked as the last (RFC 3533, section 6).
    pub(crate) fn check(source: &mut dyn MediaSource, length: u64) -> Result<Self, Problem> {
        check_end(source, length)?;
        Ok(Self(()))
    }
}

impl SymphoniaFormat for Ogg {
    fn container(&self) -> &'static str {
        "ogg"
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(OggReader::try_new(stream, Default::default())?))
    }

    fn name(&self, codec: AudioCodecId) -> Option<&'static str> {
        (codec == CODEC_ID_VORBIS).then_some("ogg (vorbis)")
    }

    /// No seeking: symphonia cannot number the frames of an ogg's last page without the page before.
    fn trim(&self, track: &Track, _: &AudioCodecParameters, _: u32) -> (Trim, Option<SeekInfo>) {
        // Vorbis' first packet only prepares the second. Symphonia's time stamps include its frames, but its decoder
        // does not output them.
        let origin = track.start_ts.get().saturating_add(i64::from(track.delay.unwrap_or(0)));
        let start = origin.max(0);
        (Trim { origin, start, end: track.num_frames.map(|end| to_i64(end).max(start)) }, None)
    }

    fn trimmed_by_decoder(&self) -> bool {
        true
    }
}

fn check_end(source: &mut dyn MediaSource, length: u64) -> Result<(), Problem> {
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
    use crate::error::Problem;

    fn page(flags: u8) -> Vec<u8> {
        [b"OggS\0".as_slice(), &[flags], &[0; 20], &[2, 255, 3], &[7; 258]].concat()
    }

    #[test]
    fn the_last_page_must_be_complete_and_marked_as_last() {
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
