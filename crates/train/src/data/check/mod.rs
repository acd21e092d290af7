//! The check of a data set: whether its files can be used, belong together, and sum to the mixtures.

mod align;
mod duplicates;
mod meter;
pub(crate) mod report;
mod song;

use crate::data::check::report::{CheckReport, Fault, FaultKind, SongCheck};
use crate::data::dataset::{DataError, DataOptions, Part};
use crate::data::formats::list;
use crate::data::listing::SongFiles;
use crate::data::parallel::each;
use std::collections::BTreeMap;
use std::path::Path;

/// Checks the data set in the folder `root` for a model with these `stems`: every file of every part, from start to end.
///
/// Songs are read in parallel. `progress` gets the number of songs that are done and the number of all. If it returns
/// `false`, the check ends with `None`. Memory does not grow with the length of a song, but for 4 bytes per second of
/// each file.
///
/// # Errors
/// If the folder does not exist, has no known format or cannot be listed. Faults of songs are part of the report.
pub fn check(
    root: &Path,
    stems: &[String],
    options: &DataOptions,
    mut progress: impl FnMut(usize, usize) -> bool,
) -> Result<Option<CheckReport>, DataError> {
    let mut songs: Vec<(String, SongFiles)> = Vec::new();
    let (mut faults, mut notices) = (Vec::new(), Vec::new());
    let parts: Vec<&str> = ["train", "test"].into_iter().filter(|name| root.join(name).is_dir()).collect();
    for &name in if parts.is_empty() { &["train"][..] } else { &parts } {
        let listing = list(&Part { root, name, stems, rate: 44_100, options })?;
        let prefix = if parts.is_empty() { String::new() } else { format!("{name}/") };
        songs.extend(listing.songs.into_iter().map(|song| (format!("{prefix}{}", song.name), song)));
        faults.extend(listing.faults.iter().map(missing));
        notices.extend(listing.notices);
        notices.extend(listing.passed_over.iter().map(|name| format!("{prefix}{name} holds no song")));
        notices.extend(
            listing
                .unused
                .iter()
                .map(|(name, songs)| format!("\"{name}\" is no stem, in {songs} of the songs")),
        );
        notices.extend(listing.unneeded.iter().map(|(name, songs)| {
            format!("\"{name}\" is not used in {songs} of the songs: each of its stems has a file")
        }));
    }
    let total = songs.len();
    let work = |(name, song): &(String, SongFiles)| song::check(song, name, root, stems);
    let Some(mut checked) = each(&songs, work, |done| progress(done, total)) else { return Ok(None) };
    for (name, count) in sums(&songs, stems) {
        notices.push(format!("{count} of {total} songs have {name} only as a sum"));
    }
    let without_mixture = songs.iter().filter(|(_, song)| song.mixture.is_none()).count();
    if without_mixture > 0 {
        notices.push(format!(
            "{without_mixture} of {total} songs have no mixture, so their sum cannot be checked"
        ));
    }
    let rate = song::most_common(checked.iter().flat_map(|song| &song.files).map(|file| file.rate));
    for song in &mut checked {
        faults.append(&mut song.faults);
        faults.extend(rates(song, rate, root));
    }
    faults.extend(duplicates::find(&checked, root));
    faults.sort_by(|a, b| (&a.song, a.kind).cmp(&(&b.song, b.kind)));
    let songs: Vec<SongCheck> = checked
        .iter()
        .map(|song| {
            let files = song.files.iter().map(|file| song::facts(file, root)).collect();
            SongCheck { name: song.name.clone(), sum: song.sum, files }
        })
        .collect();
    let longest = |song: &SongCheck| song.files.iter().map(|file| file.seconds).fold(0.0, f64::max);
    let seconds = songs.iter().map(longest).sum();
    Ok(Some(CheckReport { songs, faults, notices, rate, seconds }))
}

/// The names of the sums that songs have instead of stems, with the number of these songs.
fn sums(songs: &[(String, SongFiles)], stems: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for grouping in songs.iter().map(|(_, song)| &song.grouping) {
        for first in grouping.sources().filter(|&first| grouping.members(first).count() > 1) {
            *counts.entry(grouping.name(first, stems)).or_default() += 1;
        }
    }
    counts
}

/// The fault of a song that lacks a stem or has it twice, or of a folder that cannot be listed.
fn missing(error: &DataError) -> Fault {
    let name =
        |folder: &Path| folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
    match error {
        DataError::MissingStem { folder, stem, .. } => Fault {
            kind: FaultKind::Missing,
            song: name(folder),
            file: Some(stem.clone()),
            detail: error.to_string(),
        },
        DataError::Overlap { song, files } => Fault {
            kind: FaultKind::Missing,
            song: name(song),
            file: Some(files.join(" and ")),
            detail: error.to_string(),
        },
        other => {
            Fault { kind: FaultKind::Unreadable, song: String::new(), file: None, detail: other.to_string() }
        }
    }
}

/// The files of a song whose rate is not that of most files. One fault if they have one rate.
fn rates(song: &song::Checked, rate: Option<u32>, root: &Path) -> Option<Fault> {
    let most = rate?;
    let other: Vec<_> = song.files.iter().filter(|file| file.rate != most).collect();
    let first = other.first()?;
    let file = (other.len() < song.files.len()).then(|| first.source.name(root));
    let count = other.len();
    let detail = format!("{count} of its files have {} Hz; most of the data set has {most} Hz", first.rate);
    Some(Fault { kind: FaultKind::Rate, song: song.name.clone(), file, detail })
}

#[cfg(test)]
mod tests;
