//! The reasons why a SoundFont cannot be used, and the limits.

use std::io;

/// Bytes of a file. A larger one does not fit the 32-bit sample numbers of the library with its copy in memory.
pub(super) const MAX_BYTES: u64 = 1 << 30;

/// Regions of all instruments of a preset. A note looks at each of them.
pub(super) const MAX_REGIONS: usize = 100_000;

/// The reason why a SoundFont cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FontProblem {
    /// The file could not be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file is too large.
    #[error("it has more than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    /// The file is not a SoundFont.
    #[error("it is not a SoundFont")]
    NotSoundFont,
    /// A chunk is longer than the file, or than the chunk that contains it.
    #[error("it is truncated or damaged: a chunk is longer than its file")]
    Truncated,
    /// A table is missing or its size is wrong.
    #[error("its table {0:?} is missing or damaged")]
    Table(String),
    /// An index of a table goes back or beyond the end of the table that it refers to.
    #[error("an index in its table {0:?} is wrong")]
    Index(String),
    /// The samples are missing.
    #[error("it has no samples")]
    NoSamples,
    /// A preset is so large that a note would take seconds.
    #[error("a preset has more than {MAX_REGIONS} regions")]
    TooManyRegions,
    /// A compressed sample could not be decoded.
    #[error("its sample {index} cannot be decoded: {reason}")]
    Sample {
        /// The number of the sample, from 0.
        index: usize,
        /// The reason.
        reason: String,
    },
    /// The library refused the file.
    #[error("{0}")]
    Refused(String),
}
