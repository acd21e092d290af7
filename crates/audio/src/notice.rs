//! What a file lacks, and what was assumed about it.

use std::fmt;

use crate::error::Problem;

/// Maximum number of notices about one file.
const MAX_NOTICES: usize = 1000;

/// What a reader accepts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadOptions {
    /// The missing audio that is accepted, in seconds, summed over the file. Missing audio inside the song is replaced
    /// by silence. Each piece gives a [`Notice::Missing`]. 0 refuses any, and infinity accepts all.
    pub allowed_missing: f64,
    /// The audio track to read from an mp4 file, counted from 0 in the order of the file. `None` reads the first enabled
    /// one that can be decoded.
    pub track: Option<usize>,
}

impl ReadOptions {
    /// Refuses a file that is not complete. Training and evaluation need exactly the song.
    pub const COMPLETE: Self = Self { allowed_missing: 0.0, track: None };
    /// Accepts a file that lacks less than a second, such as a recording of a radio stream that ends inside a frame.
    pub const NEARLY_COMPLETE: Self = Self { allowed_missing: 1.0, track: None };
    /// Accepts whatever the file holds.
    pub const ANY_LENGTH: Self = Self { allowed_missing: f64::INFINITY, track: None };

    /// The same options for audio track `track` of an mp4 file.
    #[must_use]
    pub const fn of_track(self, track: Option<usize>) -> Self {
        Self { track, ..self }
    }
}

/// A fact about a file that was read although it is not as its format requires, or not as it was written.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// The header does not state the length of the audio. It was read to the end of the file.
    LengthNotStated,
    /// The end of the audio is not marked as such. More may have followed in the original.
    EndNotMarked,
    /// Audio is missing.
    Missing {
        /// Start of the gap in the song, in seconds.
        at: f64,
        /// Length of the gap in seconds.
        seconds: f64,
        /// What is wrong with the file there.
        detail: String,
    },
    /// The sample rate changes. The rest was converted to the rate of the beginning.
    RateChange {
        /// Time of the change in seconds.
        at: f64,
        /// The rate of the beginning in Hz.
        from: u32,
        /// The new rate in Hz.
        to: u32,
    },
    /// More than two channels were mixed down to stereo.
    MixedDown {
        /// The channels of the file, such as `5.1`.
        layout: String,
    },
    /// The file holds several audio tracks, such as languages. One was read.
    OneOfSeveralTracks {
        /// The number of audio tracks.
        tracks: usize,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LengthNotStated => {
                f.write_str("its header does not state its length; it was read to the end of the file")
            }
            Self::EndNotMarked => {
                f.write_str("its end is not marked; it was read to the end of the file and may be cut short")
            }
            Self::Missing { at, seconds, detail } => {
                write!(f, "{seconds:.3} s are missing at {at:.2} s ({detail})")
            }
            Self::RateChange { at, from, to } => {
                write!(
                    f,
                    "its sample rate changes from {from} to {to} Hz at {at:.2} s; the rest was resampled"
                )
            }
            Self::MixedDown { layout } => {
                write!(f, "its {layout} channels were mixed down to stereo (ITU-R BS.775)")
            }
            Self::OneOfSeveralTracks { tracks } => {
                write!(f, "it holds {tracks} audio tracks; only the first that is enabled was read")
            }
        }
    }
}

/// The notices of a decoder, and the missing audio that it may still accept.
#[derive(Debug)]
pub(crate) struct Notices {
    list: Vec<Notice>,
    allowed_missing: f64,
}

impl Notices {
    pub(crate) fn new(options: ReadOptions) -> Self {
        Self { list: Vec::new(), allowed_missing: options.allowed_missing }
    }

    /// All notices so far.
    pub(crate) fn list(&self) -> &[Notice] {
        &self.list
    }

    pub(crate) fn add(&mut self, notice: Notice) {
        self.list.push(notice);
    }

    /// Accepts a gap of `seconds` at time `at`, or returns the error `refused` if too much is missing.
    pub(crate) fn missing(
        &mut self,
        at: f64,
        seconds: f64,
        detail: impl Into<String>,
        refused: impl FnOnce() -> Problem,
    ) -> Result<(), Problem> {
        if seconds > self.allowed_missing {
            return Err(refused());
        }
        self.allowed_missing -= seconds;
        let detail = detail.into();
        let full = self.list.len() >= MAX_NOTICES;
        // A gap that continues the last one is part of it. So is one more in a file with very many.
        if let Some(Notice::Missing { at: start, seconds: length, detail: same }) = self.list.last_mut()
            && (full || (*same == detail && (*start + *length - at).abs() < 1e-6))
        {
            *length += seconds;
            return Ok(());
        }
        self.add(Notice::Missing { at, seconds, detail });
        Ok(())
    }

    /// Accepts an unmarked end, after which an unknown length of audio may be missing, unless nothing may be missing.
    pub(crate) fn end_not_marked(&mut self, refused: impl FnOnce() -> Problem) -> Result<(), Problem> {
        if self.allowed_missing <= 0.0 {
            return Err(refused());
        }
        if self.list.last() != Some(&Notice::EndNotMarked) {
            self.add(Notice::EndNotMarked);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Notices, ReadOptions};
    use crate::error::Problem;

    #[test]
    fn gaps_add_up_to_the_allowed_time() {
        let mut notices = Notices::new(ReadOptions::NEARLY_COMPLETE);
        let mut gap = |seconds| notices.missing(3.0, seconds, "a test", || Problem::NoAudio).is_ok();
        assert_eq!([gap(0.6), gap(0.6), gap(0.4)], [true, false, true]);
        assert_eq!(notices.list().len(), 2);
        assert!(Notices::new(ReadOptions::COMPLETE).missing(0.0, 0.01, "", || Problem::NoAudio).is_err());
        assert!(Notices::new(ReadOptions::ANY_LENGTH).missing(0.0, 1e4, "", || Problem::NoAudio).is_ok());
    }
}
