//! The interface between data sets and the rest of the crate. It does not depend on the format on disk.

pub use crate::data::error::DataError;
pub use crate::data::grouping::Grouping;
use crate::data::listing::Listing;
use crate::data::source::Source;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use unbraid_base::Stereo;

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

    /// The stems of a track of which only the sum is known. [`Dataset::read`] gives the sum for the first of them, and
    /// silence for the others.
    fn grouping(&self, _track: usize) -> Grouping {
        Grouping::separate(self.stems())
    }

    /// Number of tracks, the last ones, that are for validation and not for training.
    fn held_out(&self) -> usize {
        0
    }

    /// The songs without end that segments are drawn from, in addition to the tracks.
    fn series(&self) -> Vec<Arc<dyn Series>> {
        Vec::new()
    }

    /// The folder of the data set that a track belongs to. `None` if the track does not come from files.
    fn root(&self, _track: usize) -> Option<&Path> {
        None
    }

    /// The files of a stem, whose sum it is. None for a silent stem, and for a stem that is part of another one's sum.
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

/// Songs without end. Every stem of them is known.
pub trait Series: Send + Sync {
    /// Its name, which determines its songs for a seed.
    fn name(&self) -> &str;

    /// Share of all excerpts of the data set that come from it.
    fn share(&self) -> f64;

    /// An excerpt of one song: the wanted stems. The result depends on the arguments only.
    ///
    /// # Errors
    /// If a song cannot be made.
    fn excerpt(&self, wanted: &Excerpt) -> Result<Vec<Stereo>, DataError>;
}

/// The excerpt that a segment needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Excerpt {
    /// The number of the segment. Later segments get later songs.
    pub segment: u64,
    /// A random number that selects the song and the place.
    pub random: u64,
    /// The stems.
    pub stems: Range<usize>,
    /// Samples of each stem.
    pub samples: usize,
    /// The least mean absolute sample of the loudest of the stems. A quieter place is taken if none is found soon.
    pub level: f32,
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
    /// One signal per stem. The sum of stems that are not known on their own is at the first of them, and the others are
    /// silent.
    pub stems: Vec<Stereo>,
}

/// How the files of a data set become stems.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataOptions {
    /// The stem that a file belongs to, by the file's name without its ending, where the two differ. The files of a stem
    /// are added. `A+B` is the sum of two stems. An empty stem: the file is not used.
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
