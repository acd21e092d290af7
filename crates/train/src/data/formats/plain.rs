//! Folders of songs without parts: `TRACK/STEM.wav`, or MoisesDB's `TRACK/STEM/*.wav`. All songs are for training.

use crate::data::dataset::{Format, Part};
use crate::data::folder::{entries, is_foreign};
use crate::data::song_folder::{named_files, song_folders};

/// The format's row in the registry.
pub(crate) const FORMAT: Format = Format {
    layout: "folders of songs, TRACK/STEM.wav or TRACK/STEM/*.wav (or .flac, .mp3, .m4a, .ogg), for training only",
    recognises,
    list: |part| song_folders(part.root.to_path_buf(), part),
};

/// Whether the folder has no parts, and a folder in it holds audio.
fn recognises(part: &Part<'_>) -> bool {
    let has_parts = ["train", "test"].iter().any(|name| part.root.join(name).is_dir());
    let is_song = |path: &std::path::Path| named_files(path).is_ok_and(|files| !files.is_empty());
    part.name == "train"
        && !has_parts
        && entries(part.root).is_ok_and(|entries| {
            entries.iter().any(|(name, path)| path.is_dir() && !is_foreign(name) && is_song(path))
        })
}
