//! Scores the output of any separation system: folders of songs with a file per stem, against folders of references.

use crate::data::dataset::DataError;
use crate::data::folder::{audio_files, entries, is_foreign, similar};
use crate::run::events::Flow;
use crate::score::evaluation::{Evaluation, SongScores};
use crate::score::metrics::SongScore;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use unbraid_audio::{AudioError, AudioReader, ReadOptions};
use unbraid_base::{Stereo, counted};

/// The name of the file of a song's mixture, without its extension.
const MIXTURE: &str = "mixture";

/// Samples by which an estimate's length may differ from the reference's without a notice: encoders pad to their block.
const LENGTH_SLACK: usize = 4608;

/// The rate at which a file is opened to learn its own.
const ANY_RATE: u32 = 44_100;

/// Songs to score: `SONG/STEM.wav` in both folders, or another audio format.
#[derive(Debug, Clone)]
pub struct Folders<'a> {
    /// The folder of the references. A `mixture` of a song is not a stem. It serves for the baseline and the leak.
    pub references: &'a Path,
    /// The folder of the estimates.
    pub estimates: &'a Path,
    /// The stems to score. Empty: all stems of the references.
    pub stems: &'a [String],
    /// Maximum scored length of each song, in seconds.
    pub limit: Option<f64>,
}

/// The reason why folders cannot be scored.
#[derive(Debug, thiserror::Error)]
pub enum FoldersError {
    /// A folder cannot be listed.
    #[error(transparent)]
    Folder(#[from] DataError),
    /// There is no song to score.
    #[error("{} has no folder of a song with a file per stem{}", folder.display(), parts(inner))]
    NoSongs {
        /// The folder of the references.
        folder: PathBuf,
        /// Folders in it that hold songs.
        inner: Vec<PathBuf>,
    },
    /// Songs or stems are missing, or are there twice. The list holds all of them.
    #[error("the files cannot be scored; {}:\n  {}", counted(.0.len() as u64, "fault"), .0.join("\n  "))]
    Faults(Vec<String>),
    /// Files that cannot be read. The list holds the first one of each song.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Audio(Vec<AudioError>),
}

fn parts(inner: &[PathBuf]) -> String {
    let names: Vec<_> = inner.iter().map(|path| path.display().to_string()).collect();
    if names.is_empty() { String::new() } else { format!("; did you mean {}?", names.join(" or ")) }
}

/// A song's files.
struct Song {
    name: String,
    /// Stem, reference, estimate.
    stems: Vec<(String, PathBuf, PathBuf)>,
    mixture: Option<PathBuf>,
    /// References that are not scored and that the mixture is the sum of, if there is no file of it.
    others: Vec<PathBuf>,
}

/// The scores of all songs, and facts about them that are no faults, one sentence each.
#[derive(Debug)]
pub struct FolderScores {
    /// The scores.
    pub evaluation: Evaluation,
    /// Folders without a reference, and estimates of another length or rate.
    pub notices: Vec<String>,
}

/// Scores the estimates block by block, several songs at once. Memory does not grow with the length of the songs.
/// `None` if `on_song` stopped it. It is called at the beginning of each song with the number of songs that are done and
/// of all songs.
///
/// A song is scored at the sample rate of its first reference, and over the length of its shortest reference. Estimates
/// are padded with silence or cut to it. Files of another rate are resampled.
///
/// # Errors
/// If songs or stems are missing, or files cannot be read.
pub fn score_folders(
    folders: &Folders<'_>,
    on_song: &(dyn Fn(usize, usize) -> Flow + Sync),
) -> Result<Option<FolderScores>, FoldersError> {
    let (songs, mut notices) = find(folders)?;
    let done = AtomicUsize::new(0);
    let score = |song: &Song| match on_song(done.load(Ordering::Relaxed), songs.len()) {
        Flow::Stop => Ok(None),
        Flow::Continue => {
            let scores = score_song(song, folders.limit);
            done.fetch_add(1, Ordering::Relaxed);
            scores.map(Some)
        }
    };
    let results: Vec<_> = songs.par_iter().map(score).collect();
    let (mut scores, mut errors, mut stopped) = (Vec::with_capacity(songs.len()), Vec::new(), false);
    for result in results {
        match result {
            Ok(Some((song, more))) => {
                scores.push(song);
                notices.extend(more);
            }
            Ok(None) => stopped = true,
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(FoldersError::Audio(errors));
    }
    Ok((!stopped).then(|| FolderScores { evaluation: Evaluation::of(scores), notices }))
}

/// The songs of the references in the order of their names, with their estimates, and notices.
fn find(folders: &Folders<'_>) -> Result<(Vec<Song>, Vec<String>), FoldersError> {
    let references = songs_in(folders.references)?;
    let estimates = songs_in(folders.estimates)?;
    if references.is_empty() {
        let inner = entries(folders.references)?.into_iter().map(|(_, path)| path);
        let inner = inner.filter(|path| path.is_dir() && songs_in(path).is_ok_and(|songs| !songs.is_empty()));
        let (folder, inner) = (folders.references.to_path_buf(), inner.collect());
        return Err(FoldersError::NoSongs { folder, inner });
    }
    let (mut songs, mut faults) = (Vec::new(), Vec::new());
    let unclaimed: Vec<&String> = estimates
        .iter()
        .map(|(name, _)| name)
        .filter(|name| !references.iter().any(|(r, _)| r == *name))
        .collect();
    for (name, files) in &references {
        let Some((_, estimate)) = estimates.iter().find(|(estimate, _)| estimate == name) else {
            let near = nearest(name, &unclaimed).map(|near| format!("; did you mean {near}?"));
            let folder = folders.estimates.display();
            faults.push(format!("{folder} has no folder \"{name}\"{}", near.unwrap_or_default()));
            continue;
        };
        songs.extend(song(name, files, estimate, folders, &mut faults));
    }
    if !faults.is_empty() {
        return Err(FoldersError::Faults(faults));
    }
    let folder = folders.estimates.display();
    let notices = unclaimed.iter().map(|name| format!("{folder}/{name} has no reference and is passed over"));
    Ok((songs, notices.collect()))
}

/// The folders in `folder` that hold audio files, with the names of the files.
fn songs_in(folder: &Path) -> Result<Vec<(String, Vec<String>)>, DataError> {
    let mut songs = Vec::new();
    for (name, path) in entries(folder)?.into_iter().filter(|(name, path)| !is_foreign(name) && path.is_dir())
    {
        let files = audio_files(&path)?;
        if !files.is_empty() {
            songs.push((name, files));
        }
    }
    Ok(songs)
}

/// The name that differs from `name` in less than a third of its characters, upper and lower case aside.
fn nearest<'a>(name: &str, names: &[&'a String]) -> Option<&'a String> {
    let name = name.to_lowercase();
    let distance = |other: &&String| strsim::osa_distance(&name, &other.to_lowercase());
    let near = names.iter().copied().min_by_key(distance)?;
    (3 * distance(&near) < name.chars().count()).then_some(near)
}

/// The files of a song. `None` if there is a fault.
fn song(
    name: &str,
    references: &[String],
    estimates: &[String],
    folders: &Folders<'_>,
    faults: &mut Vec<String>,
) -> Option<Song> {
    let before = faults.len();
    let (reference_folder, estimate_folder) = (folders.references.join(name), folders.estimates.join(name));
    let mut all: Vec<String> = references.iter().map(|file| bare(file).to_owned()).collect();
    all.dedup();
    all.retain(|stem| stem != MIXTURE);
    let wanted = if folders.stems.is_empty() { &all } else { folders.stems };
    let mut the = |folder: &Path, files: &[String], stem: &str| match files_of(files, stem)[..] {
        [file] => Some(folder.join(file)),
        [] => {
            let near = similar(files, stem, wanted).map(|near| format!("; did you mean {near}?"));
            faults.push(format!("{} has no stem {stem}{}", folder.display(), near.unwrap_or_default()));
            None
        }
        [first, second, ..] => {
            faults.push(format!("{} has {first} and {second} for one stem", folder.display()));
            None
        }
    };
    let mut stems = Vec::with_capacity(wanted.len());
    for stem in wanted {
        let reference = the(&reference_folder, references, stem);
        let estimate = the(&estimate_folder, estimates, stem);
        stems
            .extend(reference.zip(estimate).map(|(reference, estimate)| (stem.clone(), reference, estimate)));
    }
    let mixture = files_of(references, MIXTURE).first().map(|file| reference_folder.join(file));
    let others = all.iter().filter(|stem| mixture.is_none() && !wanted.contains(stem));
    let others = others.filter_map(|stem| the(&reference_folder, references, stem)).collect();
    (faults.len() == before).then(|| Song { name: name.to_owned(), stems, mixture, others })
}

fn files_of<'a>(files: &'a [String], stem: &str) -> Vec<&'a String> {
    files.iter().filter(|file| bare(file) == stem).collect()
}

/// A file's name without its extension.
fn bare(file: &str) -> &str {
    file.rsplit_once('.').map_or(file, |(bare, _)| bare)
}

/// A file that is read beyond its end as silence.
struct Source {
    reader: AudioReader,
    path: PathBuf,
    read: usize,
}

impl Source {
    fn open(path: &Path, rate: u32) -> Result<Self, AudioError> {
        let reader = AudioReader::open(path, rate, ReadOptions::COMPLETE)?;
        Ok(Self { reader, path: path.to_path_buf(), read: 0 })
    }

    fn all<'a>(paths: impl IntoIterator<Item = &'a PathBuf>, rate: u32) -> Result<Vec<Self>, AudioError> {
        paths.into_iter().map(|path| Self::open(path, rate)).collect()
    }

    /// The next samples: `frames`, or fewer at the end of the file.
    fn read(&mut self, frames: usize) -> Result<Stereo, AudioError> {
        let mut audio = self.reader.read(frames)?;
        while audio[0].len() < frames {
            let more = self.reader.read(frames - audio[0].len())?;
            if more[0].is_empty() {
                break;
            }
            for (audio, more) in audio.iter_mut().zip(more) {
                audio.extend(more);
            }
        }
        self.read += audio[0].len();
        Ok(audio)
    }

    /// The next `frames` samples, with silence beyond the end of the file.
    fn read_padded(&mut self, frames: usize) -> Result<Stereo, AudioError> {
        let mut audio = self.read(frames)?;
        audio.iter_mut().for_each(|channel| channel.resize(frames, 0.0));
        Ok(audio)
    }

    /// How the length differs from the `frames` that were scored, if it does.
    fn difference(&mut self, frames: usize, rate: u32) -> Result<Option<String>, AudioError> {
        let seconds = |samples: usize| samples as f64 / f64::from(rate);
        let path = self.path.display();
        let missing = frames.saturating_sub(self.read);
        if missing > LENGTH_SLACK {
            let missing = seconds(missing);
            return Ok(Some(format!(
                "{path} ends {missing:.2} s before its reference: silence is scored there"
            )));
        }
        let surplus = self.read.saturating_sub(frames) + self.reader.read(LENGTH_SLACK + 1)?[0].len();
        Ok((surplus > LENGTH_SLACK).then(|| {
            let scored = seconds(frames);
            format!("{path} is longer than the shortest reference: only {scored:.2} s of it are scored")
        }))
    }
}

/// The scores of a song, and notices about its files.
fn score_song(song: &Song, limit: Option<f64>) -> Result<(SongScores, Vec<String>), AudioError> {
    let rate = Source::open(&song.stems[0].1, ANY_RATE)?.reader.source().sample_rate;
    let limit = limit.map_or(usize::MAX, |seconds| (seconds * f64::from(rate)) as usize);
    let mut references = Source::all(song.stems.iter().map(|(_, reference, _)| reference), rate)?;
    let mut estimates = Source::all(song.stems.iter().map(|(.., estimate)| estimate), rate)?;
    let mut mixtures = Source::all(song.mixture.iter().chain(&song.others), rate)?;
    let mut notices = Vec::new();
    for Source { reader, path, .. } in references.iter().chain(&estimates) {
        let own = reader.source().sample_rate;
        if own != rate {
            notices.push(format!("{} is resampled from {own} Hz to {rate} Hz", path.display()));
        }
    }
    let mut score = SongScore::new(song.stems.len(), rate);
    loop {
        let wanted = (rate as usize).min(limit - score.frames());
        let read = |source: &mut Source| source.read(wanted);
        let mut signals = references.iter_mut().map(read).collect::<Result<Vec<Stereo>, _>>()?;
        let frames = signals.iter().map(|signal| signal[0].len()).min().unwrap_or(0);
        signals.iter_mut().flatten().for_each(|channel| channel.truncate(frames));
        let padded = |source: &mut Source| source.read_padded(frames);
        let estimated = estimates.iter_mut().map(padded).collect::<Result<Vec<Stereo>, _>>()?;
        let mut mixture = mixtures.iter_mut().map(padded).collect::<Result<Vec<Stereo>, _>>()?;
        if song.mixture.is_none() {
            mixture.extend(signals.iter().cloned());
        }
        score.push(&signals, &estimated, &sum(&mixture, frames));
        if frames < rate as usize {
            break;
        }
    }
    let frames = score.frames();
    let whole = frames < limit;
    for source in references.iter_mut().chain(&mut estimates).filter(|_| whole) {
        notices.extend(source.difference(frames, rate)?);
    }
    let stems = song.stems.iter().map(|(stem, ..)| stem.clone());
    Ok((SongScores::of(song.name.clone(), frames as f64 / f64::from(rate), stems, &score), notices))
}

fn sum(signals: &[Stereo], frames: usize) -> Stereo {
    let mut sum: Stereo = [vec![0.0; frames], vec![0.0; frames]];
    for signal in signals {
        for (sum, channel) in sum.iter_mut().zip(signal) {
            sum.iter_mut().zip(channel).for_each(|(sum, sample)| *sum += sample);
        }
    }
    sum
}
