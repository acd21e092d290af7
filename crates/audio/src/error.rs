//! Errors of reading and writing audio files.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An audio file that cannot be read or written, and the reason.
#[derive(Debug)]
pub struct AudioError {
    /// The file. `None` for a source in memory.
    pub path: Option<PathBuf>,
    /// The reason.
    pub problem: Problem,
}

impl AudioError {
    pub(crate) fn new(path: Option<&Path>, problem: Problem) -> Self {
        Self { path: path.map(Path::to_path_buf), problem }
    }
}

impl fmt::Display for AudioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}: {}", path.display(), self.problem),
            None => self.problem.fmt(f),
        }
    }
}

impl std::error::Error for AudioError {}

/// The reason why an audio file cannot be read or written.
///
/// The messages state facts. Advice depends on the program, so front ends add it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The operating system refused to open the file.
    #[error("cannot open it: {0}")]
    Open(io::Error),
    /// The operating system refused to read the file.
    #[error("cannot read it: {0}")]
    Read(io::Error),
    /// The operating system refused to write the file.
    #[error("cannot write it: {0}")]
    Write(io::Error),
    /// A folder, a pipe or a device.
    #[error("not a regular file")]
    NotAFile,
    /// The file has no bytes.
    #[error("the file is empty (0 bytes)")]
    Empty,
    /// The file belongs to another format, which is not read.
    #[error("it is {0}, which cannot be read")]
    OtherFormat(&'static str),
    /// The file holds no audio, but something else.
    #[error("it is {0}, not an audio file")]
    NotAudio(&'static str),
    /// The file's first bytes belong to no known format.
    #[error(
        "not an audio file of a supported format (wav, w64, caf, aiff, au, flac, mp3, ogg, opus, m4a, mp4, aac, webm, mkv)"
    )]
    UnknownFormat,
    /// The format is known, but its codec or a feature of it is not supported.
    #[error("{0} cannot be read")]
    Unsupported(String),
    /// A complete and well-formed file without a single sample.
    #[error("the file holds no audio (0 samples)")]
    NoAudio,
    /// The file has fewer audio tracks.
    #[error("it has no audio track {track} (counted from 0); it holds {tracks}")]
    NoTrack {
        /// The track that was asked for, counted from 0.
        track: usize,
        /// The number of audio tracks in the file.
        tracks: usize,
    },
    /// The end is missing.
    #[error("the file is cut short ({0})")]
    Truncated(String),
    /// The content contradicts the format.
    #[error("the file is damaged at {seconds:.2} s ({detail})")]
    Malformed {
        /// Time of the damage from the beginning. It is 0 for a header.
        seconds: f64,
        /// The contradiction.
        detail: String,
    },
    /// More than eight channels, or channels whose positions are unknown.
    #[error("the file's {0} channels cannot be mixed down to stereo; 1 to 8 channels in usual positions can")]
    Channels(usize),
    /// A sample rate that is not accepted.
    #[error("a sample rate of {0} Hz is outside 1000 to 384000 Hz")]
    SampleRate(u32),
    /// A sample rate that a format cannot hold.
    #[cfg(not(target_family = "wasm"))]
    #[error("{format} cannot hold a sample rate of {rate} Hz")]
    FormatRate {
        /// The format's name.
        format: String,
        /// The rate in Hz.
        rate: u32,
    },
    /// A sample that is NaN, infinite or larger than 10⁶ times full scale.
    #[error("the sample at {seconds:.3} s is NaN, infinite or larger than 1e6 times full scale")]
    NonFinite {
        /// Time of the sample from the beginning.
        seconds: f64,
    },
    /// More audio than the format can hold.
    #[error("{0}")]
    TooLong(&'static str),
}

impl Problem {
    pub(crate) fn header(detail: impl Into<String>) -> Self {
        Self::Malformed { seconds: 0.0, detail: detail.into() }
    }

    /// An unexpected end of the file means that the file is incomplete. Any other failure is the system's.
    pub(crate) fn read(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Truncated("it ends inside its audio".into())
        } else {
            Self::Read(error)
        }
    }
}
