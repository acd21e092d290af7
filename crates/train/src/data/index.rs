//! The index of a data set: the length and the level of each file, second by second.
//!
//! It is built once, beside the data (`.unbraid-index`), or in the user's cache folder if that folder cannot be written.
//! An entry whose file has another size or time of modification is measured again. A damaged index is rebuilt.

use crate::data::dataset::{DataError, Dataset};
use crate::data::parallel::each;
use crate::data::source::Source;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use unbraid_base::file::{remove_unfinished, write_whole};

/// Name of the file in the folder of the data set. A hidden file is no part of a data set.
const NAME: &str = ".unbraid-index";

/// The first words of the file. The checksum of the rest follows on the same line.
const HEAD: &str = "unbraid index 1";

/// The level of digital silence, in tenths of a decibel.
const SILENCE: i16 = -2000;

/// The levels of a data set: of each second of each stem of each track, as the mean absolute sample. `None` for a track
/// that is not wanted or does not come from files.
pub(crate) type Levels = Vec<Option<Vec<Vec<f32>>>>;

/// What the index knows of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// Bytes.
    size: u64,
    /// Nanoseconds since 1970.
    modified: u64,
    /// Sample rate in Hz.
    rate: u32,
    /// Length in samples at `rate`.
    frames: u64,
    /// Mean absolute sample of each second, in tenths of a decibel of full scale.
    levels: Vec<i16>,
}

type Entries = BTreeMap<String, Entry>;

/// The levels of all stems of the `wanted` tracks of `dataset`, from its indices, which are built or brought up to date
/// where needed.
///
/// `progress` gets the numbers of measured files and of files to measure. If it returns `false`, the result is `None`,
/// and what was measured is lost. `notice` gets a sentence if an index cannot be stored.
///
/// # Errors
/// If a file cannot be read to its end.
pub(crate) fn levels(
    dataset: &dyn Dataset,
    wanted: &[usize],
    mut progress: impl FnMut(usize, usize) -> bool,
    mut notice: impl FnMut(&str),
) -> Result<Option<Levels>, DataError> {
    let mut roots: BTreeMap<PathBuf, Vec<usize>> = BTreeMap::new();
    for &track in wanted {
        if let Some(root) = dataset.root(track) {
            roots.entry(root.to_path_buf()).or_default().push(track);
        }
    }
    let mut levels: Levels = vec![None; dataset.tracks().len()];
    for (root, tracks) in roots {
        let all = |&track: &usize| (0..dataset.stems()).flat_map(move |stem| dataset.sources(track, stem));
        let sources: Vec<&Source> = tracks.iter().flat_map(all).collect();
        let Some(entries) = updated(&root, &sources, &mut progress, &mut notice)? else { return Ok(None) };
        for track in tracks {
            let stem = |stem| stem_levels(dataset.sources(track, stem), &entries, &root);
            levels[track] = Some((0..dataset.stems()).map(stem).collect());
        }
    }
    Ok(Some(levels))
}

/// The levels of the sum of some files: at least those of the loudest, because different signals do not cancel.
fn stem_levels(files: &[Source], entries: &Entries, root: &Path) -> Vec<f32> {
    let mut levels: Vec<f32> = Vec::new();
    for entry in files.iter().filter_map(|file| entries.get(&file.name(root))) {
        levels.resize(levels.len().max(entry.levels.len()), 0.0);
        for (level, tenths) in levels.iter_mut().zip(&entry.levels) {
            let own = if *tenths == SILENCE { 0.0 } else { 10_f32.powf(f32::from(*tenths) / 200.0) };
            *level = level.max(own);
        }
    }
    levels
}

/// The entries of `sources`, those of the stored index where they still hold. Stores them if they have changed.
fn updated(
    root: &Path,
    sources: &[&Source],
    progress: &mut impl FnMut(usize, usize) -> bool,
    notice: &mut impl FnMut(&str),
) -> Result<Option<Entries>, DataError> {
    let mut stamps: HashMap<&Path, Option<(u64, u64)>> = HashMap::new();
    for source in sources {
        stamps.entry(&source.path).or_insert_with(|| stamp(&source.path));
    }
    // A killed process may have left an index that it had not finished.
    for folder in places(root).iter().filter_map(|path| path.parent()) {
        remove_unfinished(folder).ok();
    }
    let stored = places(root).iter().find_map(|path| load(path)).unwrap_or_default();
    let (mut entries, mut stale) = (Entries::new(), Vec::new());
    for source in sources {
        let name = source.name(root);
        match stored.get(&name) {
            Some(entry) if stamps[source.path.as_path()] == Some((entry.size, entry.modified)) => {
                entries.insert(name, entry.clone());
            }
            _ => stale.push(*source),
        }
    }
    if stale.is_empty() && entries.len() == stored.len() {
        return Ok(Some(entries));
    }
    let total = stale.len();
    let measured = each(&stale, |source| measure(source), |done| progress(done, total));
    let Some(measured) = measured else { return Ok(None) };
    for (source, entry) in stale.iter().zip(measured) {
        entries.insert(source.name(root), entry?);
    }
    if !places(root).iter().any(|path| store(path, &entries)) {
        notice(&format!(
            "the index of {} cannot be stored; the next run measures the files again",
            root.display()
        ));
    }
    Ok(Some(entries))
}

/// Size and time of modification. `None` if the system does not tell.
fn stamp(path: &Path) -> Option<(u64, u64)> {
    let metadata = path.metadata().ok()?;
    let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((metadata.len(), u64::try_from(modified.as_nanos()).ok()?))
}

/// Reads a file from its start to its end.
fn measure(source: &Source) -> Result<Entry, DataError> {
    // Taken first: a file that changes while it is read gets a stale entry.
    let (size, modified) = stamp(&source.path).unwrap_or_default();
    let (mut reader, rate) = source.open_at_own_rate()?;
    let (mut frames, mut levels) = (0, Vec::new());
    loop {
        let block = reader.read(rate as usize)?;
        let count = block[0].len();
        if count > 0 {
            let sum: f64 = block.iter().flatten().map(|x| f64::from(x.abs())).sum();
            levels.push(tenths(sum / (2 * count) as f64));
            frames += count as u64;
        }
        if count < rate as usize {
            return Ok(Entry { size, modified, rate, frames, levels });
        }
    }
}

/// The level of a mean absolute sample.
fn tenths(mean: f64) -> i16 {
    // The conversion saturates.
    if mean > 0.0 { ((200.0 * mean.log10()).round() as i16).max(SILENCE + 1) } else { SILENCE }
}

/// Where the index of a data set may lie, the best place first.
fn places(root: &Path) -> Vec<PathBuf> {
    let absolute = std::path::absolute(root).unwrap_or_else(|_| root.to_path_buf());
    let bytes = absolute.as_os_str().as_encoded_bytes();
    let name = format!("index-{:08x}-{}", crc32fast::hash(bytes), bytes.len());
    [root.join(NAME)]
        .into_iter()
        .chain(cache_folder().map(|folder| folder.join("unbraid").join(name)))
        .collect()
}

/// The user's folder for files that can be made again.
fn cache_folder() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if cfg!(windows) {
        return variable("LOCALAPPDATA");
    }
    let home = variable("HOME");
    let usual = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
    variable("XDG_CACHE_HOME").or_else(|| home.map(|home| home.join(usual)))
}

/// The stored entries. `None` if the file is missing, damaged or of another version.
fn load(path: &Path) -> Option<Entries> {
    let text = std::fs::read_to_string(path).ok()?;
    let (head, rest) = text.split_once('\n')?;
    let expected = format!("{HEAD} {:08x}", crc32fast::hash(rest.as_bytes()));
    if head == expected { serde_json::from_str(rest).ok() } else { None }
}

/// Whether the entries could be stored.
fn store(path: &Path, entries: &Entries) -> bool {
    let Ok(rest) = serde_json::to_string(entries) else { return false };
    let text = format!("{HEAD} {:08x}\n{rest}", crc32fast::hash(rest.as_bytes()));
    let folder = path.parent().is_none_or(|folder| std::fs::create_dir_all(folder).is_ok());
    folder && write_whole(path, text.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::formats::open_dataset;
    use crate::data::testing::{data_set, stems, write};
    use std::sync::Arc;

    fn open(root: &Path) -> Arc<dyn Dataset> {
        open_dataset(root, "train", &stems(), 8000).unwrap()
    }

    /// The levels, and how many files were measured for them.
    fn measured(root: &Path) -> (Levels, usize) {
        let mut count = 0;
        let progress = |done, _| {
            count = done;
            true
        };
        let all = levels(&*open(root), &[0, 1, 2][..open(root).tracks().len()], progress, |_| {});
        (all.unwrap().unwrap(), count)
    }

    #[test]
    fn levels_are_those_of_each_second() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("train/a/drums.wav"), 8000, 20_000, |n| if n < 8000 { 0.4 } else { 0.0 });
        write(&dir.path().join("train/a/vocals.wav"), 8000, 20_000, |n| if n < 16_000 { 0.0 } else { -0.2 });
        let (levels, count) = measured(dir.path());
        assert_eq!(count, 2);
        let [drums, vocals] = &levels[0].as_ref().unwrap()[..] else { panic!("two stems") };
        // The right channel has half the level.
        let near = |level: f32, expected: f32| (level / expected - 1.0).abs() < 0.006;
        assert!(near(drums[0], 0.3) && drums[1..] == [0.0, 0.0], "{drums:?}");
        assert!(near(vocals[2], 0.15) && vocals[..2] == [0.0, 0.0], "{vocals:?}");
    }

    #[test]
    fn only_changed_files_are_measured_again() {
        let dir = tempfile::tempdir().unwrap();
        data_set(dir.path(), 3, 8000, 9000);
        let (before, count) = measured(dir.path());
        assert_eq!(count, 6);
        assert_eq!(measured(dir.path()), (before.clone(), 0));
        write(&dir.path().join("train/song-1/drums.wav"), 8000, 10_000, |_| 0.25);
        write(&dir.path().join("train/song-1/vocals.wav"), 8000, 10_000, |_| 0.25);
        let (after, count) = measured(dir.path());
        assert_eq!(count, 2);
        assert!(after[0] == before[0] && after[1] != before[1]);
        // A damaged index is rebuilt, and equals the first one.
        let index = dir.path().join(NAME);
        let text = std::fs::read_to_string(&index).unwrap();
        for damaged in [
            text.replacen("\"levels\":[-", "\"levels\":[-1", 1),
            text[..text.len() / 2].into(),
            String::new(),
        ] {
            assert_ne!(damaged, text);
            std::fs::write(&index, &damaged).unwrap();
            assert_eq!(measured(dir.path()), (after.clone(), 6));
            assert_eq!(std::fs::read_to_string(&index).unwrap(), text);
        }
    }

    #[test]
    fn measuring_can_be_stopped_and_a_damaged_song_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        data_set(dir.path(), 2, 8000, 9000);
        assert_eq!(levels(&*open(dir.path()), &[0, 1], |_, _| false, |_| {}).unwrap(), None);
        assert!(!dir.path().join(NAME).exists());
        let dataset = open(dir.path());
        std::fs::write(dir.path().join("train/song-0/drums.wav"), "not audio").unwrap();
        let error = levels(&*dataset, &[0, 1], |_, _| true, |_| {}).unwrap_err().to_string();
        assert!(error.contains("drums.wav"), "{error}");
    }
}
