//! What a check of a data set finds.

use serde::Serialize;

/// The kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultKind {
    /// A file is missing.
    Missing,
    /// A file cannot be decoded to its end.
    Unreadable,
    /// A sample is NaN, infinite or absurdly large.
    NotFinite,
    /// The sample rate differs from that of most files.
    Rate,
    /// The files of a song differ in length.
    Length,
    /// No sample is louder than −80 dB of full scale.
    Silent,
    /// The loudest samples form flat tops.
    Clipped,
    /// The stems do not sum to the mixture.
    Sum,
    /// A stem, or all of them, are shifted in time against the mixture.
    Misaligned,
    /// A stem, or all of them, have the opposite sign in the mixture.
    Inverted,
    /// Two files hold the same audio.
    Duplicate,
}

/// A fault of a data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// The song, with the name of its part: `train/SONG`.
    pub song: String,
    /// The file or the stem. `None` for a fault of the whole song.
    pub file: Option<String>,
    /// The fault in words, with its numbers.
    pub detail: String,
}

/// The facts about a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileCheck {
    /// Its name in the data set, with `#TRACK` for one of several tracks.
    pub name: String,
    /// Its sample rate in Hz.
    pub rate: u32,
    /// Its length in seconds.
    pub seconds: f64,
    /// Its root mean square relative to full scale, dB. `None` for digital silence.
    pub level: Option<f64>,
    /// Its largest sample, of full scale.
    pub peak: f32,
}

/// The facts about a song.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SongCheck {
    /// The name of its part and its own.
    pub name: String,
    /// The energy of the mixture relative to that of its difference from the sum of the stems, dB; at most 120. `None`
    /// without a mixture, or if a file cannot be read.
    pub sum: Option<f64>,
    /// The files that can be read.
    pub files: Vec<FileCheck>,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    /// Every song.
    pub songs: Vec<SongCheck>,
    /// The faults in the order of the songs. Empty for a clean data set.
    pub faults: Vec<Fault>,
    /// Facts that are no faults, one sentence each.
    pub notices: Vec<String>,
    /// The sample rate of most files in Hz. `None` if no file can be read.
    pub rate: Option<u32>,
    /// The length of all songs in seconds.
    pub seconds: f64,
}
