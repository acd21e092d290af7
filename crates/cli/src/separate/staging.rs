//! The stems of a song appear all at once or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use unbraid_base::file::sync_folder;

/// A hidden folder next to the target. The stems are made in it, and it is removed unless they are published.
pub(super) struct Staging {
    folder: tempfile::TempDir,
    /// Folders that did not exist before, innermost first. They are removed if the stems are not published.
    created: Vec<PathBuf>,
}

impl Staging {
    pub(super) fn create(target: &Path) -> anyhow::Result<Self> {
        let parent =
            target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let created =
            parent.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        let created = created.map(Path::to_owned).collect();
        let writable = || format!("cannot write to the folder {}", parent.display());
        fs::create_dir_all(parent).with_context(writable)?;
        let folder =
            tempfile::Builder::new().prefix(".unbraid-").tempdir_in(parent).with_context(writable)?;
        Ok(Self { folder, created })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Moves the stems into the target. A target that does not exist yet appears with all its stems.
    pub(super) fn publish(mut self, target: &Path, names: &[PathBuf]) -> anyhow::Result<()> {
        let failed = || format!("cannot move the stems to {}", target.display());
        if target.exists() {
            for name in names {
                fs::rename(self.path().join(name), target.join(name)).with_context(failed)?;
            }
            sync_folder(target);
        } else {
            // The temporary folder is private. The stems' folder has ordinary permissions.
            let staged = self.path().join("stems");
            fs::create_dir(&staged).with_context(failed)?;
            for name in names {
                fs::rename(self.path().join(name), staged.join(name)).with_context(failed)?;
            }
            sync_folder(&staged);
            fs::rename(&staged, target).with_context(failed)?;
            if let Some(parent) = self.path().parent() {
                sync_folder(parent);
            }
        }
        self.created.clear();
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Ignores errors, because this cleans up after another error. The created folders contain the temporary one.
        fs::remove_dir_all(self.folder.path()).ok();
        for folder in &self.created {
            fs::remove_dir(folder).ok();
        }
    }
}
