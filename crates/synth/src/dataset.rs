//! Writes synthetic songs as a data set in the layout of MUSDB18-HQ.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use rayon::prelude::*;
use unbraid_audio::{AudioError, AudioWriter, Format};
use unbraid_base::Stereo;
use unbraid_base::file::sync_folder;

use crate::song::{RATES, STEMS, song, sum};

/// The number of songs to write, and their properties.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of tracks in `train/`.
    pub train: usize,
    /// Number of tracks in `test/`.
    pub test: usize,
    /// Length of each track in seconds, from 1 to 3600.
    pub seconds: f64,
    /// Selects the series of songs. Its first songs become the training tracks, the next ones the test tracks.
    pub seed: u64,
    /// Sample rate in Hz, within [`RATES`].
    pub rate: u32,
}

impl Options {
    /// Divides `tracks` into training and test tracks. A fifth of them, rounded, but at least one, are test tracks.
    /// A single track is a training track.
    pub fn divide(tracks: usize) -> (usize, usize) {
        let test = ((tracks + 2) / 5).max(1).min(tracks.saturating_sub(1));
        (tracks - test, test)
    }

    fn check(&self) -> Result<(), SynthError> {
        let wrong = |what: String| Err(SynthError::Options(what));
        if self.train + self.test == 0 {
            return wrong("at least one track is needed".into());
        }
        if !(self.seconds >= 1.0 && self.seconds <= 3600.0) {
            return wrong(format!("a track lasts 1 to 3600 seconds, not {}", self.seconds));
        }
        if !RATES.contains(&self.rate) {
            let (low, high) = (RATES.start(), RATES.end());
            return wrong(format!("the sample rate is {low} to {high} Hz, not {}", self.rate));
        }
        Ok(())
    }
}

/// The reason why a data set could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// An option is out of range.
    #[error("{0}")]
    Options(String),
    /// The target folder is not empty.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// A folder could not be created, read or renamed.
    #[error("cannot write {}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// An audio file could not be written.
    #[error("cannot write a track into {}: {source}", .path.display())]
    Audio {
        /// The track's folder.
        path: PathBuf,
        /// The writer's error.
        source: AudioError,
    },
}

/// Writes `OUT/train/TRACK` and `OUT/test/TRACK`, each with `mixture.wav` and one file for every stem of [`STEMS`],
/// with 16 bits per sample. The mixture is exactly the sum of the stems.
///
/// `progress` receives the number of finished tracks and of all tracks, first with 0 finished tracks. If it returns
/// `false`, no further track is begun; the tracks in work are finished. A track's folder appears complete or not at
/// all. All cores are used. The result does not depend on their number.
///
/// Returns whether all tracks were written.
///
/// # Errors
/// [`SynthError`] if an option is out of range, if `out` is a file or a folder that is not empty, or if writing fails.
/// Tracks that were finished before a failure stay.
pub fn write_dataset(
    out: &Path,
    options: &Options,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<bool, SynthError> {
    options.check()?;
    let mut tracks = Vec::new();
    for (folder, count) in create_parts(out)?.into_iter().zip([options.train, options.test]) {
        for number in 1..=count {
            tracks.push((tracks.len() as u64, folder.clone(), format!("invented-{number:04}")));
        }
    }
    let total = tracks.len();
    let write = |(index, folder, name): &(u64, PathBuf, String)| write_track(folder, name, *index, options);
    let written: Vec<()> = each(&tracks, write, progress)?;
    Ok(written.len() == total)
}

/// The results of `work` on the `items`, in parallel and in their order. `progress` gets the number of finished items and
/// of all. If it returns `false`, or after an error, no further item is begun.
pub(crate) fn each<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, SynthError> + Sync,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Vec<R>, SynthError> {
    let stop = AtomicBool::new(!progress(0, items.len()));
    let (sender, finished) = mpsc::channel();
    thread::scope(|scope| {
        let (stop, work) = (&stop, &work);
        let worker = scope.spawn(move || {
            let one = |sender: &mut mpsc::Sender<()>, item: &T| {
                if stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                let result = work(item).inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
                // Sending fails only while the caller unwinds from a panic.
                sender.send(()).ok();
                Ok(Some(result))
            };
            items.par_iter().map_with(sender, one).collect::<Result<Vec<Option<R>>, SynthError>>()
        });
        for (done, ()) in finished.into_iter().enumerate() {
            if !progress(done + 1, items.len()) {
                stop.store(true, Ordering::Relaxed);
            }
        }
        let results = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(results.into_iter().flatten().collect())
    })
}

/// Renders and writes one track.
fn write_track(folder: &Path, name: &str, index: u64, options: &Options) -> Result<(), SynthError> {
    let render = || song(options.seed, index, options.seconds, options.rate).stems;
    write_stems(folder, name, options.rate, render)
}

/// Writes the stems that `render` makes, and their mixture, to a temporary folder, then renames the folder.
pub(crate) fn write_stems(
    folder: &Path,
    name: &str,
    rate: u32,
    render: impl FnOnce() -> [Stereo; 4],
) -> Result<(), SynthError> {
    let unfinished = Unfinished(folder.join(format!(".{name}.part")));
    let failed = |path: &Path, source| SynthError::Io { path: path.to_owned(), source };
    fs::create_dir(&unfinished.0).map_err(|e| failed(&unfinished.0, e))?;
    let stems = render();
    let write = |name: &str, sound: &Stereo| -> Result<u64, AudioError> {
        let path = unfinished.0.join(name).with_extension(Format::Wav16.extension());
        let mut writer = AudioWriter::create(&path, Format::Wav16, rate)?;
        writer.write(sound)?;
        writer.finish()
    };
    let mixture = sum(&stems);
    let files = STEMS.iter().copied().zip(&stems).chain([("mixture", &mixture)]);
    for (stem, sound) in files {
        let clipped =
            write(stem, sound).map_err(|source| SynthError::Audio { path: folder.join(name), source })?;
        assert!(clipped == 0, "{} clips in {stem}", folder.join(name).display());
    }
    let path = folder.join(name);
    fs::rename(&unfinished.0, &path).map_err(|e| failed(&path, e))?;
    sync_folder(folder);
    Ok(())
}

/// Creates the folders of the training and the test tracks in a new or empty folder.
pub(crate) fn create_parts(out: &Path) -> Result<[PathBuf; 2], SynthError> {
    let failed = |path: &Path, source| SynthError::Io { path: path.to_owned(), source };
    if out.exists() && fs::read_dir(out).map_err(|e| failed(out, e))?.next().is_some() {
        return Err(SynthError::NotEmpty(out.to_owned()));
    }
    let parts = ["train", "test"].map(|part| out.join(part));
    for part in &parts {
        fs::create_dir_all(part).map_err(|e| failed(part, e))?;
    }
    Ok(parts)
}

/// A folder that is removed on drop unless it has been renamed.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.0.exists() {
            // The caller reports the first error. A failure here would hide it.
            fs::remove_dir_all(&self.0).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_track_leaves_no_files() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let taken = folder.path().join("a");
        fs::create_dir(&taken).expect("a folder");
        fs::write(taken.join("mine"), b"content").expect("a file");
        let options = Options { train: 1, test: 0, seconds: 1.0, seed: 1, rate: 8000 };
        let error = write_track(folder.path(), "a", 0, &options).expect_err("the name is taken");
        assert!(matches!(error, SynthError::Io { .. }));
        let left: Vec<_> =
            fs::read_dir(folder.path()).expect("a folder").map(|e| e.expect("it").path()).collect();
        assert_eq!(left, std::slice::from_ref(&taken));
        assert_eq!(fs::read_dir(taken).expect("a folder").count(), 1);
    }
}
