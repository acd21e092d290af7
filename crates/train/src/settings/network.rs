//! The network that a run's settings name, and what follows from both.

use unbraid_model::ModelConfig;

use crate::settings::config::{ConfigError, TrainConfig};

impl TrainConfig {
    /// The network that `model` names, with checks that need both: segment against transforms.
    pub fn model_config(&self) -> Result<ModelConfig, ConfigError> {
        let refuse = |message: String| ConfigError::Model { model: self.model.clone(), message };
        let mut model = if self.model.ends_with(".toml") {
            let text =
                std::fs::read_to_string(&self.model).map_err(|e| refuse(format!("cannot be read: {e}")))?;
            ModelConfig::from_toml(&text).map_err(|e| refuse(e.to_string()))?
        } else {
            ModelConfig::preset(&self.model).map_err(|e| refuse(e.to_string()))?
        };
        model.n_fft = self.n_fft.unwrap_or(model.n_fft);
        model.hop_length = self.hop_length.unwrap_or(model.hop_length);
        model.tsa_chunk_size = self.tsa_chunk_size;
        model.fsa_chunk_size = self.fsa_chunk_size;
        model.validate().map_err(|e| refuse(e.to_string()))?;
        let longest = self.loss_resolutions.iter().copied().max().unwrap_or(0).max(model.n_fft);
        let samples = self.segment_samples(&model);
        if samples <= longest / 2 {
            return Err(ConfigError::Invalid(vec![format!(
                "segment_seconds = {}: {samples} samples are too few for a transform of {longest}; take at least {} s",
                self.segment_seconds,
                (longest as f64 / 2.0 + 1.0) / f64::from(model.sample_rate),
            )]));
        }
        Ok(model)
    }

    /// Examples of a batch that are on the device at once.
    pub fn examples_at_once(&self) -> usize {
        if self.micro_batch_size == 0 { self.batch_size } else { self.micro_batch_size.min(self.batch_size) }
    }

    /// Samples of a training segment.
    pub fn segment_samples(&self, model: &ModelConfig) -> usize {
        (self.segment_seconds * f64::from(model.sample_rate)).round() as usize
    }
}
