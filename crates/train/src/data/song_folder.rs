//! A song that is a folder: a file per stem (`drums.wav`), or a folder per stem whose files are added (`drums/*.wav`). A
//! file or folder may hold the sum of several stems (`bass+other.wav`).

use crate::data::assignment::{Assignment, Meaning, meaning};
use crate::data::dataset::{DataError, Part};
use crate::data::folder::{audio_files, endings_rank, entries, is_foreign, similar};
use crate::data::listing::{Listing, MIXTURE, SongFiles};
use crate::data::source::Source;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Lists the folders of `folder` that hold a song, in the order of their names.
///
/// # Errors
/// If `folder` cannot be listed.
pub(crate) fn song_folders(folder: PathBuf, part: &Part<'_>) -> Result<Listing, DataError> {
    let entries = entries(&folder)?;
    let mut listing = Listing { folder, ..Listing::default() };
    for (name, path) in entries.into_iter().filter(|(_, path)| path.is_dir()) {
        if is_foreign(&name) {
            listing.passed_over.push(name);
            continue;
        }
        match named_files(&path) {
            Err(error) => listing.faults.push(error),
            Ok(files) if files.is_empty() => listing.passed_over.push(name),
            Ok(files) => add_song(&mut listing, name, &path, files, part),
        }
    }
    Ok(listing)
}

/// The audio of a song's folder by its name without an ending: of a file, or of a folder with files.
///
/// If several files have one name, the first in the order of [`endings_rank`] is used.
pub(crate) fn named_files(folder: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>, DataError> {
    let mut named = BTreeMap::new();
    for (name, path) in entries(folder)?.into_iter().filter(|(name, path)| path.is_dir() && !is_foreign(name))
    {
        let files: Vec<PathBuf> = audio_files(&path)?.into_iter().map(|file| path.join(file)).collect();
        if !files.is_empty() {
            named.insert(name, files);
        }
    }
    let mut files = audio_files(folder)?;
    files.sort_by_key(|file| std::cmp::Reverse(endings_rank(file)));
    for file in files {
        let bare = file.rsplit_once('.').map_or(file.as_str(), |(bare, _)| bare).to_owned();
        named.insert(bare, vec![folder.join(file)]);
    }
    Ok(named)
}

/// Assigns the files of a song to the model's stems.
fn add_song(
    listing: &mut Listing,
    name: String,
    folder: &Path,
    files: BTreeMap<String, Vec<PathBuf>>,
    part: &Part<'_>,
) {
    let names: Vec<String> = files.values().flatten().filter_map(|path| file_name(path)).collect();
    let mut assignment = Assignment::default();
    let mut mixture = None;
    for (bare, paths) in files {
        let sources = paths.into_iter().map(Source::file);
        match meaning(&bare, part) {
            Meaning::Stems(stems) => assignment.add(stems, sources),
            Meaning::Mixture => mixture = sources.into_iter().next(),
            Meaning::Ignored => {}
            Meaning::Unknown => *listing.unused.entry(bare).or_default() += 1,
        }
    }
    let missing = |stem: &String| {
        if !part.options.missing_is_silent {
            listing.faults.push(DataError::MissingStem {
                folder: folder.to_path_buf(),
                stem: stem.clone(),
                files: ["wav", "flac"].map(|ending| format!("{stem}.{ending}")).to_vec(),
                similar: similar(&names, stem, part.stems),
            });
        }
    };
    let (stems, grouping) = match assignment.finish(part.stems, missing) {
        Ok(found) => found,
        Err(files) => {
            listing.faults.push(DataError::Overlap { song: folder.to_path_buf(), files });
            return;
        }
    };
    for sum in assignment.unneeded {
        *listing.unneeded.entry(sum).or_default() += 1;
    }
    if mixture.is_none()
        && let Some(file) = similar(&names, MIXTURE, part.stems)
    {
        let file = folder.join(file);
        listing.notices.push(format!("{} is not used: a mixture is named {MIXTURE}.wav", file.display()));
    }
    listing.songs.push(SongFiles { name, stems, grouping, mixture });
}

fn file_name(path: &Path) -> Option<String> {
    path.file_name().map(|name| name.to_string_lossy().into_owned())
}
