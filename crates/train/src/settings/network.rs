//! The network that a run's settings name, and the values that depend on both.

use unbraid_base::counted;
use unbraid_model::{Execution, ModelConfig};

use crate::settings::config::{ConfigError, TrainConfig};

impl TrainConfig {
    /// The network that `model` names: a standard network, or a file that ends in `.toml`. The checks include the length of a
    /// segment, which the STFT and the loss's transforms bound from below.
    ///
    /// # Errors
    /// [`ConfigError::Model`] if the model's configuration cannot be read or is invalid, [`ConfigError::Invalid`] if a
    /// segment is too short.
    pub fn model_config(&self) -> Result<ModelConfig, ConfigError> {
        let refuse = |message: String| ConfigError::Model { model: self.model.clone(), message };
        let mut model = if self.model_is_file() {
            let text =
                std::fs::read_to_string(&self.model).map_err(|e| refuse(format!("cannot be read: {e}")))?;
            ModelConfig::from_toml(&text).map_err(|e| refuse(e.to_string()))?
        } else {
            ModelConfig::standard(&self.model).map_err(|e| refuse(e.to_string()))?
        };
        model.n_fft = self.n_fft.unwrap_or(model.n_fft);
        model.hop_length = self.hop_length.unwrap_or(model.hop_length);
        model.validate().map_err(|e| refuse(e.to_string()))?;
        // The network's STFT reflects half a frame at each end.
        self.check_segment(&model, model.n_fft / 2 + 1)?;
        Ok(model)
    }

    /// Checks that a segment has at least `least` samples.
    pub(crate) fn check_segment(&self, model: &ModelConfig, least: usize) -> Result<(), ConfigError> {
        let samples = self.segment_samples(model);
        if samples >= least {
            return Ok(());
        }
        let milliseconds = (1000.0 * least as f64 / f64::from(model.sample_rate)).ceil();
        Err(ConfigError::Invalid(vec![format!(
            "segment_seconds = {}: {} are too few; the minimum is {} s",
            self.segment_seconds,
            counted(samples as u64, "sample"),
            milliseconds / 1000.0,
        )]))
    }

    /// How the run executes its network.
    pub fn execution(&self) -> Execution {
        Execution {
            tsa_chunk_size: self.tsa_chunk_size,
            fsa_chunk_size: self.fsa_chunk_size,
            recompute: self.recompute,
            precision: self.precision,
        }
    }

    /// Number of examples of a batch that are on the device at once.
    pub fn examples_at_once(&self) -> usize {
        if self.micro_batch_size == 0 { self.batch_size } else { self.micro_batch_size.min(self.batch_size) }
    }

    /// Number of samples of a training segment.
    pub fn segment_samples(&self, model: &ModelConfig) -> usize {
        (self.segment_seconds * f64::from(model.sample_rate)).round() as usize
    }
}
