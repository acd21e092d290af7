//! The layout of MUSDB18-HQ: `train/TRACK/STEM.wav` and `test/TRACK/STEM.wav`, or `.flac`, with an optional
//! `mixture.wav` per track.

use crate::data::dataset::{DataError, Dataset, Format, Part, TrackBlock, TrackInfo, TrackReader};
use crate::data::folder::{audio_files, entries, is_foreign, similar};
use std::path::{Path, PathBuf};
use unbraid_audio::{AudioReader, ReadOptions, read_segment};
use unbraid_base::{Stereo, counted};

/// The format's row in the registry.
pub(crate) const FORMAT: Format = Format {
    layout: "MUSDB18-HQ, {train,test}/TRACK/STEM.wav (or .flac), and mixture.wav if the mixture is not the sum",
    recognises: |part| part.root.join(part.name).is_dir(),
    open: |part| MusdbHq::open(part).map(|dataset| Box::new(dataset) as Box<dyn Dataset>),
};

/// Name of the file of a track's own mixture, without its ending.
const MIXTURE: &str = "mixture";

/// Samples by which the files of a track may differ: encoders pad to their block.
const LENGTH_SLACK: u64 = 4608;

/// Endings of the files of stems.
const ENDINGS: [&str; 2] = ["wav", "flac"];

/// Faults that an error lists. The others are counted.
const MOST_FAULTS: usize = 20;

/// Notices and passed-over folders that are named. The others are counted.
const MOST_NAMED: usize = 20;

struct MusdbHq {
    tracks: Vec<TrackInfo>,
    /// The files of each track.
    files: Vec<TrackFiles>,
    notices: Vec<String>,
    stems: usize,
    rate: u32,
}

struct TrackFiles {
    /// One file per stem, in the model's order.
    stems: Vec<PathBuf>,
    mixture: Option<PathBuf>,
}

/// What the opening of a part has found so far.
#[derive(Default)]
struct Found {
    faults: Vec<DataError>,
    notices: Vec<String>,
}

impl MusdbHq {
    /// Lists the tracks in the order of their names and checks all of them. This reads the header of every file, and
    /// also decodes the first block of a flac file.
    fn open(part: &Part<'_>) -> Result<Self, DataError> {
        let folder = part.root.join(part.name);
        let (mut tracks, mut files, mut passed_over) = (Vec::new(), Vec::new(), Vec::new());
        let mut found = Found::default();
        for (name, path) in entries(&folder)?.into_iter().filter(|(_, path)| path.is_dir()) {
            if is_foreign(&name) {
                passed_over.push(name);
                continue;
            }
            match audio_files(&path) {
                Err(error) => found.faults.push(error),
                Ok(audio) if audio.is_empty() => passed_over.push(name),
                Ok(audio) => {
                    if let Some((info, paths)) = found.track(name, &path, &audio, part) {
                        tracks.push(info);
                        files.push(paths);
                    }
                }
            }
        }
        DataError::of_faults(&folder, found.faults, MOST_FAULTS)?;
        cut(&mut passed_over, |more| format!("and {more} more"));
        if tracks.is_empty() {
            return Err(DataError::NoTracks { folder, passed_over });
        }
        let (mut notices, part_folder) = (found.notices, folder.display());
        cut(&mut notices, |more| format!("{part_folder}: {} more", counted(more, "notice")));
        if !passed_over.is_empty() {
            let names = passed_over.join(", ");
            notices.push(format!("{part_folder}: passed over, because they hold no song: {names}"));
        }
        Ok(Self { tracks, files, notices, stems: part.stems.len(), rate: part.rate })
    }
}

impl Dataset for MusdbHq {
    fn tracks(&self) -> &[TrackInfo] {
        &self.tracks
    }

    fn stems(&self) -> usize {
        self.stems
    }

    fn notices(&self) -> &[String] {
        &self.notices
    }

    fn read(&self, track: usize, stem: usize, start: u64, samples: usize) -> Result<Stereo, DataError> {
        let mut audio = read_segment(&self.files[track].stems[stem], start, samples, self.rate)?;
        for channel in &mut audio {
            channel.resize(samples, 0.0);
        }
        Ok(audio)
    }

    fn open(&self, track: usize) -> Result<Box<dyn TrackReader>, DataError> {
        let open = |path: &PathBuf| AudioReader::open(path, self.rate, ReadOptions::COMPLETE);
        let files = &self.files[track];
        let stems = files.stems.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Box::new(Readers { stems, mixture: files.mixture.as_ref().map(open).transpose()? }))
    }
}

/// The open files of a track.
struct Readers {
    stems: Vec<AudioReader>,
    mixture: Option<AudioReader>,
}

impl TrackReader for Readers {
    fn read(&mut self, frames: usize) -> Result<TrackBlock, DataError> {
        let mut stems = Vec::with_capacity(self.stems.len());
        for reader in &mut self.stems {
            stems.push(read_padded(reader, frames)?);
        }
        let mixture = match &mut self.mixture {
            Some(reader) => read_padded(reader, frames)?,
            None => [0, 1].map(|c| (0..frames).map(|n| stems.iter().map(|stem| stem[c][n]).sum()).collect()),
        };
        Ok(TrackBlock { mixture, stems })
    }
}

fn read_padded(reader: &mut AudioReader, frames: usize) -> Result<Stereo, DataError> {
    let mut audio: Stereo = [Vec::with_capacity(frames), Vec::with_capacity(frames)];
    while audio[0].len() < frames {
        let part = reader.read(frames - audio[0].len())?;
        if part[0].is_empty() {
            break;
        }
        for (all, part) in audio.iter_mut().zip(part) {
            all.extend(part);
        }
    }
    for channel in &mut audio {
        channel.resize(frames, 0.0);
    }
    Ok(audio)
}

impl Found {
    /// The track in `folder`, whose audio files are named `audio`. `None` if it has a fault.
    fn track(
        &mut self,
        name: String,
        folder: &Path,
        audio: &[String],
        part: &Part<'_>,
    ) -> Option<(TrackInfo, TrackFiles)> {
        let before = self.faults.len();
        let mut stems = Vec::with_capacity(part.stems.len());
        let mut lengths = Vec::with_capacity(part.stems.len() + 1);
        for stem in part.stems {
            let Some(path) = find(folder, stem) else {
                self.faults.push(DataError::MissingStem {
                    folder: folder.to_path_buf(),
                    stem: stem.clone(),
                    files: ENDINGS.map(|ending| format!("{stem}.{ending}")).to_vec(),
                    similar: similar(audio, stem, part.stems),
                });
                continue;
            };
            lengths.extend(self.length(&path, part.rate).map(|length| (length, stem.clone())));
            stems.push(path);
        }
        let frames = lengths.iter().map(|(length, _)| *length).min().unwrap_or(0);
        let mixture = find(folder, MIXTURE);
        match &mixture {
            Some(path) => lengths.extend(self.length(path, part.rate).map(|length| (length, MIXTURE.into()))),
            None => self.notices.extend(similar(audio, MIXTURE, part.stems).map(|file| {
                let file = folder.join(file);
                format!("{} is not used: a mixture is named {MIXTURE}.wav or {MIXTURE}.flac", file.display())
            })),
        }
        if let (Some(first), Some(last)) = (lengths.iter().min(), lengths.iter().max())
            && last.0 - first.0 > LENGTH_SLACK
        {
            self.faults.push(DataError::Lengths {
                track: name.clone(),
                first: first.1.clone(),
                frames: first.0,
                other: last.1.clone(),
                other_frames: last.0,
            });
        }
        (self.faults.len() == before).then_some((TrackInfo { name, frames }, TrackFiles { stems, mixture }))
    }

    /// The length of a file at `rate`. `None` if the file has a fault.
    fn length(&mut self, path: &Path, rate: u32) -> Option<u64> {
        let reader = AudioReader::open(path, rate, ReadOptions::COMPLETE);
        let reader = reader.map_err(|error| self.faults.push(error.into())).ok()?;
        self.notices.extend(reader.notices().iter().map(|notice| format!("{}: {notice}", path.display())));
        let frames = reader.frames();
        if frames.is_none() {
            self.faults.push(DataError::UnknownLength(path.to_path_buf()));
        }
        frames
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

fn find(folder: &Path, stem: &str) -> Option<PathBuf> {
    ENDINGS.iter().map(|ending| folder.join(format!("{stem}.{ending}"))).find(|path| path.is_file())
}

#[cfg(test)]
mod tests;
