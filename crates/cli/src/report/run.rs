//! What a page tells about a run, read from the run's folder.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;
use unbraid_train::{RunFolder, TrainConfig};

use super::history::History;

/// What the page tells about a run.
pub(super) struct Run {
    pub(super) name: String,
    pub(super) folder: RunFolder,
    pub(super) config: TrainConfig,
    pub(super) history: History,
    /// The device that trained last, and its kind.
    pub(super) device: Option<String>,
}

impl Run {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let folder = RunFolder::new(path);
        let none = || format!("{} holds no run: it has no config.toml", path.display());
        let config = folder.saved_config()?.with_context(none)?;
        let history = History::read(&folder.metrics())?;
        let device = std::fs::read(folder.device()).ok();
        let device: Option<Value> = device.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let device = device
            .and_then(|device| Some(format!("{} ({})", device["name"].as_str()?, device["kind"].as_str()?)));
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_else(|| path.display().to_string());
        Ok(Self { name, folder, config, history, device })
    }
}
