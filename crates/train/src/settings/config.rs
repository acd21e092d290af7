//! The settings of a training run. This file is their only definition: the TOML form, the flags, the defaults, the
//! bounds, the help texts and `docs/settings.md` follow from it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use unbraid_model::{Precision, Recompute, plain_words};

use crate::data::dataset::DataOptions;
use crate::data::roots::Roots;
use crate::settings::declare::settings;
use crate::settings::setting::{
    Kind, PROBABILITY, SettingType, above, above_to, at_least, between, from_below, value_text,
};

/// The reason why settings cannot be used. Every message names the setting.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the settings {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The text is not TOML, or has an unknown setting or a value of the wrong type.
    #[error("settings{}: {message}", origin.as_ref().map(|p| format!(" {}", p.display())).unwrap_or_default())]
    Parse {
        /// The file, if the text came from one.
        origin: Option<PathBuf>,
        /// The parser's message, with the line and the setting.
        message: String,
    },
    /// Invalid values. The list holds all of them, not only the first.
    #[error("invalid settings:\n  {}", .0.join("\n  "))]
    Invalid(Vec<String>),
    /// `model` is neither a known network nor a usable network file.
    #[error("model = \"{model}\": {message}")]
    Model {
        /// The value of the setting.
        model: String,
        /// The problem.
        message: String,
    },
}

/// The rule that turns gradients into updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// AdamW for every parameter.
    AdamW,
    /// Muon for the matrices of linear layers, AdamW for the rest.
    Muon,
}

impl SettingType for OptimizerKind {
    const KIND: Kind = Kind::Choice(&["adamw", "muon"]);
}

/// What a stem without a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MissingStems {
    /// A fault of the data set.
    Fault,
    /// Silent.
    Silent,
}

impl SettingType for MissingStems {
    const KIND: Kind = Kind::Choice(&["fault", "silent"]);
}

// A chunk of more sequences than this is larger than any plane of tokens.
const MOST_SEQUENCES: f64 = (1 << 20) as f64;

settings! {
    /// The settings of a training run.
    ///
    /// A TOML file has these fields at its top level. A field that it leaves out has the value of
    /// [`TrainConfig::default`]. `run`, `data` and `model` have no usable default.
    pub struct TrainConfig;

    group "Run" {
        /// Folder of the run: settings, metrics, checkpoints, model. It is created if it is missing. Only one process
        /// at a time can train in it.
        run: PathBuf = PathBuf::new(), flag: "out", value_name: "DIR", may_change_on_resume: true,
            required: Some("the folder of the run, for example runs/first");
        /// Data set: a folder with songs, as train/TRACK/STEM.wav (MUSDB18-HQ), train/TRACK.stem.mp4 (MUSDB18) or
        /// TRACK/STEM.wav. Several folders are a list in TOML, and several flags. FOLDER*2 counts twice. A relative path
        /// starts from the working directory, and the run's config.toml keeps the absolute one.
        data: Roots = Roots::default(), value_name: "DIR", may_change_on_resume: true,
            required: Some("the folder that contains train/");
        /// Stem of files that are not named like it, by their names without the ending. The files of a stem are added.
        /// A file of an empty stem is not used.
        stems_map: BTreeMap<String, String> = BTreeMap::new(), value_name: "FILE=STEM,…";
        /// What a stem without a file is: a fault, or silent.
        missing_stems: MissingStems = MissingStems::Fault, value_name: "WHAT";
        /// Network: the name of a standard network, or a TOML file. A resumed run must have the same network.
        model: String = String::new(), value_name: "NAME", may_change_on_resume: true, affects_memory: true,
            required: Some("the name of a network, for example tfswa_unet_tiny, or the path of its .toml file");
        /// Steps after which the run ends. If a resumed run gets other limits (steps, max_minutes), its learning rate
        /// goes on without a jump and falls to `final_learning_rate` at the new end. A run that had ended goes on at
        /// `final_learning_rate`, unless it gets another `learning_rate`.
        steps: u64 = 100_000, bounds: at_least(1.0), value_name: "STEPS", may_change_on_resume: true;
        /// Minutes after which the run ends. Whichever of steps and minutes is reached first ends the run, and the
        /// learning rate follows whichever is closer to its end.
        max_minutes: Option<f64> = None, flag: "minutes", bounds: above(0.0), value_name: "MINUTES",
            may_change_on_resume: true;
        /// Seed of the initial weights, the validation split and every segment.
        seed: u64 = 0;
    }

    group "Batch" {
        /// Length of a training segment in seconds.
        segment_seconds: f64 = 6.0, flag: "segment", bounds: between(0.01, 120.0), value_name: "SECONDS",
            affects_memory: true;
        /// Segments per step.
        batch_size: usize = 4, bounds: between(1.0, 4096.0), affects_memory: true;
    }

    group "Memory" {
        /// Micro-batch: segments on the device at once, 0 for the whole batch. Gradients are accumulated over the
        /// batch.
        micro_batch_size: usize = 0, may_change_on_resume: true, affects_memory: true;
        /// Number format of the network's tokens and their gradients. f16 halves their memory and needs a GPU with
        /// 16-bit floats.
        precision: Precision = Precision::F32, value_name: "FORMAT", may_change_on_resume: true,
            affects_memory: true;
        /// Gradient checkpointing: the parts that the backward pass recomputes. It recomputes nothing, every sub-layer
        /// or every block.
        recompute: Recompute = Recompute::None, value_name: "PARTS", may_change_on_resume: true,
            affects_memory: true;
        /// Frequency bins that a time sub-layer processes at once, 0 for all.
        tsa_chunk_size: usize = 0, bounds: between(0.0, MOST_SEQUENCES), value_name: "BINS",
            may_change_on_resume: true, affects_memory: true;
        /// Frames that any other sub-layer processes at once, 0 for all.
        fsa_chunk_size: usize = 0, bounds: between(0.0, MOST_SEQUENCES), value_name: "FRAMES",
            may_change_on_resume: true, affects_memory: true;
        /// Maximum memory of a step in bytes. A step that uses more ends the run.
        memory_limit: Option<u64> = None, kind: Kind::Bytes, bounds: at_least(1.0), value_name: "SIZE",
            may_change_on_resume: true;
    }

    group "Transform" {
        /// Samples per STFT frame, instead of the network's own value. A resumed run must have the same network.
        n_fft: Option<usize> = None, bounds: between(256.0, 4096.0), value_name: "SAMPLES",
            may_change_on_resume: true, affects_memory: true;
        /// Samples between STFT frames, instead of the network's own value. A resumed run must have the same network.
        hop_length: Option<usize> = None, bounds: between(16.0, 1024.0), value_name: "SAMPLES",
            may_change_on_resume: true, affects_memory: true;
    }

    group "Optimizer" {
        /// Update rule. Muon is for the matrices of linear layers and leaves the other parameters to AdamW.
        optimizer: OptimizerKind = OptimizerKind::AdamW, affects_memory: true;
        /// Peak learning rate. It is reached at the end of the warm-up. A resumed run with another value follows the
        /// course that a run with this value has from its beginning.
        learning_rate: f64 = 5e-4, bounds: above_to(0.0, 1.0), value_name: "RATE", may_change_on_resume: true;
        /// Learning rate at the end of the run. It is at most `learning_rate`.
        final_learning_rate: f64 = 5e-6, bounds: at_least(0.0), value_name: "RATE", may_change_on_resume: true;
        /// Steps over which the learning rate rises linearly from 0.
        warmup_steps: u64 = 1000, value_name: "STEPS", may_change_on_resume: true;
        /// Decay rates of the gradient's first and second moments.
        betas: [f64; 2] = [0.9, 0.999], bounds: from_below(0.0, 1.0);
        /// Decoupled weight decay. It applies to every parameter with two or more axes: matrices and kernels, and also
        /// the relative-position bias tables and the frequency embedding.
        weight_decay: f64 = 0.01, bounds: at_least(0.0);
        /// Maximum norm of the gradient over all parameters. A larger gradient is clipped to it.
        clip_norm: f64 = 5.0, bounds: above(0.0);
        /// Decay of the weights' moving average. Validation and export use this average.
        ema_decay: f64 = 0.999, bounds: from_below(0.0, 1.0);
    }

    group "Loss" {
        /// Terms of the loss and their weights. A term that is not named has no weight.
        loss: BTreeMap<String, f64> = BTreeMap::from([("waveform".into(), 1.0), ("spectral".into(), 1.0)]),
            bounds: at_least(0.0), affects_memory: true;
        /// Transform sizes of the spectral loss in samples. The hop is a quarter of the size.
        loss_resolutions: Vec<usize> = vec![4096, 2048, 1024, 512, 256], bounds: between(256.0, 4096.0),
            value_name: "SAMPLES,…", affects_memory: true;
    }

    group "Augmentation" {
        /// Probability that stems come from different positions of different tracks.
        remix_probability: f64 = 0.5, bounds: PROBABILITY, value_name: "P";
        /// Range of the factor that multiplies each stem. The factor is drawn uniformly.
        gain_range: [f32; 2] = [0.25, 1.25], bounds: above(0.0), value_name: "LOW,HIGH";
        /// Probability that a stem's left and right channels are swapped.
        channel_swap_probability: f64 = 0.5, bounds: PROBABILITY, value_name: "P";
        /// Probability that a stem's sign is flipped.
        sign_flip_probability: f64 = 0.5, bounds: PROBABILITY, value_name: "P";
        /// Minimum mean absolute sample of an excerpt. A quieter excerpt is drawn again, a limited number of times.
        min_mean_abs: f32 = 1e-3, bounds: from_below(0.0, 1.0), value_name: "LEVEL";
    }

    group "Validation and checkpoints" {
        /// Steps between validations, 0 for none.
        validation_interval: u64 = 5000, value_name: "STEPS", may_change_on_resume: true;
        /// Share of the training tracks kept for validation. MUSDB18 has its own validation tracks instead.
        validation_share: f64 = 0.1, bounds: from_below(0.0, 1.0), value_name: "SHARE";
        /// The songs kept for validation, instead of a share or MUSDB18's own.
        validation_songs: Vec<String> = Vec::new(), value_name: "SONG";
        /// Scored seconds of each validation song, from its start. Without this setting, whole songs are scored.
        validation_seconds: Option<f64> = None, bounds: at_least(1.0), value_name: "SECONDS";
        /// Steps between checkpoints, 0 for one at the end only.
        checkpoint_interval: u64 = 1000, value_name: "STEPS", may_change_on_resume: true;
        /// Newest checkpoints to keep, in addition to the best one.
        keep_checkpoints: usize = 2, bounds: at_least(1.0), may_change_on_resume: true;
        /// Steps between lines of metrics.jsonl.
        log_interval: u64 = 10, bounds: at_least(1.0), value_name: "STEPS", may_change_on_resume: true;
    }

    group "Data loading" {
        /// Threads that read and mix segments. Their number does not change the data.
        workers: usize = 2, bounds: between(1.0, 256.0), may_change_on_resume: true;
        /// Batches that each thread prepares ahead.
        prefetch: usize = 2, bounds: between(1.0, 1024.0), may_change_on_resume: true;
    }
}

impl TrainConfig {
    /// Reads TOML. It does not validate, so that flags can still replace values.
    ///
    /// # Errors
    /// [`ConfigError::Parse`].
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Self::parse(text, None)
    }

    /// Reads a TOML file. It does not validate.
    ///
    /// # Errors
    /// [`ConfigError::Read`] and [`ConfigError::Parse`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
        Self::parse(&text, Some(path))
    }

    fn parse(text: &str, origin: Option<&Path>) -> Result<Self, ConfigError> {
        // The text itself is parsed where possible, because the errors of a table do not name the line.
        let parsed = upgraded(text).map_or_else(|| toml::from_str(text), Table::try_into);
        parsed.map_err(|error| ConfigError::Parse {
            origin: origin.map(Path::to_path_buf),
            message: plain_words(error.to_string().trim_end()),
        })
    }

    /// The settings as a TOML table. An optional setting that is not set is absent.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] for a value that TOML cannot hold: a path that is not UTF-8, or an integer above
    /// `i64::MAX`.
    pub fn to_table(&self) -> Result<Table, ConfigError> {
        let (mut table, mut problems) = (Table::new(), Vec::new());
        for (setting, value) in SETTINGS.iter().zip(self.value_results()) {
            match value {
                Ok(Some(value)) => drop(table.insert(setting.name.into(), value)),
                Ok(None) => {}
                Err(_) if matches!(setting.kind, Kind::Path | Kind::Paths) => {
                    problems.push(format!("{}: the path is not UTF-8", setting.name));
                }
                Err(error) => problems.push(format!("{}: {error}", setting.name)),
            }
        }
        if problems.is_empty() { Ok(table) } else { Err(ConfigError::Invalid(problems)) }
    }

    /// The settings with some values replaced.
    ///
    /// # Errors
    /// [`ConfigError::Parse`] for an unknown setting or a value of the wrong type.
    pub fn with_values(&self, values: Table) -> Result<Self, ConfigError> {
        let mut table = self.to_table()?;
        table.extend(values);
        table.try_into().map_err(|error: toml::de::Error| ConfigError::Parse {
            origin: None,
            message: plain_words(&error.to_string()),
        })
    }

    /// The TOML form, with every setting written out.
    ///
    /// # Panics
    /// If a value is one that TOML cannot hold. [`TrainConfig::validate`] refuses those.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("validated settings have a TOML form")
    }

    /// Checks every setting, and the settings that depend on each other. `Ok` means that training can start.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with all problems.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let table = self.to_table()?;
        let mut problems = Vec::new();
        for setting in SETTINGS {
            let Some(value) = table.get(setting.name) else { continue };
            match setting.required {
                Some(required) if value.as_str() == Some("") => {
                    problems.push(format!("{} is missing: it must be {required}", setting.name));
                }
                _ if !setting.allows(value) => {
                    let (name, value) = (setting.name, value_text(value));
                    problems.push(format!("{name} = {value}: it must be {}", setting.accepted()));
                }
                _ => {}
            }
        }
        let mut check = |ok: bool, message: String| {
            if !ok {
                problems.push(message);
            }
        };
        check(
            self.final_learning_rate <= self.learning_rate,
            format!(
                "final_learning_rate = {}: it must be at most learning_rate = {}",
                self.final_learning_rate, self.learning_rate
            ),
        );
        let [low, high] = self.gain_range;
        check(low <= high, format!("gain_range = [{low}, {high}]: the smaller factor must come first"));
        check(
            self.loss.values().any(|weight| *weight > 0.0),
            "loss: at least one term must have a weight above 0, or nothing is learnt".into(),
        );
        check(
            self.loss.get("spectral").is_none_or(|weight| *weight == 0.0)
                || !self.loss_resolutions.is_empty(),
            "loss_resolutions: the spectral loss needs at least one transform size".into(),
        );
        let in_bounds = |n_fft: &&usize| (256..=4096).contains(*n_fft);
        for &n_fft in self.loss_resolutions.iter().filter(in_bounds) {
            if let Err(error) = unbraid_ops::Stft::new(n_fft, n_fft / 4) {
                check(false, format!("loss_resolutions: {error}"));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems)) }
    }

    /// How the files of the data set become stems.
    pub(crate) fn data_options(&self) -> DataOptions {
        DataOptions {
            stems_map: self.stems_map.clone(),
            missing_is_silent: self.missing_stems == MissingStems::Silent,
        }
    }

    /// The settings that prevent resuming the saved run, with both values; `None` if there are none.
    ///
    /// All settings must be equal, except those that are declared with `may_change_on_resume`.
    pub(crate) fn differs_from(&self, saved: &Self) -> Option<String> {
        let text = |value: Result<Option<Value>, toml::ser::Error>| match value {
            Ok(Some(value)) => value_text(&value),
            Ok(None) => "not set".into(),
            Err(error) => error.to_string(),
        };
        let values = self.value_results().into_iter().zip(saved.value_results());
        let fixed = SETTINGS.iter().zip(values).filter(|(setting, _)| !setting.may_change_on_resume);
        let differences: Vec<_> = fixed
            .filter(|(_, values)| !matches!(values, (Ok(now), Ok(before)) if now == before))
            .map(|(setting, (now, before))| {
                format!("{} is {}, was {}", setting.name, text(now), text(before))
            })
            .collect();
        (!differences.is_empty()).then(|| differences.join("; "))
    }
}

/// Settings of an earlier version, in which `loss_waveform` and `loss_spectral` took the place of the table `loss`.
/// `None` for settings of this version.
fn upgraded(text: &str) -> Option<Table> {
    let mut table: Table = toml::from_str(text).ok()?;
    let names = ["waveform", "spectral"].map(|name| (name, format!("loss_{name}")));
    if table.contains_key("loss") || !names.iter().any(|(_, old)| table.contains_key(old)) {
        return None;
    }
    let weights = names.map(|(name, old)| (name.to_owned(), table.remove(&old).unwrap_or(Value::Float(1.0))));
    table.insert("loss".into(), Value::Table(weights.into_iter().collect()));
    Some(table)
}

#[cfg(test)]
mod tests;
