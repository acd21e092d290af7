//! The state of a run in one file, which is written completely or not at all. Reading detects a damaged file.
//!
//! The file is safetensors with four vectors over all parameters: the weights, their moving average, and the two
//! moments of the optimiser. Its metadata holds the rest of the state and a checksum over everything. No random state
//! is saved, because a segment is a function of (seed, index).

use crate::run::watch::Watch;
use crate::step::loss_scale::LossScale;
use crate::step::parameters::ParameterLayout;
use crate::step::schedule::{Position, Schedule};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use unbraid_base::file;
use unbraid_model::ModelConfig;
use unbraid_model::migrate::{upgrade_config, upgrade_parameter_name};

/// The reason why a checkpoint cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be written. An earlier version of it is unchanged.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is incomplete or was changed.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The inconsistency.
        reason: String,
    },
}

/// The best validation so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Steps at that validation.
    pub step: u64,
    /// uSDR averaged over stems and songs, dB.
    pub usdr: f64,
    /// cSDR averaged over stems, dB. Absent in files of older versions.
    #[serde(default)]
    pub csdr: Option<f64>,
}

/// The state of a run without its vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Completed steps, which is also the index of the next batch.
    pub step: u64,
    /// Updates made: steps minus skipped steps.
    pub updates: u64,
    /// Seconds of the run, without interruptions.
    pub elapsed: f64,
    /// Steps at the last validation.
    pub validated: Option<u64>,
    /// Mean uSDR per stem at the last validation, dB.
    pub scores: BTreeMap<String, f64>,
    /// The best validation.
    pub best: Option<Best>,
    /// The loss scale of a run in f16.
    #[serde(default)]
    pub loss_scale: Option<LossScale>,
    /// Checksum of the names and lengths of the tracks. Absent in files of older versions.
    #[serde(default)]
    pub data: Option<u32>,
    /// The course of the learning rate. Absent in files of older versions.
    #[serde(default)]
    pub schedule: Option<Schedule>,
    /// The course of the validations and of the loss. Absent in files of older versions.
    #[serde(default)]
    pub watch: Watch,
    /// The network.
    pub model: ModelConfig,
    /// The network's parameters, in the order of the vectors. The vectors of a checkpoint have no gaps.
    pub layout: ParameterLayout,
}

impl RunState {
    /// The state before the first step.
    pub(crate) fn new(model: ModelConfig, layout: ParameterLayout) -> Self {
        Self {
            step: 0,
            updates: 0,
            elapsed: 0.0,
            validated: None,
            scores: BTreeMap::new(),
            best: None,
            loss_scale: None,
            data: None,
            schedule: None,
            watch: Watch::default(),
            model,
            layout,
        }
    }

    /// The place of this state in its run.
    pub(crate) fn position(&self) -> Position {
        Position { step: self.step, elapsed: self.elapsed }
    }
}

/// The complete state of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Everything but the vectors.
    pub state: RunState,
    /// Weights `[p]`.
    pub weights: Vec<f32>,
    /// Moving average of the weights `[p]`.
    pub average: Vec<f32>,
    /// Moving averages of the gradient and of its square, `[p]` each.
    pub moments: [Vec<f32>; 2],
}

const NAMES: [&str; 4] = ["average", "moment_1", "moment_2", "weights"];

impl Checkpoint {
    fn vectors(&self) -> [&Vec<f32>; 4] {
        [&self.average, &self.moments[0], &self.moments[1], &self.weights]
    }

    /// Writes the file `path` completely or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        let state = serde_json::to_string(&self.state).expect("numbers and names serialise");
        let bytes = self.vectors().map(|v| v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
        let views = NAMES.iter().zip(&bytes).map(|(name, bytes)| {
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes);
            (*name, view.expect("four bytes an element"))
        });
        let metadata = HashMap::from([
            ("checksum".to_string(), checksum(&state, bytes.iter().map(Vec::as_slice))),
            ("state".to_string(), state.clone()),
        ]);
        let file =
            safetensors::serialize(views, Some(metadata)).expect("names are unique and the header is small");
        file::write_whole(path, &file)
            .map_err(|source| CheckpointError::Write { path: path.to_path_buf(), source })
    }

    /// Reads and checks the file.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let file = std::fs::read(path)
            .map_err(|source| CheckpointError::Read { path: path.to_path_buf(), source })?;
        Self::parse(&file).map_err(|reason| CheckpointError::Damaged { path: path.to_path_buf(), reason })
    }

    fn parse(file: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(file).map_err(|e| e.to_string())?;
        let tensors = SafeTensors::deserialize(file).map_err(|e| e.to_string())?;
        let metadata = header.metadata().as_ref().ok_or("it has no metadata")?;
        let field = |name: &str| metadata.get(name).ok_or(format!("its metadata lacks \"{name}\""));
        let views = NAMES.iter().map(|name| tensors.tensor(name).map_err(|e| e.to_string()));
        let views = views.collect::<Result<Vec<_>, _>>()?;
        let state = field("state")?;
        if *field("checksum")? != checksum(state, views.iter().map(TensorView::data)) {
            return Err("its checksum does not match its content".into());
        }
        let state: RunState = serde_json::from_value(upgraded(state)?).map_err(|e| e.to_string())?;
        let parameters = state.layout.parameters();
        let mut vectors = Vec::with_capacity(NAMES.len());
        for (name, view) in NAMES.iter().zip(&views) {
            if view.dtype() != Dtype::F32 || view.shape() != [parameters] {
                return Err(format!("{name} is not {parameters} numbers"));
            }
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            vectors.push(values.collect::<Vec<f32>>());
        }
        let [average, first, second, weights] =
            <[Vec<f32>; 4]>::try_from(vectors).expect("as many vectors as names");
        Ok(Self { state, weights, average, moments: [first, second] })
    }
}

/// The state in `text`, in the present format of networks.
fn upgraded(text: &str) -> Result<Value, String> {
    let mut state: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    if state.get_mut("model").and_then(upgrade_config).is_some()
        && let Some(Value::Array(layout)) = state.get_mut("layout")
    {
        for name in layout.iter_mut().filter_map(|entry| entry.get_mut("name")) {
            *name = name.as_str().map(upgrade_parameter_name).into();
        }
    }
    Ok(state)
}

/// CRC-32, which detects every change of a single byte.
fn checksum<'a>(state: &str, vectors: impl Iterator<Item = &'a [u8]>) -> String {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(state.as_bytes());
    for vector in vectors {
        hasher.update(vector);
    }
    format!("{:08x}", hasher.finalize())
}

#[cfg(test)]
pub(crate) mod tests;
