//! The folder `checkpoints/` of a run: which checkpoints are kept, and the newest undamaged one.

use crate::run::checkpoint::{Checkpoint, CheckpointError};
use std::path::PathBuf;
use unbraid_base::file;

/// The file name extension of damaged checkpoints.
const DAMAGED: &str = "damaged";

/// The folder `checkpoints/` of a run.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// Opens `folder` and creates it if it is missing. Removes unfinished files of a killed process.
    ///
    /// # Errors
    /// If the folder cannot be created, or an unfinished file cannot be removed.
    pub fn open(folder: PathBuf) -> Result<Self, CheckpointError> {
        let failed = |source| CheckpointError::Write { path: folder.clone(), source };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        file::remove_unfinished(&folder).map_err(failed)?;
        Ok(Self::at(folder))
    }

    /// The folder `folder`. Creates and removes nothing.
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The file of `step`.
    pub fn path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("step-{step:06}.safetensors"))
    }

    /// The steps that have a file, ascending.
    pub fn steps(&self) -> Vec<u64> {
        let step = |name: &str| name.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok();
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut steps: Vec<u64> = entries.filter_map(|e| step(&e.file_name().to_string_lossy())).collect();
        steps.sort_unstable();
        steps
    }

    /// Whether damaged checkpoints have been set aside.
    pub(crate) fn has_damaged(&self) -> bool {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|path| path.extension().is_some_and(|ending| ending == DAMAGED))
    }

    /// Renames the damaged checkpoints of an earlier run, so that [`Checkpoints::has_damaged`] is about the new run.
    pub(crate) fn set_damaged_aside(&self) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|ending| ending == DAMAGED) {
                // A file that cannot be renamed only makes a later message less precise.
                std::fs::rename(&path, path.with_extension("damaged-old")).ok();
            }
        }
    }

    /// Writes a checkpoint, then removes all but the newest `keep` and the best.
    ///
    /// # Errors
    /// If the checkpoint cannot be written. An old file that cannot be removed is left.
    pub fn save(&self, checkpoint: &Checkpoint, keep: usize) -> Result<PathBuf, CheckpointError> {
        let path = self.path(checkpoint.state.step);
        checkpoint.write(&path)?;
        let best = checkpoint.state.best.map(|best| best.step);
        for step in self.steps().iter().rev().skip(keep) {
            if Some(*step) != best {
                std::fs::remove_file(self.path(*step)).ok();
            }
        }
        Ok(path)
    }

    /// The newest undamaged checkpoint. Damaged files are renamed and passed to `report`.
    pub fn newest(&self, mut report: impl FnMut(&str)) -> Option<Checkpoint> {
        for step in self.steps().into_iter().rev() {
            let path = self.path(step);
            match Checkpoint::read(&path) {
                Ok(checkpoint) => return Some(checkpoint),
                Err(error) => {
                    let aside = path.with_extension(DAMAGED);
                    let renamed = std::fs::rename(&path, &aside).is_ok();
                    let fate = if renamed {
                        format!("renamed to {}", aside.display())
                    } else {
                        "left in place".into()
                    };
                    report(&format!("{error}; it is {fate}"));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
