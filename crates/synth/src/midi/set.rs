//! Writes songs from MIDI files in the layout of MUSDB18-HQ.

use std::path::{Path, PathBuf};

use super::songs::{MidiError, MidiSongs, order};
use crate::dataset::{Options, SynthError, create_parts, each, write_stems};

/// What became of the songs of a data set.
#[derive(Debug, Default)]
pub struct MidiReport {
    /// Number of tracks in `train/`.
    pub train: usize,
    /// Number of tracks in `test/`.
    pub test: usize,
    /// Length of all tracks in seconds.
    pub seconds: f64,
    /// Number of tracks in which a stem is silent, in the order of [`STEMS`](crate::STEMS).
    pub without: [usize; 4],
    /// Files that are silent. They have no track.
    pub silent: Vec<PathBuf>,
    /// Why songs have no track. A file appears once.
    pub failed: Vec<MidiError>,
    /// Whether every song was tried. Otherwise the caller has stopped the work.
    pub complete: bool,
}

/// What became of one song.
enum Outcome {
    Written { test: bool, seconds: f64, silent: [bool; 4] },
    Silent(PathBuf),
    Failed(MidiError),
}

/// One track.
struct Track {
    index: u64,
    file: usize,
    test: bool,
    name: String,
}

/// Writes `tracks` songs into `OUT/train/TRACK` and `OUT/test/TRACK`, each with `mixture.wav` and one file for every
/// stem of [`STEMS`](crate::STEMS), with 16 bits per sample. The mixture is exactly the sum of the stems.
///
/// A fifth of the files, and of the songs, are for testing. No file is used for both. If there are more tracks than
/// files, files are used again with other SoundFonts, parts, effects and voices.
///
/// `progress` receives the number of finished songs and of all songs. If it returns `false`, no further song is begun; the
/// songs in work are finished, and the report is about the songs so far. A track's folder appears complete or not at all.
/// All cores are used. The result does not depend on their number.
///
/// # Errors
/// [`SynthError`] if `tracks` is 0, if `out` is a file or a folder that is not empty, or if writing fails. A song that
/// cannot be rendered does not stop the others. The report lists it.
pub fn write_midi_dataset(
    out: &Path,
    songs: &MidiSongs,
    tracks: usize,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<MidiReport, SynthError> {
    if tracks == 0 {
        return Err(SynthError::Options("at least one track is needed".into()));
    }
    let folders = create_parts(out)?;
    let planned = plan(songs, tracks);
    let write = |track: &Track| write(songs, track, &folders[usize::from(track.test)]);
    let outcomes = each(&planned, write, progress)?;
    let complete = outcomes.len() == planned.len();
    Ok(MidiReport { complete, ..MidiReport::of(outcomes) })
}

/// The tracks: training tracks first.
fn plan(songs: &MidiSongs, tracks: usize) -> Vec<Track> {
    let order = order(songs.options.seed, 0, songs.files.len());
    let (train_files, test_files) = order.split_at(Options::divide(order.len()).0);
    let (train, test) = if test_files.is_empty() { (tracks, 0) } else { Options::divide(tracks) };
    let numbered =
        (0..train).map(|k| (k, train_files, false)).chain((0..test).map(|k| (k, test_files, true)));
    let track = |(index, (k, files, test)): (usize, (usize, &[usize], bool))| {
        let file = files[k % files.len()];
        let name = format!("{:04}-{}", index + 1, plain_name(&songs.files[file]));
        Track { index: index as u64, file, test, name }
    };
    numbered.enumerate().map(track).collect()
}

/// A file's name in characters that every file system takes.
fn plain_name(path: &Path) -> String {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    name.chars().map(plain).take(48).collect()
}

fn write(songs: &MidiSongs, track: &Track, folder: &Path) -> Result<Outcome, SynthError> {
    let song = match songs.render(track.file, track.index) {
        Ok(Some(song)) => song,
        Ok(None) => return Ok(Outcome::Silent(songs.files[track.file].clone())),
        Err(error) => return Ok(Outcome::Failed(error)),
    };
    let seconds = song.stems[0][0].len() as f64 / f64::from(songs.options.rate);
    let silent = [0, 1, 2, 3].map(|stem| song.is_silent(stem));
    write_stems(folder, &track.name, songs.options.rate, || song.stems)?;
    Ok(Outcome::Written { test: track.test, seconds, silent })
}

impl MidiReport {
    fn of(outcomes: Vec<Outcome>) -> Self {
        let mut report = Self::default();
        for outcome in outcomes {
            match outcome {
                Outcome::Written { test, seconds, silent } => {
                    *if test { &mut report.test } else { &mut report.train } += 1;
                    report.seconds += seconds;
                    for (count, silent) in report.without.iter_mut().zip(silent) {
                        *count += usize::from(silent);
                    }
                }
                Outcome::Silent(file) => report.silent.push(file),
                Outcome::Failed(error) => report.failed.push(error),
            }
        }
        report.silent.sort();
        report.silent.dedup();
        // A file that is used again fails again with the same words.
        report.failed.sort_by_cached_key(ToString::to_string);
        report.failed.dedup_by_key(|error| error.to_string());
        report
    }
}
