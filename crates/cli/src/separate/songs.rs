//! Finds the songs that the command line names: files, folders, pipes and standard input.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::advice::advised;

/// Extensions of audio files. From a folder, only these are taken. Formats that cannot be read are included, so that
/// such a song is reported and not passed over.
const AUDIO: [&str; 30] = [
    "3ga", "aac", "aif", "aifc", "aiff", "alac", "amr", "ape", "au", "bwf", "caf", "flac", "m4a", "m4b",
    "mka", "mp2", "mp3", "mpc", "oga", "ogg", "opus", "rf64", "tta", "w64", "wav", "wave", "weba", "webm",
    "wma", "wv",
];

/// Extensions of videos. They are no part of a song's name either.
const VIDEO: [&str; 9] = ["3gp", "avi", "flv", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg"];

/// Folders that systems and devices create beside the music.
const FOREIGN: [&str; 6] =
    ["@eadir", "__macosx", "lost+found", "#recycle", "$recycle.bin", "system volume information"];

/// Where the bytes of a song come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    File,
    /// A named pipe, or the pipe of a process substitution.
    Pipe,
    StandardInput,
}

/// A song to separate.
#[derive(Debug, Clone)]
pub(super) struct Song {
    /// As it is named in messages.
    pub(super) path: PathBuf,
    pub(super) source: Source,
    /// The file's name without its extension.
    pub(super) name: OsString,
    /// The folder of its stems below that of all stems. It is not empty if the song was found in a folder.
    pub(super) below: PathBuf,
}

/// A song, or the path of what cannot be separated with the reason.
pub(super) type Found = Result<Song, (PathBuf, anyhow::Error)>;

impl Song {
    fn of(path: PathBuf, below: PathBuf) -> Self {
        let source = if path.as_os_str() == "-" {
            Source::StandardInput
        } else if is_pipe(&path) {
            Source::Pipe
        } else {
            Source::File
        };
        let name = match source {
            Source::StandardInput => "stdin".into(),
            // A path like `..` has no file name, and cannot be opened either.
            _ => name_of(path.file_name().unwrap_or(path.as_os_str())),
        };
        Self { path, source, name, below }
    }

    /// The name of the folder that contains the song.
    pub(super) fn folder(&self) -> OsString {
        let absolute = std::path::absolute(&self.path).unwrap_or_default();
        absolute.parent().and_then(Path::file_name).unwrap_or_default().to_owned()
    }
}

/// The songs that `paths` name, in their order. What cannot be found comes with its error.
///
/// A folder is searched with its subfolders. Hidden files and folders, those of the system and `out` are passed over.
pub(super) fn find(paths: &[PathBuf], out: &Path) -> Vec<Found> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(Ok(Song::of(path.clone(), PathBuf::new())));
            continue;
        }
        let before = found.len();
        search(path, out, &mut found);
        if found.len() == before {
            let advice = "Name files or folders of music. Only files with the extension of an audio format are \
                          taken from a folder.";
            let error = advised(format_args!("{} contains no songs", path.display()), advice);
            found.push(Err((path.clone(), error)));
        }
    }
    // The same path twice is one song.
    found.retain(|song| song.as_ref().map_or(true, |song| seen.insert(song.path.clone())));
    found
}

fn search(folder: &Path, out: &Path, found: &mut Vec<Found>) {
    let out = out.canonicalize().ok();
    let wanted = |entry: &DirEntry| {
        // The folder itself was named by the user.
        entry.depth() == 0
            || !(is_foreign(entry.file_name())
                || entry.file_type().is_dir() && out.is_some() && entry.path().canonicalize().ok() == out)
    };
    // `cp -r` keeps the folder's name in the same way.
    let own = folder.file_name().unwrap_or_default();
    for entry in WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter().filter_entry(wanted)
    {
        match entry {
            Ok(entry) if entry.file_type().is_file() && has_extension(entry.path(), &AUDIO) => {
                let inner = entry.path().parent().and_then(|parent| parent.strip_prefix(folder).ok());
                let below = Path::new(own).join(inner.unwrap_or(Path::new("")));
                found.push(Ok(Song::of(entry.into_path(), below)));
            }
            Ok(_) => {}
            // A link to a folder above it. That folder is searched anyway.
            Err(error) if error.loop_ancestor().is_some() => {}
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_owned();
                found.push(Err((path, error.into())));
            }
        }
    }
}

fn is_foreign(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') || FOREIGN.contains(&name.to_lowercase().as_str())
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    extensions.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// A file's name without its extension. "01. Intro" has none.
fn name_of(file: &OsStr) -> OsString {
    let path = Path::new(file);
    let known = has_extension(path, &AUDIO) || has_extension(path, &VIDEO);
    path.file_stem().filter(|_| known).unwrap_or(file).to_owned()
}

fn is_pipe(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
    }
    #[cfg(not(unix))]
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_extensions_are_cut() {
        for (file, name) in [
            ("song.mp3", "song"),
            ("Song.FLAC", "Song"),
            ("01. Intro", "01. Intro"),
            ("Mr. Brightside.mp3", "Mr. Brightside"),
            ("Mr. Brightside", "Mr. Brightside"),
            ("clip.mp4", "clip"),
            ("a.b.wav", "a.b"),
            ("mix.v2", "mix.v2"),
            (".hidden.ogg", ".hidden"),
            ("mp3", "mp3"),
        ] {
            assert_eq!(name_of(OsStr::new(file)), name, "{file}");
        }
    }

    #[test]
    fn a_folder_gives_its_songs_with_their_folders() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let album = root.path().join("album");
        let file = |path: &str| {
            let path = album.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a writable folder");
            fs::write(path, b"").expect("a writable folder");
        };
        for path in ["b.mp3", "CD 1/a.FLAC", "cover.jpg", ".a.mp3", "._b.mp3", ".git/c.mp3"] {
            file(path);
        }
        for path in
            ["@eaDir/b.mp3", "__MACOSX/b.mp3", "lost+found/b.mp3", "stems/b/vocals.wav", "empty/x.txt"]
        {
            file(path);
        }
        let found = find(&[album.clone(), album.join("b.mp3"), album.join("empty")], &album.join("stems"));
        let of = |song: &Found| match song {
            Ok(song) => (song.below.clone(), song.name.clone()),
            Err((path, error)) => (path.clone(), error.to_string().into()),
        };
        let found: Vec<_> = found.iter().map(of).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0], ("album/CD 1".into(), "a".into()));
        assert_eq!(found[1], ("album".into(), "b".into()));
        assert!(found[2].1.to_string_lossy().ends_with("empty contains no songs"), "{found:?}");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_but_not_in_circles() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let path = |path: &str| root.path().join(path);
        fs::create_dir_all(path("music/inner")).expect("a writable folder");
        fs::create_dir(path("other")).expect("a writable folder");
        fs::write(path("other/a.wav"), b"").expect("a writable folder");
        std::os::unix::fs::symlink("../../music", path("music/inner/up")).expect("a writable folder");
        std::os::unix::fs::symlink("../other", path("music/link")).expect("a writable folder");
        let found = find(&[path("music")], Path::new("separated"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].as_ref().expect("a song").below, Path::new("music/link"));
    }
}
