//! What can be wrong with an audio file, and what its owner can do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An audio file that cannot be read or written: which one, and why.
#[derive(Debug)]
pub struct AudioError {
    /// The file, where there is one (a source in memory has no name).
    pub path: Option<PathBuf>,
    /// What is wrong.
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

/// Why an audio file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The operating system refused to open it.
    #[error("cannot open it: {0}")]
    Open(io::Error),
    /// The operating system refused to read it.
    #[error("cannot read it: {0}")]
    Read(io::Error),
    /// The operating system refused to write it.
    #[error("cannot write it: {0}; check the folder's permissions and the disk's free space")]
    Write(io::Error),
    /// A folder, a pipe or a device.
    #[error("not a regular file; give the path of an audio file on disk")]
    NotAFile,
    /// No bytes.
    #[error("the file is empty (0 bytes); copy or download it again")]
    Empty,
    /// Not recognised by its first bytes.
    #[error(
        "not an audio file that can be read; expected wav, aiff, flac, mp3, ogg (Vorbis) or m4a (AAC-LC, ALAC)"
    )]
    UnknownFormat,
    /// Recognised, but a codec or feature is missing here.
    #[error("{0} cannot be read; convert it first, for example: ffmpeg -i INPUT OUTPUT.wav")]
    Unsupported(String),
    /// A whole and well-formed file without a single sample.
    #[error("the file holds no audio (0 samples)")]
    NoAudio,
    /// The end is missing.
    #[error("the file is cut short ({0}); copy or download it again")]
    Truncated(String),
    /// The content contradicts its format.
    #[error("the file is damaged at {seconds:.2} s ({detail}); export it again from its source")]
    Malformed {
        /// Time of the damage from the beginning; 0 in a header.
        seconds: f64,
        /// What does not fit.
        detail: String,
    },
    /// More than two channels.
    #[error(
        "{0} channels; mix it down to mono or stereo first, for example: ffmpeg -i INPUT -ac 2 OUTPUT.wav"
    )]
    Channels(usize),
    /// A sample rate outside what is worth resampling.
    #[error(
        "a sample rate of {0} Hz is outside 1000 to 384000 Hz; convert it first, for example: ffmpeg -i INPUT -ar 44100 OUTPUT.wav"
    )]
    SampleRate(u32),
    /// A sample that is NaN, infinite or larger than 1e6 times full scale.
    #[error(
        "the sample at {seconds:.3} s is NaN, infinite or absurdly large; export it again from its source"
    )]
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

    /// A read that met the end of the file is a file cut short; anything else is the system's failure.
    pub(crate) fn read(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Truncated("it ends inside its audio".into())
        } else {
            Self::Read(error)
        }
    }
}
