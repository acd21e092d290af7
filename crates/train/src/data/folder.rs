//! The entries of a data set's folders: what is a song, what belongs to the system, and names that are nearly right.

use crate::data::dataset::DataError;
use std::path::{Path, PathBuf};

/// Folders that systems, network storages and archives leave next to the user's. Names that begin with a full stop
/// (`.Trash-1000`, `.AppleDouble`) are hidden and count too.
const FOREIGN: &[&str] = &[
    "__macosx",
    "$recycle.bin",
    "recycler",
    "system volume information",
    "lost+found",
    "#recycle",
    "#snapshot",
    "@eadir",
    "@recycle",
    "@recently-snapshot",
    "@tmp",
];

/// File name extensions of audio, of which a data set can hold some that it cannot use. If a stem has several files, the
/// first extension in this order is used.
const AUDIO: &[&str] = &[
    "wav", "flac", "mp3", "ogg", "oga", "opus", "m4a", "mp4", "aac", "aif", "aiff", "aifc", "caf", "w64",
    "wma",
];

/// Whether the entry belongs to a system and not to the user. Covers `._song.wav`, `.DS_Store` and `Thumbs.db`.
pub(crate) fn is_foreign(name: &str) -> bool {
    let lower = name.to_lowercase();
    name.starts_with('.') || lower == "thumbs.db" || FOREIGN.contains(&lower.as_str())
}

/// The entries of a folder with their names, in the order of the names: machines list them in different orders.
///
/// # Errors
/// If the folder cannot be listed.
pub(crate) fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let failed = |source| DataError::Folder { path: folder.to_path_buf(), source };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        entries.push((name, path));
    }
    entries.sort();
    Ok(entries)
}

/// The names of the audio files in a folder.
///
/// # Errors
/// If the folder cannot be listed.
pub(crate) fn audio_files(folder: &Path) -> Result<Vec<String>, DataError> {
    let is_audio = |name: &str| {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_lowercase());
        !is_foreign(name) && extension.is_some_and(|extension| AUDIO.contains(&extension.as_str()))
    };
    let entries = entries(folder)?.into_iter();
    Ok(entries.filter(|(name, path)| is_audio(name) && path.is_file()).map(|(name, _)| name).collect())
}

/// The place of a file's extension in the order of preference.
pub(crate) fn endings_rank(file: &str) -> usize {
    let extension = file.rsplit_once('.').map_or_else(String::new, |(_, extension)| extension.to_lowercase());
    AUDIO.iter().position(|known| *known == extension).unwrap_or(AUDIO.len())
}

/// The one of `files` whose name without its extension is most similar to `wanted`: equal but for upper and lower case,
/// spaces or the extension, or with a spelling mistake or two. The names in `others` belong to other stems.
pub(crate) fn similar(files: &[String], wanted: &str, others: &[String]) -> Option<String> {
    let most = if wanted.len() < 5 { 1 } else { 2 };
    let distance = |file: &&String| {
        let bare = file.rsplit_once('.').map_or(file.as_str(), |(bare, _)| bare);
        let other = bare != wanted && others.iter().any(|other| other == bare);
        let distance = strsim::osa_distance(&bare.trim().to_lowercase(), &wanted.to_lowercase());
        (!other && distance <= most).then_some(distance)
    };
    let near = files.iter().filter_map(|file| Some((distance(&file)?, file)));
    near.min().map(|(_, file)| file.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_systems_are_foreign() {
        for name in
            [".Trash-1000", "._vocals.wav", ".DS_Store", "Thumbs.db", "@eaDir", "__MACOSX", "lost+found"]
        {
            assert!(is_foreign(name), "{name}");
        }
        for name in ["$RECYCLE.BIN", "System Volume Information", "#recycle"] {
            assert!(is_foreign(name), "{name}");
        }
        for name in
            ["vocals.wav", "#1 Hit", "@home", "...And Justice".trim_start_matches('.'), "Lost and Found"]
        {
            assert!(!is_foreign(name), "{name}");
        }
    }

    #[test]
    fn names_that_are_nearly_right_are_found() {
        let stems = ["drums", "bass", "other", "vocals"].map(String::from);
        let similar = |files: &[&str], wanted: &str| {
            let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
            similar(&files, wanted, &stems)
        };
        for (file, wanted) in [
            ("Bass.wav", "bass"),
            ("BASS.WAV", "bass"),
            ("bass .wav", "bass"),
            ("bass.mp3", "bass"),
            ("vocal.wav", "vocals"),
            ("voclas.flac", "vocals"),
            ("Others.wav", "other"),
            ("drum.wav", "drums"),
        ] {
            assert_eq!(similar(&["mixture.wav", file], wanted).as_deref(), Some(file), "{file}");
        }
        // The most similar one, and none that is the file of another stem or something else.
        assert_eq!(similar(&["vocal.wav", "Vocals.wav"], "vocals").as_deref(), Some("Vocals.wav"));
        assert_eq!(similar(&["drums.wav", "mixture.wav", "guitar.wav"], "bass"), None);
        let near = ["bass", "brass"].map(String::from);
        assert_eq!(super::similar(&["brass.wav".into()], "bass", &near), None);
    }
}
