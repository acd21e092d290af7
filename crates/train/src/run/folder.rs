//! The folder of a run: `config.toml`, `metrics.jsonl`, the event files of TensorBoard, `checkpoints/`,
//! `model.safetensors`, and the lock that keeps other processes out.

use crate::error::TrainError;
use crate::run::checkpoint::CheckpointError;
use crate::run::checkpoints::Checkpoints;
use crate::run::tensorboard::EventFile;
use crate::settings::config::{ConfigError, TrainConfig};
use serde::Serialize;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use unbraid_base::file::{remove_unfinished, write_whole};

/// Paths of a run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// The run in the folder `root`. Creates nothing.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// The resolved configuration.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// Steps and validations, one JSON object per line.
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// The exported model.
    pub fn model(&self) -> PathBuf {
        self.root.join("model.safetensors")
    }

    /// Batches whose loss or gradient was not finite.
    pub(crate) fn bad_batches(&self) -> PathBuf {
        self.root.join("not-finite")
    }

    /// The device that trained last, as JSON. A front end writes it.
    pub fn device(&self) -> PathBuf {
        self.root.join("device.json")
    }

    /// The page about the run. A front end writes it.
    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }

    /// Whether there is a run: its settings or a checkpoint. Creates nothing.
    pub fn holds_run(&self) -> bool {
        self.config().is_file() || self.has_checkpoints()
    }

    /// Whether there is a checkpoint. Creates nothing.
    pub fn has_checkpoints(&self) -> bool {
        !Checkpoints::at(self.checkpoint_folder()).steps().is_empty()
    }

    /// Takes the exclusive right to train in this folder, and creates the folder if it is missing. The system ends the
    /// right with the process, however the process ends. Removes the unfinished files of a killed process.
    ///
    /// # Errors
    /// [`TrainError::Locked`] if another process has the right. An error of the system if the lock's file cannot be
    /// opened.
    pub(crate) fn lock(&self) -> Result<RunLock, TrainError> {
        let path = self.root.join(".lock");
        let failed = |source| CheckpointError::Write { path: path.clone(), source };
        std::fs::create_dir_all(&self.root).map_err(failed)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        let problem = match file.try_lock() {
            Ok(()) => None,
            Err(TryLockError::WouldBlock) => return Err(TrainError::Locked(self.root.clone())),
            // Some network file systems have no locks. Training is possible there all the same.
            Err(TryLockError::Error(error)) => {
                let folder = self.root.display();
                Some(format!("{folder} cannot be locked ({error}), so a second process is not kept out"))
            }
        };
        remove_unfinished(&self.root).map_err(failed)?;
        for batch in std::fs::read_dir(self.bad_batches()).into_iter().flatten().flatten() {
            if batch.path().extension().is_some_and(|ending| ending == "part") {
                std::fs::remove_dir_all(batch.path()).ok();
            }
        }
        Ok(RunLock { _file: file, problem })
    }

    fn checkpoint_folder(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// Opens `checkpoints/` and creates it if it is missing.
    ///
    /// # Errors
    /// If the folder cannot be created or cleaned of unfinished files.
    pub fn checkpoints(&self) -> Result<Checkpoints, CheckpointError> {
        Checkpoints::open(self.checkpoint_folder())
    }

    /// The configuration that the run was started with. `None` if there is no run.
    ///
    /// # Errors
    /// If the file cannot be read or parsed.
    pub fn saved_config(&self) -> Result<Option<TrainConfig>, ConfigError> {
        if self.config().is_file() { TrainConfig::load(&self.config()).map(Some) } else { Ok(None) }
    }

    /// Writes `config.toml` completely or not at all. Its paths are absolute, so that the run can be resumed from
    /// another working directory.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save_config(&self, config: &TrainConfig) -> Result<(), CheckpointError> {
        let path = self.config();
        let header = "# The resolved configuration at the last start of the run.\n";
        write_whole(&path, format!("{header}{}", config.with_absolute_paths().to_toml()).as_bytes())
            .map_err(|source| CheckpointError::Write { path, source })
    }

    /// Opens `metrics.jsonl` for appending after `step`, and a new event file of TensorBoard. `validated` is the step of
    /// the last validation that the run's state knows. Removes what a run that was killed after its last checkpoint
    /// leaves behind: later lines, a later validation of the same step, and an incomplete last line.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn open_metrics(&self, step: u64, validated: Option<u64>) -> Result<MetricsLog, CheckpointError> {
        let path = self.metrics();
        let failed = |source| CheckpointError::Write { path: path.clone(), source };
        let text = std::fs::read(&path).unwrap_or_default();
        let belongs = |line: &serde_json::Value| {
            let known = |own| if line["kind"] == "validation" { validated >= Some(own) } else { own <= step };
            step > 0 && line["step"].as_u64().is_some_and(known)
        };
        let mut kept = String::new();
        for line in String::from_utf8_lossy(&text).lines() {
            if serde_json::from_str(line).is_ok_and(|line| belongs(&line)) {
                kept.push_str(line);
                kept.push('\n');
            }
        }
        write_whole(&path, kept.as_bytes()).map_err(failed)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(failed)?;
        let events = EventFile::create(&self.root).map_err(failed)?;
        Ok(MetricsLog { path, file, events })
    }
}

/// The exclusive right to train in a run's folder. It ends with the value.
#[derive(Debug)]
pub(crate) struct RunLock {
    _file: File,
    problem: Option<String>,
}

impl RunLock {
    /// Why the lock keeps no other process out, if that is so.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}

/// `metrics.jsonl` and an event file of TensorBoard, open for appending.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
    events: EventFile,
}

impl MetricsLog {
    /// Appends `{"kind": kind, …event}` in one write, so that readers see complete lines, and its numbers to the event
    /// file.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn append(&mut self, kind: &str, event: &impl Serialize) -> Result<(), CheckpointError> {
        #[derive(Serialize)]
        struct Line<'a, E> {
            kind: &'a str,
            #[serde(flatten)]
            event: &'a E,
        }
        let mut line = serde_json::to_string(&Line { kind, event }).expect("events are numbers and names");
        line.push('\n');
        let value = serde_json::to_value(event).expect("events are numbers and names");
        let written = self.file.write_all(line.as_bytes());
        let written = written.and_then(|()| self.events.append(kind, &value));
        written.map_err(|source| CheckpointError::Write { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_after_the_checkpoint_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::new(dir.path());
        let mut log = folder.open_metrics(0, None).unwrap();
        for step in 1..=5u64 {
            log.append("step", &serde_json::json!({ "step": step })).unwrap();
        }
        log.file.write_all(b"{\"kind\":\"step\",\"st").unwrap();
        let mut log = folder.open_metrics(3, None).unwrap();
        log.append("step", &serde_json::json!({ "step": 4, "again": true })).unwrap();
        let text = std::fs::read_to_string(folder.metrics()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert_eq!(lines[2], r#"{"kind":"step","step":3}"#);
        assert!(lines[3].contains("again"));
        folder.open_metrics(0, None).unwrap();
        assert_eq!(std::fs::read_to_string(folder.metrics()).unwrap(), "");
    }

    #[test]
    fn a_validation_that_the_checkpoint_does_not_know_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::new(dir.path());
        let mut log = folder.open_metrics(0, None).unwrap();
        for step in [2, 4u64] {
            log.append("step", &serde_json::json!({ "step": step })).unwrap();
            log.append("validation", &serde_json::json!({ "step": step })).unwrap();
        }
        for (validated, lines) in [(Some(4), 4), (Some(2), 3), (None, 2)] {
            folder.open_metrics(4, validated).unwrap();
            let text = std::fs::read_to_string(folder.metrics()).unwrap();
            assert_eq!(text.lines().count(), lines, "{validated:?}: {text}");
        }
    }

    #[test]
    fn a_locked_folder_is_refused_until_the_lock_ends() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::new(&dir.path().join("run"));
        assert!(!folder.holds_run());
        let lock = folder.lock().unwrap();
        assert_eq!(lock.problem(), None);
        let error = folder.lock().unwrap_err();
        assert!(matches!(&error, TrainError::Locked(_)) && error.to_string().contains("run"), "{error}");
        drop(lock);
        let unfinished = dir.path().join("run/.unbraid-1.part");
        std::fs::write(&unfinished, b"half").unwrap();
        // The file stays, but it is no lock.
        assert!(dir.path().join("run/.lock").is_file() && !folder.holds_run());
        folder.lock().unwrap();
        assert!(!unfinished.exists());
    }

    #[test]
    fn the_configuration_survives_a_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::new(dir.path());
        assert_eq!(folder.saved_config().unwrap(), None);
        let config = TrainConfig { seed: 12, ..Default::default() };
        folder.save_config(&config).unwrap();
        assert_eq!(folder.saved_config().unwrap(), Some(config));
    }
}
