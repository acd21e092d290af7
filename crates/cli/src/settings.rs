//! The settings of a training run, from a file and flags.

use std::path::PathBuf;

use clap::Args;
use unbraid_model::{Precision, Recompute};
use unbraid_train::{Preset, TrainConfig};

/// What `train` and `plan` are both told.
#[derive(Clone, Debug, Args)]
pub(crate) struct Settings {
    /// A TOML file of settings (see configs/train); flags go over it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Settings for little memory, over the file's: low-vram, level1, level2 or level3.
    #[arg(long, value_name = "LEVEL")]
    preset: Option<Preset>,
    /// tfswa_unet, tfswa_unet_small, tfswa_unet_tiny, or a TOML file.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Seconds of an example.
    #[arg(long, value_name = "SECONDS")]
    segment: Option<f64>,
    /// Samples of an STFT frame, in place of the network's own.
    #[arg(long, value_name = "SAMPLES")]
    n_fft: Option<usize>,
    /// Samples from frame to frame, in place of the network's own.
    #[arg(long, value_name = "SAMPLES")]
    hop_length: Option<usize>,
    /// Examples of a step.
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Examples on the device at once; their gradients add up to the batch's. 0: all.
    #[arg(long, value_name = "N")]
    micro_batch_size: Option<usize>,
    /// Storage of the network's tokens: f32, or f16 (half the memory, on GPUs that have it).
    #[arg(long, value_name = "TYPE", value_parser = precision)]
    precision: Option<Precision>,
    /// What is recomputed in the backward pass instead of kept: none, sublayer or block.
    #[arg(long, value_name = "WHAT", value_parser = recompute)]
    recompute: Option<Recompute>,
    /// Bins taken through a time sub-layer at once; 0 takes all.
    #[arg(long, value_name = "BINS")]
    tsa_chunk_size: Option<usize>,
    /// Frames taken through any other sub-layer at once; 0 takes all.
    #[arg(long, value_name = "FRAMES")]
    fsa_chunk_size: Option<usize>,
}

fn precision(text: &str) -> Result<Precision, String> {
    match text {
        "f32" => Ok(Precision::F32),
        "f16" => Ok(Precision::F16),
        _ => Err("f32 or f16".into()),
    }
}

fn recompute(text: &str) -> Result<Recompute, String> {
    match text {
        "none" => Ok(Recompute::None),
        "sublayer" => Ok(Recompute::Sublayer),
        "block" => Ok(Recompute::Block),
        _ => Err("none, sublayer or block".into()),
    }
}

/// A number of bytes, as 8GB, 7.5GiB, 800MB or 1000000.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, f64); 6] =
        [("GiB", 1_073_741_824.0), ("MiB", 1_048_576.0), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0)];
    let (number, unit) =
        UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).unwrap_or((text, 1.0));
    match number.trim().parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok((number * unit) as u64),
        _ => Err("write a size as 8GB, 7.5GiB or 800MB".into()),
    }
}

/// Lays a flag over a setting.
pub(crate) fn set<T>(setting: &mut T, flag: Option<T>) {
    if let Some(value) = flag {
        *setting = value;
    }
}

impl Settings {
    /// The same flags beside another preset.
    pub(crate) fn at(&self, level: Preset) -> Self {
        Self { preset: Some(level), ..self.clone() }
    }

    /// Lays preset and flags over `config`.
    pub(crate) fn over(&self, mut config: TrainConfig) -> TrainConfig {
        if let Some(preset) = self.preset {
            preset.apply(&mut config);
        }
        set(&mut config.model, self.model.clone());
        set(&mut config.segment_seconds, self.segment);
        set(&mut config.n_fft, self.n_fft.map(Some));
        set(&mut config.hop_length, self.hop_length.map(Some));
        set(&mut config.batch_size, self.batch_size);
        set(&mut config.micro_batch_size, self.micro_batch_size);
        set(&mut config.precision, self.precision);
        set(&mut config.recompute, self.recompute);
        set(&mut config.tsa_chunk_size, self.tsa_chunk_size.map(Some));
        set(&mut config.fsa_chunk_size, self.fsa_chunk_size.map(Some));
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(bytes("8GB"), Ok(8_000_000_000));
        assert_eq!(bytes("1.5 GiB"), Ok(1_610_612_736));
        assert_eq!(bytes("800MB"), Ok(800_000_000));
        assert_eq!(bytes("42"), Ok(42));
        for wrong in ["", "GB", "-1GB", "NaN", "8 gigabytes", "inf"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
