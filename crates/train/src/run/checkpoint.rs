//! The state of a run in one file, which is written completely or not at all. Reading detects a damaged file.
//!
//! The file is safetensors with four vectors over all parameters: the weights, their moving average, and the two
//! moments of the optimiser. Its metadata holds the rest of the state and a checksum over everything. No random state
//! is saved, because a segment is a function of (seed, index).

use crate::step::loss_scale::LossScale;
use crate::step::parameters::ParameterLayout;
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
    /// The network.
    pub model: ModelConfig,
    /// The network's parameters, in the order of the vectors.
    pub layout: ParameterLayout,
}

impl RunState {
    /// The state before the first step.
    pub(crate) fn new(model: ModelConfig, layout: ParameterLayout) -> Self {
        let (scores, validated, best, loss_scale, data) = (BTreeMap::new(), None, None, None, None);
        Self { step: 0, updates: 0, elapsed: 0.0, validated, scores, best, loss_scale, data, model, layout }
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
        let parameters = state.layout.len();
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
        Ok(Self { folder })
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
mod tests {
    use super::*;
    use burn::nn::LinearConfig;
    use burn::tensor::Device;

    fn checkpoint(step: u64) -> Checkpoint {
        let net = LinearConfig::new(2, 3).init(&Device::flex());
        let vector = |scale: f32| (0..9).map(|i| scale * (i as f32 - 3.7)).collect::<Vec<f32>>();
        Checkpoint {
            state: RunState {
                step,
                updates: step,
                elapsed: 1.25,
                validated: None,
                scores: Default::default(),
                best: None,
                loss_scale: None,
                data: Some(7),
                model: ModelConfig::standard("tfswa_unet_tiny").unwrap(),
                layout: ParameterLayout::of(&net),
            },
            weights: vector(0.1),
            average: vector(-1.0),
            moments: [vector(1e-30), vector(3e7)],
        }
    }

    #[test]
    fn a_checkpoint_survives_a_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.safetensors");
        checkpoint(7).write(&path).unwrap();
        assert_eq!(Checkpoint::read(&path).unwrap(), checkpoint(7));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no unfinished file is left");
    }

    /// Networks had no family, their chunk sizes were part of them, and `stem` was the patch embedding.
    #[test]
    fn states_of_earlier_versions_are_read() {
        let model = ModelConfig::standard("tfswa_unet_tiny").unwrap();
        let layout = ParameterLayout::of(&model.init(&Device::flex()));
        let state = RunState::new(model, layout);
        let text = serde_json::to_string(&state).unwrap();
        let earlier = text
            .replace("\"family\":\"tfswa_unet\",", "\"tsa_chunk_size\":32,\"fsa_chunk_size\":0,")
            .replace("\"patch_embed.", "\"stem.");
        assert!(earlier.contains("tsa_chunk_size") && earlier.contains("stem.0.weight"), "{earlier}");
        for text in [earlier, text] {
            assert_eq!(serde_json::from_value::<RunState>(upgraded(&text).unwrap()).unwrap(), state);
        }
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_detected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.safetensors");
        let original = checkpoint(7);
        original.write(&path).unwrap();
        let file = std::fs::read(&path).unwrap();
        for length in 0..file.len() {
            assert!(Checkpoint::parse(&file[..length]).is_err(), "cut at {length}");
        }
        let mut harmless = 0;
        for at in 0..file.len() {
            for flip in [0x01, 0x20, 0x80] {
                let mut damaged = file.clone();
                damaged[at] ^= flip;
                // A flip may pass only if it changes no value, for example in padding.
                match Checkpoint::parse(&damaged) {
                    Ok(read) if read == original => harmless += 1,
                    Ok(_) => panic!("flip {flip:#x} at {at} went unnoticed"),
                    Err(_) => {}
                }
            }
        }
        assert!(harmless < 64, "{harmless}");
    }

    #[test]
    fn the_newest_and_the_best_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(dir.path().join("checkpoints")).unwrap();
        for step in [100, 200, 300, 400, 1_000_000] {
            let mut checkpoint = checkpoint(step);
            checkpoint.state.best = (step >= 200).then_some(Best { step: 200, usdr: 1.0 });
            checkpoints.save(&checkpoint, 2).unwrap();
        }
        assert_eq!(checkpoints.steps(), [200, 400, 1_000_000]);
    }

    #[test]
    fn the_checkpoint_before_a_damaged_one_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(dir.path().to_path_buf()).unwrap();
        for step in [1, 2, 3] {
            checkpoints.save(&checkpoint(step), 5).unwrap();
        }
        let cut = std::fs::read(checkpoints.path(3)).unwrap();
        std::fs::write(checkpoints.path(3), &cut[..cut.len() - 5]).unwrap();
        let mut flipped = std::fs::read(checkpoints.path(2)).unwrap();
        let at = flipped.len() - 10;
        flipped[at] ^= 4;
        std::fs::write(checkpoints.path(2), flipped).unwrap();
        std::fs::write(dir.path().join(".unbraid-xyz.part"), "half").unwrap();

        let checkpoints = Checkpoints::open(dir.path().to_path_buf()).unwrap();
        let mut reported = Vec::new();
        let found = checkpoints.newest(|message| reported.push(message.to_string())).unwrap();
        assert_eq!(found, checkpoint(1));
        assert!(
            reported.len() == 2 && reported[0].contains("step-000003") && reported[1].contains("checksum"),
            "{reported:?}"
        );
        assert_eq!(checkpoints.steps(), [1]);
        assert!(!dir.path().join(".unbraid-xyz.part").exists());
    }
}
