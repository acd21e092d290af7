//! The interface between data sets and the rest of the crate. It does not depend on the format on disk.

use crate::data::listing::Listing;
use crate::data::source::Source;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use unbraid_audio::AudioError;
use unbraid_base::{Stereo, counted};

/// A song of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackInfo {
    /// The song's name, unique in the data set.
    pub name: String,
    /// Length in samples at the model's rate. No stem is shorter.
    pub frames: u64,
}

/// Songs with their stems, at the model's sample rate and in the model's order of stems.
///
/// A track is named by its index in [`Dataset::tracks`], a stem by its index in the model's stems.
pub trait Dataset: Send + Sync {
    /// The tracks. Their order is the same on every machine, because the data of a run depend on it.
    fn tracks(&self) -> &[TrackInfo];

    /// Stems of every track.
    fn stems(&self) -> usize;

    /// Facts about the files that are no faults, one sentence each, such as the folders that hold no song.
    fn notices(&self) -> &[String] {
        &[]
    }

    /// The folder of the data set that a track belongs to. `None` if the track does not come from files.
    fn root(&self, _track: usize) -> Option<&Path> {
        None
    }

    /// The files of a stem, whose sum it is. None for a silent stem.
    fn sources(&self, _track: usize, _stem: usize) -> &[Source] {
        &[]
    }

    /// How often a second of the track is drawn for training, relative to a second of other tracks.
    fn weight(&self, _track: usize) -> f64 {
        1.0
    }

    /// `samples` of one stem from sample `start` on. Beyond the end of the stem there is silence.
    ///
    /// # Errors
    /// If a file cannot be read or decoded.
    fn read(&self, track: usize, stem: usize, start: u64, samples: usize) -> Result<Stereo, DataError>;

    /// Opens a track for reading from its start to its end.
    ///
    /// # Errors
    /// If a file cannot be opened.
    fn open(&self, track: usize) -> Result<Box<dyn TrackReader>, DataError>;
}

/// A track that is read block by block.
pub trait TrackReader {
    /// The next `frames` samples. Beyond the end of a file there is silence.
    ///
    /// # Errors
    /// If a file cannot be read or decoded.
    fn read(&mut self, frames: usize) -> Result<TrackBlock, DataError>;
}

/// The same samples of a track's mixture and of its stems.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackBlock {
    /// The track's own mixture if the data set has one, otherwise the sum of the stems.
    pub mixture: Stereo,
    /// One signal per stem.
    pub stems: Vec<Stereo>,
}

/// How the files of a data set become stems.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataOptions {
    /// The stem that a file belongs to, by the file's name without its ending, where the two differ. The files of a stem
    /// are added. An empty stem: the file is not used.
    pub stems_map: BTreeMap<String, String>,
    /// Whether a stem that a song lacks is silent. Otherwise it is a fault.
    pub missing_is_silent: bool,
}

/// One part of a data set to open: `train` or `test`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    /// The folder of the data set.
    pub(crate) root: &'a Path,
    /// Name of the part.
    pub(crate) name: &'a str,
    /// The model's stems.
    pub(crate) stems: &'a [String],
    /// The model's sample rate.
    pub(crate) rate: u32,
    /// How files become stems.
    pub(crate) options: &'a DataOptions,
}

/// A format that data sets can have on disk.
pub(crate) struct Format {
    /// The expected layout, in one line.
    pub(crate) layout: &'static str,
    /// Whether the folder of the data set looks like this format. Reads no file.
    pub(crate) recognises: fn(&Part<'_>) -> bool,
    /// Lists the songs of the part and their files. Opens no file.
    pub(crate) list: fn(&Part<'_>) -> Result<Listing, DataError>,
}

/// The reason why a data set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The folder of the data set does not exist.
    #[error("there is no folder {}{}", folder.display(), relative_to(working_directory.as_ref()))]
    NoFolder {
        /// The folder as it was given.
        folder: PathBuf,
        /// The folder that a relative path starts from. `None` for an absolute path.
        working_directory: Option<PathBuf>,
    },
    /// No format recognises the folder.
    #[error("no data set with a part \"{part}\" in {}; the known layouts are: {}", folder.display(), layouts.join("; "))]
    UnknownFormat {
        /// The folder of the data set.
        folder: PathBuf,
        /// The requested part.
        part: String,
        /// The expected layout of each format.
        layouts: Vec<&'static str>,
    },
    /// The data set has no track.
    #[error("no tracks in {}{}", folder.display(), no_audio(passed_over))]
    NoTracks {
        /// The folder of the part.
        folder: PathBuf,
        /// Its folders, which hold no audio file.
        passed_over: Vec<String>,
    },
    /// A track lacks a stem.
    #[error("{} has no stem {stem} ({}){}", folder.display(), files.join(" or "), suggestion(similar.as_ref()))]
    MissingStem {
        /// The track's folder.
        folder: PathBuf,
        /// The missing stem.
        stem: String,
        /// The names that its file may have.
        files: Vec<String>,
        /// A file of the track with a similar name.
        similar: Option<String>,
    },
    /// The lengths of a track's stems differ by more than an encoder's padding.
    #[error(
        "track \"{track}\": {first} has {} and {other} has {other_frames}; the files of a track must be equally long",
        counted(*frames, "sample")
    )]
    Lengths {
        /// The track's name.
        track: String,
        /// The shortest file.
        first: String,
        /// Its length in samples.
        frames: u64,
        /// The longest file.
        other: String,
        /// Its length in samples.
        other_frames: u64,
    },
    /// The file does not state its length, so no segment can be drawn from it.
    #[error("{}: the file does not state its length", .0.display())]
    UnknownLength(PathBuf),
    /// A file cannot be decoded.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// A song for validation that the data set does not have.
    #[error("validation_songs: the data set has no song \"{0}\"")]
    UnknownSong(String),
    /// No song is left for training.
    #[error("validation_songs: no song is left for training")]
    AllForValidation,
    /// Several faults.
    #[error("{} has {}:\n  {}{}", folder.display(), counted(faults.len() as u64 + more, "fault"), lines(faults),
        and_more(*more))]
    Faults {
        /// The folder of the part.
        folder: PathBuf,
        /// The first faults, at least two.
        faults: Vec<DataError>,
        /// Number of the other faults.
        more: u64,
    },
    /// A folder cannot be listed.
    #[error("cannot list {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

impl DataError {
    /// The first faults (at most `most`) of the part in `folder` and the number of the others, as one error. `Ok` if
    /// there is none.
    pub(crate) fn of_faults(folder: &Path, mut faults: Vec<Self>, most: usize) -> Result<(), Self> {
        let more = faults.len().saturating_sub(most) as u64;
        faults.truncate(most);
        match faults.len() {
            0 => Ok(()),
            1 if more == 0 => Err(faults.swap_remove(0)),
            _ => Err(Self::Faults { folder: folder.to_path_buf(), faults, more }),
        }
    }
}

fn relative_to(working_directory: Option<&PathBuf>) -> String {
    working_directory.map_or_else(String::new, |folder| format!(" in {}", folder.display()))
}

fn no_audio(passed_over: &[String]) -> String {
    if passed_over.is_empty() {
        return String::new();
    }
    format!("; its folders hold no audio file: {}", passed_over.join(", "))
}

fn suggestion(similar: Option<&String>) -> String {
    similar.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

fn lines(faults: &[DataError]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ")
}

fn and_more(more: u64) -> String {
    if more == 0 { String::new() } else { format!("\n  and {more} more") }
}
