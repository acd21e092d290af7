//! The files of each song, chosen and checked before the work begins.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::ensure;

use crate::advice::advised;
use crate::output::notice;

use super::outputs::Output;
use super::songs::Song;
use super::staging::Staging;
use super::template::{Template, Values};

/// A stem and its file.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) output: Output,
    pub(super) path: PathBuf,
}

/// How files are named.
pub(super) struct Naming<'a> {
    pub(super) out: &'a Path,
    pub(super) template: &'a Template,
    pub(super) model: &'a str,
    pub(super) extension: &'a str,
}

/// What happens to stems that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Refuse,
    Skip,
    Replace,
}

impl Naming<'_> {
    /// Checks that the template tells the files of `songs` songs with `stems` stems apart.
    pub(super) fn check(&self, songs: usize, stems: usize) -> anyhow::Result<()> {
        ensure!(self.template.has_stem() || stems == 1, "--name lacks {{stem}}, and there are {stems} stems");
        ensure!(self.template.has_song() || songs == 1, "--name lacks {{song}}, and there are {songs} songs");
        Ok(())
    }

    /// The files of a song. `taken` holds those of the songs before it. A song whose name is taken gets a number.
    pub(super) fn targets(
        &self,
        song: &Song,
        outputs: &[Output],
        taken: &mut HashSet<String>,
    ) -> anyhow::Result<Vec<Target>> {
        let folder = song.folder();
        let mut number = 1;
        loop {
            let mut name = song.name.clone();
            if number > 1 {
                name.push(format!(" ({number})"));
            }
            let targets = self.named(song, &name, &folder, outputs)?;
            // Many file systems ignore upper and lower case.
            let key = |target: &Target| target.path.to_string_lossy().to_lowercase();
            if targets.iter().all(|target| !taken.contains(&key(target))) {
                taken.extend(targets.iter().map(key));
                if number > 1 {
                    let (song, name) = (song.path.display(), name.to_string_lossy());
                    notice(format_args!(
                        "{song}: another song has the same name, so its stems are named {name}"
                    ));
                }
                return Ok(targets);
            }
            number += 1;
        }
    }

    fn named(
        &self,
        song: &Song,
        name: &OsString,
        folder: &OsString,
        outputs: &[Output],
    ) -> anyhow::Result<Vec<Target>> {
        let target = |output: &Output| {
            let values = Values { song: name, stem: &output.name, folder, model: self.model };
            let Some(path) = self.template.path(&values, self.extension) else {
                let advice = "Rename it, or choose another `--name`.";
                return Err(advised(
                    format_args!("the name of {} is no file name", song.path.display()),
                    advice,
                ));
            };
            Ok(Target { output: output.clone(), path: self.out.join(&song.below).join(path) })
        };
        outputs.iter().map(target).collect()
    }
}

/// Applies `existing` to the targets of a song: returns those that are to be written.
///
/// # Errors
/// If a target exists and is to be kept, or if its folder cannot exist.
pub(super) fn to_write(mut targets: Vec<Target>, existing: Existing) -> anyhow::Result<Vec<Target>> {
    for Target { path, .. } in &targets {
        // `exists` is also true for a folder that contains a file instead of a folder's entry.
        let file = path.ancestors().skip(1).find(|folder| folder.symlink_metadata().is_ok());
        if let Some(file) = file.filter(|file| !file.as_os_str().is_empty() && !file.is_dir()) {
            let advice = "`--out DIR` writes to another folder.";
            return Err(advised(format_args!("{} exists and is not a folder", file.display()), advice));
        }
    }
    match existing {
        Existing::Replace => {}
        Existing::Skip => targets.retain(|target| !target.path.exists()),
        Existing::Refuse => {
            if let Some(target) = targets.iter().find(|target| target.path.exists()) {
                let advice = "`--force` replaces it, and `--skip-existing` keeps it. `--out DIR` writes to another \
                              folder.";
                return Err(advised(format_args!("{} exists", target.path.display()), advice));
            }
        }
    }
    Ok(targets)
}

/// The folder for names in the temporary folder.
const NAMES: &str = "names";

/// Finds out which names a file system refuses, by their length or by their characters.
pub(super) struct NameCheck<'a> {
    out: &'a Path,
    folder: Staging,
    accepted: HashSet<OsString>,
}

impl<'a> NameCheck<'a> {
    /// For files below `out`. The folder exists while this does, and it is removed if it did not exist before.
    pub(super) fn create(out: &'a Path) -> anyhow::Result<Self> {
        let folder = Staging::create(out)?;
        fs::create_dir(folder.path().join(NAMES))?;
        Ok(Self { out, folder, accepted: HashSet::new() })
    }

    /// Checks every name in the path of `target`, by creating it.
    pub(super) fn check(&mut self, target: &Target) -> anyhow::Result<()> {
        for name in target.path.strip_prefix(self.out).unwrap_or(&target.path) {
            if self.accepted.contains(name) {
                continue;
            }
            let trial = self.folder.path().join(NAMES).join(name);
            if let Err(error) = fs::create_dir(&trial).and_then(|()| fs::remove_dir(&trial)) {
                let (out, name) = (self.out.display(), name.to_string_lossy());
                let advice = "Rename the song, or choose other names with `--name`.";
                let fact = format_args!("the folder {out} cannot hold the name '{name}': {error}");
                return Err(advised(fact, advice));
            }
            self.accepted.insert(name.to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::separate::songs;

    fn naming(template: &Template) -> Naming<'_> {
        Naming { out: Path::new("out"), template, model: "net", extension: "wav" }
    }

    fn vocals() -> Vec<Output> {
        vec![Output { name: "vocals".into(), stem: 0, rest: false }]
    }

    #[test]
    fn equal_names_get_numbers() {
        let template = "{song}/{stem}".parse().expect("a valid template");
        let paths = ["a/song.mp3", "b/song.mp3", "b/Song.flac", "a/other.mp3"].map(PathBuf::from);
        let mut taken = HashSet::new();
        let files = songs::find(&paths, Path::new("out")).into_iter().map(|song| {
            let song = song.expect("a song");
            naming(&template).targets(&song, &vocals(), &mut taken).expect("a name")[0].path.clone()
        });
        let expected = ["song", "song (2)", "Song (3)", "other"];
        let expected = expected.map(|name| Path::new("out").join(name).join("vocals.wav"));
        assert_eq!(files.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_template_must_tell_files_apart() {
        let check = |text: &str, songs, stems| {
            let template = text.parse().expect("a valid template");
            naming(&template).check(songs, stems).is_ok()
        };
        assert!(check("{song}", 5, 1) && check("{stem}", 1, 4) && check("{song}-{stem}", 5, 4));
        assert!(!check("{song}", 1, 2) && !check("{stem}", 2, 4));
    }

    #[test]
    fn a_name_that_is_too_long_is_found() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let out = folder.path().join("new/out");
        let mut check = NameCheck::create(&out).expect("a writable folder");
        let target = |name: &str| Target { output: vocals().remove(0), path: out.join(name) };
        assert!(check.check(&target("good/vocals.wav")).is_ok());
        let error = check.check(&target(&"x".repeat(300))).expect_err("the name is too long");
        assert!(error.to_string().contains("cannot hold the name"), "{error}");
        drop(check);
        assert!(!folder.path().join("new").exists());
    }
}
