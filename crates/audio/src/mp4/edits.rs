//! The part of a track that is presented, and its order (edit lists, ISO/IEC 14496-12, 8.6.6).

use super::boxes::Fields;
use crate::error::Problem;
use crate::pieces::Piece;

/// Maximum length of the song, as a multiple of the audio that the file holds. An edit list may repeat parts.
const MAX_REPEATS: u64 = 8;

/// One entry of an edit list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    /// In units of the movie's timescale. 0 means "to the end".
    pub(super) length: u64,
    /// In units of the track's timescale. `None` for a pause.
    pub(super) start: Option<u64>,
}

/// Parses the contents of an `elst` box.
pub(super) fn parse(elst: &[u8]) -> Result<Vec<Edit>, Problem> {
    let mut fields = Fields::new(elst, "elst");
    let wide = fields.u8()? == 1;
    fields.take(3)?;
    let count = fields.count(if wide { 20 } else { 12 })?;
    let mut edits = Vec::new();
    for _ in 0..count {
        let (length, start) = if wide {
            (fields.u64()?, fields.u64()? as i64)
        } else {
            (u64::from(fields.u32()?), i64::from(fields.u32()? as i32))
        };
        let rate = fields.u32()?;
        let start = u64::try_from(start).ok();
        if start.is_some() && rate != 0x1_0000 {
            return Err(Problem::Unsupported("an mp4 whose edit list changes the speed".into()));
        }
        edits.push(Edit { length, start });
    }
    Ok(edits)
}

/// The times of a track.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Frames per second.
    pub(super) rate: u64,
    /// Units per second of the track and of the movie.
    pub(super) track: u64,
    pub(super) movie: u64,
    /// Length of the track in frames.
    pub(super) coded: u64,
}

impl Clock {
    fn frames(&self, time: u64, scale: u64) -> u64 {
        let scale = u128::from(scale.max(1));
        let frames = (u128::from(time) * u128::from(self.rate) * 2 + scale) / (scale * 2);
        u64::try_from(frames).unwrap_or(u64::MAX)
    }
}

/// The parts of the song. A pause at the beginning or at the end delays the track against others. It is not part of the
/// song.
pub(super) fn pieces(edits: &[Edit], clock: Clock) -> Result<Vec<Piece>, Problem> {
    let is_media = |edit: &Edit| edit.start.is_some();
    let Some(first) = edits.iter().position(is_media) else {
        return Ok(vec![Piece { start: Some(0), frames: clock.coded }]);
    };
    let last = edits.iter().rposition(is_media).unwrap_or(first);
    // An edit's length is rounded to the movie's time unit, often a millisecond.
    let unit = clock.frames(1, clock.movie).max(1);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut time = 0_u64;
    for (index, edit) in edits.iter().enumerate().take(last + 1).skip(first) {
        let begin = clock.frames(time, clock.movie);
        time = time.saturating_add(edit.length);
        let stated = clock.frames(time, clock.movie).saturating_sub(begin);
        let Some(start) = edit.start else {
            pieces.push(Piece { start: None, frames: stated });
            continue;
        };
        let mut start = clock.frames(start, clock.track).min(clock.coded);
        let until_end = clock.coded - start;
        let mut frames = if edit.length == 0 || clock.movie == 0 { until_end } else { stated };
        // If the packets end within one unit of the stated end, their end is the exact end.
        if index == last && frames.saturating_add(unit) >= until_end {
            frames = until_end;
        }
        match pieces.last_mut() {
            Some(Piece { start: Some(previous), frames: length })
                if (*previous + *length).abs_diff(start) <= unit =>
            {
                // The edits follow each other in the track too. Rounding must not remove or repeat frames.
                let end = start + frames;
                start = *previous;
                *length = end.saturating_sub(start);
            }
            _ => pieces.push(Piece { start: Some(start), frames }),
        }
    }
    let total = pieces.iter().fold(0, |sum: u64, piece| sum.saturating_add(piece.frames));
    if total > clock.coded.saturating_mul(MAX_REPEATS) {
        return Err(Problem::header("its edit list is far longer than its audio"));
    }
    Ok(pieces)
}
