//! A data set whose songs are files. Every format on disk lists its files and becomes this data set.

use crate::data::dataset::{DataError, Dataset, Grouping, Part, TrackBlock, TrackInfo, TrackReader};
use crate::data::listing::{Listing, MIXTURE, SongFiles};
use crate::data::source::{Source, add, read_padded};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use unbraid_audio::AudioReader;
use unbraid_base::{Stereo, counted};

/// Samples by which the files of a track may differ: encoders pad to their block.
pub(crate) const LENGTH_SLACK: u64 = 4608;

/// Faults that an error lists. The others are counted.
const MOST_FAULTS: usize = 20;

/// Notices and passed-over folders that are named. The others are counted.
const MOST_NAMED: usize = 20;

pub(crate) struct Songs {
    /// The folder of the data set.
    root: PathBuf,
    tracks: Vec<TrackInfo>,
    /// The files of each track.
    files: Vec<SongFiles>,
    notices: Vec<String>,
    stems: usize,
    rate: u32,
}

/// What the headers of a song's files say.
#[derive(Default)]
struct Headers {
    frames: u64,
    faults: Vec<DataError>,
    notices: Vec<String>,
}

impl Songs {
    /// Opens every file of the songs, in parallel. This reads the header of every file, and also decodes the first
    /// block of a compressed one.
    ///
    /// # Errors
    /// If there is no song, or some songs lack a stem or have a file that cannot be used. The error holds the faults of
    /// all songs.
    pub(crate) fn open(listing: Listing, part: &Part<'_>) -> Result<Self, DataError> {
        let Listing { folder, songs, mut faults, mut notices, mut passed_over, unused, unneeded } = listing;
        let headers: Vec<Headers> = songs.par_iter().map(|song| headers(song, part)).collect();
        let mut tracks = Vec::with_capacity(songs.len());
        for (song, headers) in songs.iter().zip(headers) {
            tracks.push(TrackInfo { name: song.name.clone(), frames: headers.frames });
            faults.extend(headers.faults);
            notices.extend(headers.notices);
        }
        DataError::of_faults(&folder, faults, MOST_FAULTS)?;
        cut(&mut passed_over, |more| format!("and {more} more"));
        if tracks.is_empty() {
            return Err(DataError::NoTracks { folder, passed_over });
        }
        let part_folder = folder.display();
        notices.extend(unused.into_iter().map(|(name, count)| {
            let songs = counted(count, "song");
            format!("{part_folder}: \"{name}\" of {songs} is not used: it is no stem, and stems_map does not name it")
        }));
        notices.extend(unneeded.into_iter().map(|(name, count)| {
            let songs = counted(count, "song");
            format!("{part_folder}: \"{name}\" of {songs} is not used: each of its stems has a file")
        }));
        let joined = songs.iter().filter(|song| !song.grouping.is_separate()).count() as u64;
        if joined > 0 {
            let songs = counted(joined, "song");
            notices.push(format!("{part_folder}: of {songs}, some stems are known only as a sum"));
        }
        cut(&mut notices, |more| format!("{part_folder}: {} more", counted(more, "notice")));
        if !passed_over.is_empty() {
            let names = passed_over.join(", ");
            notices.push(format!("{part_folder}: passed over, because they hold no song: {names}"));
        }
        let root = part.root.to_path_buf();
        Ok(Self { root, tracks, files: songs, notices, stems: part.stems.len(), rate: part.rate })
    }
}

fn headers(song: &SongFiles, part: &Part<'_>) -> Headers {
    let mut headers = Headers::default();
    let mut lengths = Vec::new();
    for (stem, files) in song.stems.iter().enumerate() {
        // The files of a stem are added, so the longest one determines its length.
        let length = files.iter().filter_map(|file| headers.length(file, part.rate)).max();
        lengths.extend(length.map(|length| (length, song.grouping.name(stem, part.stems))));
    }
    headers.frames = lengths.iter().map(|(length, _)| *length).min().unwrap_or(0);
    if let Some(mixture) = &song.mixture {
        let length = headers.length(mixture, part.rate);
        lengths.extend(length.map(|length| (length, MIXTURE.to_owned())));
    }
    if let (Some(first), Some(last)) = (lengths.iter().min(), lengths.iter().max())
        && last.0 - first.0 > LENGTH_SLACK
    {
        headers.faults.push(DataError::Lengths {
            track: song.name.clone(),
            first: first.1.clone(),
            frames: first.0,
            other: last.1.clone(),
            other_frames: last.0,
        });
    }
    headers
}

impl Headers {
    /// The length of a file at `rate`. `None` if the file has a fault.
    fn length(&mut self, source: &Source, rate: u32) -> Option<u64> {
        let reader = source.open(rate).map_err(|error| self.faults.push(error.into())).ok()?;
        self.notices.extend(reader.notices().iter().map(|notice| format!("{source}: {notice}")));
        let frames = reader.frames();
        if frames.is_none() {
            self.faults.push(DataError::UnknownLength(source.path.clone()));
        }
        frames
    }
}

impl Dataset for Songs {
    fn tracks(&self) -> &[TrackInfo] {
        &self.tracks
    }

    fn stems(&self) -> usize {
        self.stems
    }

    fn notices(&self) -> &[String] {
        &self.notices
    }

    fn grouping(&self, track: usize) -> Grouping {
        self.files[track].grouping.clone()
    }

    fn root(&self, _track: usize) -> Option<&Path> {
        Some(&self.root)
    }

    fn sources(&self, track: usize, stem: usize) -> &[Source] {
        &self.files[track].stems[stem]
    }

    fn read(&self, track: usize, stem: usize, start: u64, samples: usize) -> Result<Stereo, DataError> {
        let mut files = self.files[track].stems[stem].iter();
        let Some(first) = files.next() else { return Ok([vec![0.0; samples], vec![0.0; samples]]) };
        let mut sum = first.read(start, samples, self.rate)?;
        for file in files {
            add(&mut sum, &file.read(start, samples, self.rate)?);
        }
        Ok(sum)
    }

    fn open(&self, track: usize) -> Result<Box<dyn TrackReader>, DataError> {
        let open = |source: &Source| source.open(self.rate);
        let files = &self.files[track];
        let mut stems = Vec::with_capacity(self.stems);
        for stem in &files.stems {
            stems.push(stem.iter().map(open).collect::<Result<_, _>>()?);
        }
        Ok(Box::new(Readers { stems, mixture: files.mixture.as_ref().map(open).transpose()? }))
    }
}

/// The open files of a track.
struct Readers {
    stems: Vec<Vec<AudioReader>>,
    mixture: Option<AudioReader>,
}

impl TrackReader for Readers {
    fn read(&mut self, frames: usize) -> Result<TrackBlock, DataError> {
        let silence = || [vec![0.0; frames], vec![0.0; frames]];
        let mut stems = Vec::with_capacity(self.stems.len());
        for files in &mut self.stems {
            let mut stem = silence();
            for file in files {
                add(&mut stem, &read_padded(file, frames)?);
            }
            stems.push(stem);
        }
        let mixture = match &mut self.mixture {
            Some(reader) => read_padded(reader, frames)?,
            None => stems.iter().fold(silence(), |mut sum, stem| {
                add(&mut sum, stem);
                sum
            }),
        };
        Ok(TrackBlock { mixture, stems })
    }
}

/// Replaces the end of a long list by a count.
fn cut(list: &mut Vec<String>, rest: impl Fn(u64) -> String) {
    let more = list.len().saturating_sub(MOST_NAMED) as u64;
    if more > 0 {
        list.truncate(MOST_NAMED);
        list.push(rest(more));
    }
}

#[cfg(test)]
mod tests;
