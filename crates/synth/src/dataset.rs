//! Invented songs as a data set in the layout of MUSDB18-HQ.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use rayon::prelude::*;
use unbraid_audio::{AudioError, AudioWriter, Format, Stereo};

use crate::{RATES, STEMS, song};

/// How many songs, and which.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tracks under `train/` and under `test/`.
    pub train: usize,
    /// See `train`.
    pub test: usize,
    /// Length of each track.
    pub seconds: f64,
    /// The series the songs come from; its songs 0, 1, … become the training tracks, then the test tracks.
    pub seed: u64,
    /// Samples a second.
    pub rate: u32,
}

impl Options {
    /// Divides `tracks`: every fifth, rounded, and at least one is for testing, the others for training.
    /// One track alone is for training.
    pub fn divide(tracks: usize) -> (usize, usize) {
        let test = ((tracks + 2) / 5).max(1).min(tracks.saturating_sub(1));
        (tracks - test, test)
    }

    fn check(&self) -> Result<(), SynthError> {
        let wrong = |what: String| Err(SynthError::Options(what));
        if self.train + self.test == 0 {
            return wrong("ask for at least one track".into());
        }
        if !(self.seconds >= 1.0 && self.seconds <= 3600.0) {
            return wrong(format!("a track can last 1 to 3600 seconds, not {}", self.seconds));
        }
        if !RATES.contains(&self.rate) {
            let (low, high) = (RATES.start(), RATES.end());
            return wrong(format!("the sample rate can be {low} to {high} Hz, not {}", self.rate));
        }
        Ok(())
    }
}

/// Why a data set could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// The options ask for what there cannot be.
    #[error("{0}")]
    Options(String),
    /// The target holds something already.
    #[error("{} is not empty: name a new or an empty folder", .0.display())]
    NotEmpty(PathBuf),
    /// A folder could not be made, read or renamed.
    #[error("cannot write {}: {source}; check that the folder can be written to and the disk has space", .path.display())]
    Io {
        /// What was being written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A sound file could not be written.
    #[error("cannot write a track into {}: {source}", .path.display())]
    Audio {
        /// The track's folder.
        path: PathBuf,
        /// What the writer said.
        source: AudioError,
    },
}

/// Writes `OUT/train/TRACK` and `OUT/test/TRACK`, each with `mixture.wav` and a file for every stem of
/// [`STEMS`], 16 bits a sample; the mixture is exactly the sum of the stems. `progress` hears how many
/// tracks of how many are done, first 0 of all. A track's folder appears whole or not at all; tracks are made on all cores, and are the same
/// whatever their number.
///
/// # Errors
/// Options out of range, an `out` that is a file or holds something already, or a failure to write;
/// tracks finished before a failure stay.
pub fn write_dataset(
    out: &Path,
    options: &Options,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(), SynthError> {
    options.check()?;
    let failed = |path: &Path, source| SynthError::Io { path: path.to_owned(), source };
    if out.exists() && fs::read_dir(out).map_err(|e| failed(out, e))?.next().is_some() {
        return Err(SynthError::NotEmpty(out.to_owned()));
    }
    let mut tracks = Vec::new();
    for (part, count) in [("train", options.train), ("test", options.test)] {
        let folder = out.join(part);
        fs::create_dir_all(&folder).map_err(|e| failed(&folder, e))?;
        for number in 1..=count {
            tracks.push((tracks.len() as u64, folder.clone(), format!("invented-{number:04}")));
        }
    }
    let (total, mut done) = (tracks.len(), 0);
    let (tell, heard) = mpsc::channel();
    progress(0, total);
    thread::scope(|scope| {
        let worker = scope.spawn(move || {
            tracks.par_iter().try_for_each_with(tell, |tell, (index, folder, name)| {
                write_track(folder, name, *index, options)?;
                // Nobody listens only when the caller is unwinding from a panic.
                let _ = tell.send(());
                Ok(())
            })
        });
        for () in heard {
            done += 1;
            progress(done, total);
        }
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Makes one track under another name, then gives it its own.
fn write_track(folder: &Path, name: &str, index: u64, options: &Options) -> Result<(), SynthError> {
    let unfinished = Unfinished(folder.join(format!(".{name}.part")));
    let failed = |path: &Path, source| SynthError::Io { path: path.to_owned(), source };
    fs::create_dir(&unfinished.0).map_err(|e| failed(&unfinished.0, e))?;
    let song = song(options.seed, index, options.seconds, options.rate);
    let write = |name: &str, sound: &Stereo| -> Result<u64, AudioError> {
        let path = unfinished.0.join(name).with_extension(Format::Wav16.extension());
        let mut writer = AudioWriter::create(&path, Format::Wav16, options.rate)?;
        writer.write(sound)?;
        writer.finish()
    };
    let mixture = song.mixture();
    let files = STEMS.iter().copied().zip(&song.stems).chain([("mixture", &mixture)]);
    for (stem, sound) in files {
        let clipped =
            write(stem, sound).map_err(|source| SynthError::Audio { path: folder.join(name), source })?;
        assert!(clipped == 0, "song {index} of seed {} clips in {stem}", options.seed);
    }
    let path = folder.join(name);
    fs::rename(&unfinished.0, &path).map_err(|e| failed(&path, e))
}

/// A folder that goes away again unless it has been renamed.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.0.exists() {
            // The error that brought us here is the one to report.
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_that_fails_leaves_nothing_of_itself() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let taken = folder.path().join("a");
        fs::create_dir(&taken).expect("a folder");
        fs::write(taken.join("mine"), b"precious").expect("a file");
        let options = Options { train: 1, test: 0, seconds: 1.0, seed: 1, rate: 8000 };
        let error = write_track(folder.path(), "a", 0, &options).expect_err("the name is taken");
        assert!(matches!(error, SynthError::Io { .. }));
        let left: Vec<_> =
            fs::read_dir(folder.path()).expect("a folder").map(|e| e.expect("it").path()).collect();
        assert_eq!(left, std::slice::from_ref(&taken));
        assert_eq!(fs::read_dir(taken).expect("a folder").count(), 1);
    }
}
