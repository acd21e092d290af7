//! Atomic file writing: a file appears under its name complete or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Name prefix of files that are still being written. A killed process leaves such files behind.
const PREFIX: &str = ".unbraid-";

/// Name prefix of such files in earlier versions.
const EARLIER_PREFIX: &str = ".part-";

/// Name suffix of files that are still being written.
const SUFFIX: &str = ".part";

/// A file that gets its name only when it is complete.
///
/// Bytes go to a temporary file in the target's folder. [`commit`](Self::commit) syncs them to disk and renames the
/// file. A `WholeFile` that is dropped before that removes the temporary file, and an existing file of that name is
/// unchanged.
#[derive(Debug)]
pub struct WholeFile {
    temporary: NamedTempFile,
    path: PathBuf,
}

impl WholeFile {
    /// Starts a file that will become `path`.
    ///
    /// # Errors
    /// An error of the system, for example if the folder is missing or cannot be written to.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).suffix(SUFFIX);
        // A temporary file is private by default. This one becomes an ordinary file.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        loop {
            let temporary = builder.tempfile_in(folder_of(path))?;
            // It tells `remove_unfinished` in other processes that this one writes the file. The system ends the lock
            // with the process. Some network file systems have no locks.
            temporary.as_file().lock().ok();
            // Before it was locked, another process may have removed the file.
            if temporary.path().try_exists().unwrap_or(true) {
                return Ok(Self { temporary, path: path.to_path_buf() });
            }
        }
    }

    /// A second handle of the temporary file, for an encoder that owns its writer.
    ///
    /// # Errors
    /// An error of the system.
    pub fn handle(&self) -> io::Result<File> {
        self.temporary.as_file().try_clone()
    }

    /// Syncs the bytes to disk and gives the file its name.
    ///
    /// # Errors
    /// An error of the system. Then an existing file of that name is unchanged.
    pub fn commit(self) -> io::Result<()> {
        self.temporary.as_file().sync_all()?;
        self.temporary.persist(&self.path).map_err(|error| error.error)?;
        sync_folder(folder_of(&self.path));
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temporary.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.flush()
    }
}

/// Writes `bytes` to `path`, completely or not at all.
///
/// # Errors
/// An error of the system. Then an existing file at `path` is unchanged.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = WholeFile::create(path)?;
    file.write_all(bytes)?;
    file.commit()
}

/// Removes the unfinished files that killed processes left in `folder`. A file that a process still writes is locked
/// and stays. Where the file system has no locks, nothing is removed.
///
/// # Errors
/// An error of the system if the folder cannot be listed.
pub fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) || name.starts_with(EARLIER_PREFIX) {
            let Ok(file) = OpenOptions::new().read(true).write(true).open(entry.path()) else { continue };
            // The lock is held until the file is removed, so that no process begins to write it in between.
            if file.try_lock().is_ok() {
                // A file that cannot be removed only takes space.
                std::fs::remove_file(entry.path()).ok();
            }
        }
    }
    Ok(())
}

/// Syncs a folder's entries to disk. Only then is a rename in it durable.
///
/// Failures are ignored: some systems cannot open a folder, and they need no sync.
pub fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        folder.sync_all().ok();
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_appears_complete_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("song.bin");
        write_whole(&path, b"old").expect("a writable folder");
        let mut dropped = WholeFile::create(&path).expect("a writable folder");
        dropped.write_all(b"half").expect("a writable file");
        drop(dropped);
        assert_eq!(std::fs::read(&path).expect("the old file"), b"old");
        write_whole(&path, b"new").expect("a writable folder");
        assert_eq!(std::fs::read(&path).expect("the new file"), b"new");
        assert_eq!(names(folder.path()), ["song.bin"]);
    }

    #[test]
    fn a_failed_rename_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("taken");
        std::fs::create_dir(&path).expect("a folder");
        assert!(write_whole(&path, b"bytes").is_err());
        assert_eq!(names(folder.path()), ["taken"]);
        assert!(write_whole(&folder.path().join("missing/file"), b"bytes").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn the_file_has_ordinary_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mode = |path: &Path| std::fs::metadata(path).expect("a file").permissions().mode();
        let (ours, ordinary) = (folder.path().join("ours"), folder.path().join("ordinary"));
        write_whole(&ours, b"").expect("a writable folder");
        std::fs::write(&ordinary, b"").expect("a writable folder");
        assert_eq!(mode(&ours), mode(&ordinary));
    }

    #[test]
    fn unfinished_files_are_removed_and_others_stay() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join(".unbraid-x1.part"), b"").expect("a writable folder");
        std::fs::write(folder.path().join("kept.part"), b"").expect("a writable folder");
        remove_unfinished(folder.path()).expect("a folder");
        assert_eq!(names(folder.path()), ["kept.part"]);
    }

    #[test]
    fn a_file_that_is_being_written_stays() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("song.bin");
        let mut file = WholeFile::create(&path).expect("a writable folder");
        std::fs::write(folder.path().join(".unbraid-x1.part"), b"").expect("a writable folder");
        remove_unfinished(folder.path()).expect("a folder");
        assert_eq!(names(folder.path()).len(), 1);
        file.write_all(b"all").expect("a writable file");
        file.commit().expect("the file is still there");
        assert_eq!(names(folder.path()), ["song.bin"]);
        assert_eq!(std::fs::read(&path).expect("the file"), b"all");
    }
}
