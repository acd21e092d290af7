//! What a training run is told: one flat table of plain fields, read from TOML and overridden by flags.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use unbraid_model::{Precision, Recompute};

/// Why a configuration cannot be used. Every message names the field.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not TOML, an unknown field, or a value of the wrong type.
    #[error("configuration{}: {message}", origin.as_ref().map(|p| format!(" {}", p.display())).unwrap_or_default())]
    Parse {
        /// The file it came from, if it came from one.
        origin: Option<PathBuf>,
        /// The parser's message, with line and field.
        message: String,
    },
    /// Values that cannot work; all of them, not only the first.
    #[error("the training configuration cannot be used:\n  {}", .0.join("\n  "))]
    Invalid(Vec<String>),
    /// `model` names neither a preset nor a usable model file.
    #[error("model = \"{model}\": {message}")]
    Model {
        /// The value of the field.
        model: String,
        /// What is wrong with it.
        message: String,
    },
}

/// How gradients become updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// AdamW for every parameter.
    AdamW,
    /// Muon for the matrices of linear maps, AdamW for the rest.
    Muon,
}

/// A training run.
///
/// The TOML form has these fields at the top level; what it leaves out has the value of
/// [`TrainConfig::default`]. `run`, `data` and `model` have no usable default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Folder of the run: checkpoints, metrics, the finished model. Made if missing.
    pub run: PathBuf,
    /// Data set in the MUSDB18-HQ layout: the folder that holds `train/`.
    pub data: PathBuf,
    /// Name of a model preset, or the path of a model's TOML file.
    pub model: String,

    /// Length of a training segment.
    pub segment_seconds: f64,
    /// Segments of a step.
    pub batch_size: usize,
    /// Segments of a step that are on the device at once: their gradients add up to the batch's. 0: all.
    pub micro_batch_size: usize,
    /// Storage of the network's tokens and their gradients. `F16` needs a GPU that has it.
    pub precision: Precision,
    /// What is recomputed in the backward pass instead of kept: nothing, every sub-layer, or every block.
    pub recompute: Recompute,
    /// A step that takes more bytes of memory than this ends the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<u64>,
    /// In place of the network's own: samples of an STFT frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_fft: Option<usize>,
    /// In place of the network's own: samples from frame to frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop_length: Option<usize>,
    /// In place of the network's own: bins taken through a time sub-layer at once; 0 takes all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsa_chunk_size: Option<usize>,
    /// In place of the network's own: frames taken through any other sub-layer at once; 0 takes all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fsa_chunk_size: Option<usize>,
    /// The run ends after this many steps …
    pub steps: u64,
    /// … or after this many minutes, whichever comes first. The learning rate then follows the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_minutes: Option<f64>,

    /// How gradients become updates.
    pub optimizer: OptimizerKind,
    /// Highest learning rate, reached at the end of the warm-up.
    pub learning_rate: f64,
    /// Learning rate at the end of the run.
    pub final_learning_rate: f64,
    /// Steps over which the learning rate rises linearly from 0.
    pub warmup_steps: u64,
    /// Decay rates of AdamW's first and second moment.
    pub betas: [f64; 2],
    /// Decoupled weight decay; matrices and kernels only, not biases and norms.
    pub weight_decay: f64,
    /// Gradients are scaled down so that their norm over all parameters is at most this.
    pub clip_norm: f64,
    /// Decay of the weights' moving average, which is what is validated and exported.
    pub ema_decay: f64,

    /// Weight of the L1 loss of the waveform.
    pub loss_waveform: f64,
    /// Weight of the L1 loss of the complex spectrograms.
    pub loss_spectral: f64,
    /// Transform sizes of the spectral loss, each with a hop of a quarter.
    pub loss_resolutions: Vec<usize>,

    /// Probability that the stems of a segment come from different places of different tracks.
    pub remix_probability: f64,
    /// Each stem is multiplied by a factor drawn uniformly from this range.
    pub gain_range: [f32; 2],
    /// Probability that a stem's left and right change places.
    pub channel_swap_probability: f64,
    /// Probability that a stem's sign is flipped.
    pub sign_flip_probability: f64,
    /// Places whose mean absolute sample is below this are drawn again (a bounded number of times).
    pub min_mean_abs: f32,

    /// Decides initial weights, validation share and every segment.
    pub seed: u64,
    /// Steps between validations; 0: never.
    pub validation_interval: u64,
    /// Share of the training tracks kept for validation, where they are not MUSDB18's.
    pub validation_share: f64,
    /// At most this much of each validation song, from its start; absent: whole songs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_seconds: Option<f64>,
    /// Steps between checkpoints; 0: only at the end.
    pub checkpoint_interval: u64,
    /// Newest checkpoints kept, beside the best.
    pub keep_checkpoints: usize,
    /// Steps between lines of `metrics.jsonl`.
    pub log_interval: u64,

    /// Threads that read and mix segments. Does not change the data.
    pub workers: usize,
    /// Batches that each worker prepares ahead.
    pub prefetch: usize,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            run: PathBuf::new(),
            data: PathBuf::new(),
            model: String::new(),
            segment_seconds: 6.0,
            batch_size: 4,
            micro_batch_size: 0,
            precision: Precision::F32,
            recompute: Recompute::None,
            memory_limit: None,
            n_fft: None,
            hop_length: None,
            tsa_chunk_size: None,
            fsa_chunk_size: None,
            steps: 100_000,
            max_minutes: None,
            optimizer: OptimizerKind::AdamW,
            learning_rate: 5e-4,
            final_learning_rate: 5e-6,
            warmup_steps: 1000,
            betas: [0.9, 0.999],
            weight_decay: 0.01,
            clip_norm: 5.0,
            ema_decay: 0.999,
            loss_waveform: 1.0,
            loss_spectral: 1.0,
            loss_resolutions: vec![4096, 2048, 1024, 512, 256],
            remix_probability: 0.5,
            gain_range: [0.25, 1.25],
            channel_swap_probability: 0.5,
            sign_flip_probability: 0.5,
            min_mean_abs: 1e-3,
            seed: 0,
            validation_interval: 5000,
            validation_share: 0.1,
            validation_seconds: None,
            checkpoint_interval: 1000,
            keep_checkpoints: 2,
            log_interval: 10,
            workers: 2,
            prefetch: 2,
        }
    }
}

impl TrainConfig {
    /// Reads TOML; does not validate, so that flags can still be laid over it.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|e| ConfigError::Parse { origin: None, message: e.to_string() })
    }

    /// Reads a TOML file; does not validate.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
        toml::from_str(&text)
            .map_err(|e| ConfigError::Parse { origin: Some(path.to_path_buf()), message: e.to_string() })
    }

    /// The TOML form, every field written out.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a flat table of numbers, strings and paths serialises")
    }

    /// Checks every field and all of them together; `Ok` means that training can start.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        let mut check = |ok: bool, message: String| {
            if !ok {
                problems.push(message);
            }
        };
        let probability = |p: f64| (0.0..=1.0).contains(&p);
        check(!self.run.as_os_str().is_empty(), "run: name the folder of the run, as runs/first".into());
        check(!self.data.as_os_str().is_empty(), "data: name the folder that holds train/".into());
        // They are written into TOML.
        for (name, path) in [("run", &self.run), ("data", &self.data)] {
            check(
                path.to_str().is_some(),
                format!("{name} = {}: its name is not UTF-8; rename the folder", path.display()),
            );
        }
        check(
            !self.model.is_empty(),
            "model: name a preset, as tfswa_unet_tiny, or a model's .toml file".into(),
        );
        check(
            self.segment_seconds.is_finite() && (0.01..=120.0).contains(&self.segment_seconds),
            format!("segment_seconds = {}: must be from 0.01 to 120", self.segment_seconds),
        );
        check(
            (1..=4096).contains(&self.batch_size),
            format!("batch_size = {}: must be from 1 to 4096", self.batch_size),
        );
        check(self.steps > 0, "steps = 0: must be at least 1".into());
        check(
            self.max_minutes.is_none_or(|m| m.is_finite() && m > 0.0),
            format!(
                "max_minutes = {}: must be above 0; leave it out for no limit",
                self.max_minutes.unwrap_or(0.0)
            ),
        );
        check(
            self.learning_rate.is_finite() && self.learning_rate > 0.0 && self.learning_rate <= 1.0,
            format!("learning_rate = {}: must be above 0, at most 1", self.learning_rate),
        );
        check(
            self.final_learning_rate >= 0.0 && self.final_learning_rate <= self.learning_rate,
            format!("final_learning_rate = {}: must be from 0 to learning_rate", self.final_learning_rate),
        );
        check(
            self.betas.iter().all(|b| (0.0..1.0).contains(b)),
            format!("betas = {:?}: both must be from 0 to below 1", self.betas),
        );
        check(
            self.weight_decay.is_finite() && self.weight_decay >= 0.0,
            format!("weight_decay = {}: must be 0 or more", self.weight_decay),
        );
        check(
            self.clip_norm.is_finite() && self.clip_norm > 0.0,
            format!("clip_norm = {}: must be above 0; a large value clips nothing", self.clip_norm),
        );
        check(
            (0.0..1.0).contains(&self.ema_decay),
            format!("ema_decay = {}: must be from 0 to below 1", self.ema_decay),
        );
        for (name, weight) in [("loss_waveform", self.loss_waveform), ("loss_spectral", self.loss_spectral)] {
            check(weight.is_finite() && weight >= 0.0, format!("{name} = {weight}: must be 0 or more"));
        }
        check(
            self.loss_waveform + self.loss_spectral > 0.0,
            "loss_waveform and loss_spectral: one of them must be above 0, or nothing is learnt".into(),
        );
        check(
            self.loss_spectral == 0.0 || !self.loss_resolutions.is_empty(),
            "loss_resolutions: name at least one transform size, or set loss_spectral = 0".into(),
        );
        for &n_fft in &self.loss_resolutions {
            if let Err(e) = unbraid_ops::Stft::new(n_fft, (n_fft / 4).max(1)) {
                check(false, format!("loss_resolutions: {e}"));
            }
        }
        for (name, p) in [
            ("remix_probability", self.remix_probability),
            ("channel_swap_probability", self.channel_swap_probability),
            ("sign_flip_probability", self.sign_flip_probability),
        ] {
            check(probability(p), format!("{name} = {p}: must be from 0 to 1"));
        }
        let [low, high] = self.gain_range;
        check(
            low.is_finite() && high.is_finite() && 0.0 < low && low <= high,
            format!("gain_range = {:?}: must be two factors above 0, the smaller first", self.gain_range),
        );
        check(
            self.min_mean_abs.is_finite() && (0.0..1.0).contains(&self.min_mean_abs),
            format!("min_mean_abs = {}: must be from 0 to below 1", self.min_mean_abs),
        );
        check(
            (0.0..1.0).contains(&self.validation_share),
            format!("validation_share = {}: must be from 0 to below 1", self.validation_share),
        );
        check(
            self.validation_seconds.is_none_or(|s| s.is_finite() && s >= 1.0),
            format!("validation_seconds = {}: must be at least 1", self.validation_seconds.unwrap_or(0.0)),
        );
        check(self.keep_checkpoints > 0, "keep_checkpoints = 0: must be at least 1".into());
        check(self.log_interval > 0, "log_interval = 0: must be at least 1".into());
        check(
            (1..=256).contains(&self.workers),
            format!("workers = {}: must be from 1 to 256", self.workers),
        );
        check(
            (1..=1024).contains(&self.prefetch),
            format!("prefetch = {}: must be from 1 to 1024", self.prefetch),
        );
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems)) }
    }

    /// The first field in which a resumed run would no longer be the run that was interrupted.
    ///
    /// Lengths, intervals and threads may change; what decides the data and the updates may not.
    pub(crate) fn differs_from(&self, saved: &Self) -> Option<String> {
        macro_rules! first_difference {
            ($($field:ident),+) => {$(
                if self.$field != saved.$field {
                    return Some(format!("{} is {:?}, was {:?}", stringify!($field), self.$field, saved.$field));
                }
            )+};
        }
        first_difference!(
            segment_seconds,
            batch_size,
            optimizer,
            betas,
            weight_decay,
            clip_norm,
            ema_decay,
            loss_waveform,
            loss_spectral,
            loss_resolutions,
            remix_probability,
            gain_range,
            channel_swap_probability,
            sign_flip_probability,
            min_mean_abs,
            seed,
            validation_share
        );
        None
    }
}

#[cfg(test)]
mod tests;
