//! The stems of a song appear all at once or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use unbraid_base::file::sync_folder;

/// Name prefix of the temporary folders.
const PREFIX: &str = ".unbraid-";

/// A file in a temporary folder. Its process has locked it, and the system unlocks it when the process ends.
const LOCK: &str = "lock";

/// Further attempts to create a temporary folder.
const ATTEMPTS: usize = 5;

/// A hidden folder beside the stems' folder. The stems are made in it, and it is removed unless they are published.
pub(super) struct Staging {
    folder: tempfile::TempDir,
    lock: Option<File>,
    /// Folders that did not exist before, innermost first. They are removed if the stems are not published.
    created: Vec<PathBuf>,
}

impl Staging {
    /// Creates `parent` if it does not exist, and the temporary folder in it. Removes such folders of processes that
    /// were killed.
    pub(super) fn create(parent: &Path) -> anyhow::Result<Self> {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let writable = || format!("cannot write to the folder {}", parent.display());
        let mut created = Vec::new();
        let mut create = || {
            create_folder(parent, &mut created)?;
            remove_abandoned(parent);
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            // It gets its name when it is locked, so that no other process takes it for abandoned.
            let (unlocked, locked) = (folder.path().join("unlocked"), folder.path().join(LOCK));
            let lock = File::create(&unlocked)?;
            // On a file system without locks, the folder of a killed process stays.
            lock.lock().ok();
            fs::rename(unlocked, locked)?;
            Ok((folder, lock))
        };
        // Another process that has created `parent` may remove it while it is empty.
        let is_gone =
            |made: &io::Result<_>| made.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
        let mut made = create();
        for _ in 0..ATTEMPTS {
            if is_gone(&made) {
                made = create();
            }
        }
        match made {
            Ok((folder, lock)) => Ok(Self { folder, lock: Some(lock), created }),
            Err(error) => {
                remove_folders(&created);
                Err(error).with_context(writable)
            }
        }
    }

    /// The temporary folder for files that will be moved to `targets`, which are below `out`.
    pub(super) fn beside(targets: &[&Path], out: &Path) -> anyhow::Result<Self> {
        let folder = common_folder(targets).filter(|folder| *folder != out);
        Self::create(folder.and_then(Path::parent).unwrap_or(out))
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Moves files of this folder, given by their names, to their targets. If all targets are in one folder and it
    /// does not exist yet, it appears with all of them.
    ///
    /// # Errors
    /// If the system refuses, or if a target exists and `replace` is false. Then no target has appeared, unless one of
    /// them replaced an existing file.
    pub(super) fn publish(mut self, files: &[(String, &Path)], replace: bool) -> anyhow::Result<()> {
        let targets: Vec<_> = files.iter().map(|(_, target)| *target).collect();
        match common_folder(&targets).filter(|folder| !folder.exists()) {
            Some(folder) => self.publish_folder(files, folder),
            None => self.publish_files(files, replace),
        }
        .context("cannot move the stems to their folder")?;
        self.created.clear();
        Ok(())
    }

    fn publish_folder(&mut self, files: &[(String, &Path)], folder: &Path) -> anyhow::Result<()> {
        // The temporary folder is private. The stems' folder has ordinary permissions.
        let staged = self.path().join("stems");
        fs::create_dir(&staged)?;
        for (name, target) in files {
            fs::rename(self.path().join(name), staged.join(target.file_name().unwrap_or_default()))?;
        }
        sync_folder(&staged);
        let parent = parent_of(folder);
        create_folder(parent, &mut self.created)?;
        fs::rename(&staged, folder)?;
        sync_folder(parent);
        Ok(())
    }

    fn publish_files(&mut self, files: &[(String, &Path)], replace: bool) -> anyhow::Result<()> {
        let mut moved = Vec::new();
        let result = files.iter().try_for_each(|(name, target)| {
            let existed = target.exists();
            ensure!(replace || !existed, "{} exists", target.display());
            create_folder(parent_of(target), &mut self.created)?;
            fs::rename(self.path().join(name), target)?;
            if !existed {
                moved.push(*target);
            }
            sync_folder(parent_of(target));
            Ok(())
        });
        if result.is_err() {
            for target in moved {
                fs::remove_file(target).ok();
            }
        }
        result
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Ignores errors, because this cleans up after another error. The created folders contain the temporary one.
        self.lock = None;
        fs::remove_dir_all(self.folder.path()).ok();
        remove_folders(&self.created);
    }
}

/// The folder of all files. `None` if they are in several folders.
fn common_folder<'a>(files: &[&'a Path]) -> Option<&'a Path> {
    let folder = files.first()?.parent()?;
    files.iter().all(|file| file.parent() == Some(folder)).then_some(folder)
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates a folder and those above it. Puts those that did not exist before into `created`, innermost first.
fn create_folder(folder: &Path, created: &mut Vec<PathBuf>) -> io::Result<()> {
    let missing = folder.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    let missing: Vec<_> = missing.map(Path::to_owned).collect();
    fs::create_dir_all(folder)?;
    created.splice(0..0, missing);
    Ok(())
}

/// Removes those of the folders that are empty, in this order.
fn remove_folders(folders: &[PathBuf]) {
    for folder in folders {
        fs::remove_dir(folder).ok();
    }
}

/// Removes the temporary folders in `parent` whose processes have ended.
fn remove_abandoned(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            let lock = File::options().write(true).open(entry.path().join(LOCK));
            if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
                fs::remove_dir_all(entry.path()).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder").flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn staged(parent: &Path, files: &[&str]) -> Staging {
        let staging = Staging::create(parent).expect("a writable folder");
        for name in files {
            fs::write(staging.path().join(name), name).expect("a writable folder");
        }
        staging
    }

    #[test]
    fn stems_appear_in_new_and_in_existing_folders() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let out = folder.path().join("out");
        let (a, b, c) = (out.join("song/a.wav"), out.join("song/b.wav"), out.join("c.wav"));
        let first = staged(&out, &["0", "1"]);
        first.publish(&[("0".into(), &a), ("1".into(), &b)], false).expect("a writable folder");
        assert_eq!(names(&out.join("song")), ["a.wav", "b.wav"]);
        // `a` exists. `c` must not appear.
        let second = staged(&out, &["0", "1"]);
        assert!(second.publish(&[("0".into(), &c), ("1".into(), &a)], false).is_err());
        assert_eq!(names(&out), ["song"]);
        let third = staged(&out, &["0", "1"]);
        third.publish(&[("0".into(), &c), ("1".into(), &a)], true).expect("a writable folder");
        assert_eq!(names(&out), ["c.wav", "song"]);
        assert_eq!(fs::read(&a).expect("the new file"), b"1");
    }

    #[test]
    fn nothing_remains_unless_published() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        drop(staged(&folder.path().join("a/b"), &["0"]));
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn abandoned_folders_are_removed_and_used_ones_stay() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let used = staged(folder.path(), &["0"]);
        let abandoned = folder.path().join(".unbraid-abandoned");
        fs::create_dir(&abandoned).expect("a writable folder");
        fs::write(abandoned.join(LOCK), b"").expect("a writable folder");
        let other = staged(folder.path(), &[]);
        assert!(!abandoned.exists() && used.path().join("0").exists() && other.path().exists());
    }
}
