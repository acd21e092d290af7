//! The songs of a data set by their files, before any file is opened.

use crate::data::error::DataError;
use crate::data::grouping::Grouping;
use crate::data::source::Source;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Name of the file of a song's own mixture, without its ending.
pub(crate) const MIXTURE: &str = "mixture";

/// A song by its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SongFiles {
    /// The song's name.
    pub(crate) name: String,
    /// The files of each stem, in the model's order. A stem is the sum of its files, and silent without a file. The files
    /// of a sum of stems are those of its first stem.
    pub(crate) stems: Vec<Vec<Source>>,
    /// The stems of which only the sum is known.
    pub(crate) grouping: Grouping,
    /// The song's own mixture.
    pub(crate) mixture: Option<Source>,
}

/// What a format found in a part of a data set.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The folder of the part.
    pub(crate) folder: PathBuf,
    /// The songs in the order of their names.
    pub(crate) songs: Vec<SongFiles>,
    /// Songs that lack a stem, and folders that cannot be listed.
    pub(crate) faults: Vec<DataError>,
    /// Facts that are no faults.
    pub(crate) notices: Vec<String>,
    /// Folders that hold no audio file.
    pub(crate) passed_over: Vec<String>,
    /// Names of audio files that belong to no stem, with the number of songs that have such a file.
    pub(crate) unused: BTreeMap<String, u64>,
    /// Names of sums whose stems a song has too, with the number of these songs.
    pub(crate) unneeded: BTreeMap<String, u64>,
}
