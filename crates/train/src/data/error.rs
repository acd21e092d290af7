//! The reasons why a data set cannot be used.

use std::path::{Path, PathBuf};
use unbraid_audio::AudioError;
use unbraid_base::counted;

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
    /// Two files of a track hold the same stem, one of them in a sum.
    #[error(
        "{} has {} and {}, so that none of their stems is known on its own; stems_map can leave one of them out",
        song.display(), files[0], files[1]
    )]
    Overlap {
        /// The track's folder or file.
        song: PathBuf,
        /// What the two files hold.
        files: [String; 2],
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
    /// Songs cannot be made.
    #[error("{recipe}: {source}")]
    Recipe {
        /// What asked for the songs.
        recipe: String,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
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
