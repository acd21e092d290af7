//! Ways to train with less memory: named presets, and the fallbacks of a run.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use unbraid_model::{Precision, Recompute};

use crate::settings::config::TrainConfig;

/// Sequences per chunk of the low-memory settings.
///
/// At 6 s, a chunk's hidden plane in the MLP is at most 34 MB instead of 272 MB. Chunks of 32 would need twice as many
/// kernel launches. With chunks of 128, a step that recomputes sub-layers needs 245 MB more.
pub const CHUNK: usize = 64;

/// Named settings for low memory. Each preset includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryPreset {
    /// The network and the segments stay as they are. Every block is recomputed, in chunks, one segment at a time.
    LowVram,
    /// Segments of 2 s.
    Level1,
    /// An STFT of 512 samples with a hop of 128.
    Level2,
    /// The small network.
    Level3,
}

impl MemoryPreset {
    /// All presets. The last one needs the least memory.
    pub const ALL: [Self; 4] = [Self::LowVram, Self::Level1, Self::Level2, Self::Level3];

    /// Replaces the settings that the preset determines.
    pub fn apply(self, config: &mut TrainConfig) {
        config.recompute = Recompute::Block;
        config.tsa_chunk_size = CHUNK;
        config.fsa_chunk_size = CHUNK;
        config.micro_batch_size = 1;
        if self >= Self::Level1 {
            config.segment_seconds = 2.0;
        }
        if self >= Self::Level2 {
            (config.n_fft, config.hop_length) = (Some(512), Some(128));
        }
        // Another network keeps its size, which may be smaller.
        if self >= Self::Level3 && ["", "tfswa_unet"].contains(&config.model.as_str()) {
            config.model = "tfswa_unet_small".into();
        }
    }
}

/// `config`, followed by variants of the same run that need progressively less memory, cheapest in run time first.
///
/// The variants have fewer segments on the device at once, then recompute sub-layers, then process these in chunks,
/// then recompute blocks. On a device that `has_f16`, the last one stores tokens in 16 bits.
pub fn fallbacks(config: &TrainConfig, has_f16: bool) -> Vec<TrainConfig> {
    let mut fallbacks = vec![config.clone()];
    let mut micro = config.examples_at_once();
    while micro > 1 {
        micro = micro.div_ceil(2);
        fallbacks.push(TrainConfig { micro_batch_size: micro, ..config.clone() });
    }
    let own = [config.tsa_chunk_size, config.fsa_chunk_size];
    let chunks = own.map(|own| if (1..CHUNK).contains(&own) { own } else { CHUNK });
    let steps = [(Recompute::Sublayer, own), (Recompute::Sublayer, chunks), (Recompute::Block, chunks)];
    let micro_batch_size = if config.batch_size == 1 { config.micro_batch_size } else { 1 };
    for (recompute, [tsa_chunk_size, fsa_chunk_size]) in steps {
        let fallback =
            TrainConfig { micro_batch_size, recompute, tsa_chunk_size, fsa_chunk_size, ..config.clone() };
        if fallback.recompute >= config.recompute && fallbacks[fallbacks.len() - 1] != fallback {
            fallbacks.push(fallback);
        }
    }
    if has_f16 && config.precision == Precision::F32 {
        fallbacks.push(TrainConfig { precision: Precision::F16, ..fallbacks[fallbacks.len() - 1].clone() });
    }
    fallbacks
}

impl fmt::Display for MemoryPreset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LowVram => "low-vram",
            Self::Level1 => "level1",
            Self::Level2 => "level2",
            Self::Level3 => "level3",
        })
    }
}

impl FromStr for MemoryPreset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|preset| preset.to_string() == text);
        named.ok_or_else(|| "must be low-vram, level1, level2 or level3".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fallbacks_need_progressively_less_memory() {
        let config = TrainConfig { batch_size: 5, model: "tfswa_unet".into(), ..Default::default() };
        let summary = |fallbacks: &[TrainConfig]| -> Vec<_> {
            fallbacks.iter().map(|f| (f.micro_batch_size, f.recompute, f.tsa_chunk_size)).collect()
        };
        let all = fallbacks(&config, false);
        assert_eq!(
            summary(&all),
            [
                (0, Recompute::None, 0),
                (3, Recompute::None, 0),
                (2, Recompute::None, 0),
                (1, Recompute::None, 0),
                (1, Recompute::Sublayer, 0),
                (1, Recompute::Sublayer, CHUNK),
                (1, Recompute::Block, CHUNK),
            ]
        );
        // The fallbacks of a fallback are the ones after it.
        for from in 4..7 {
            assert_eq!(summary(&fallbacks(&all[from], false)), summary(&all[from..]));
        }
        // On a device with f16, f16 is the last one.
        let half = fallbacks(&config, true);
        assert_eq!(half[..7], all);
        assert_eq!(half[7], TrainConfig { precision: Precision::F16, ..all[6].clone() });
        assert_eq!(fallbacks(&half[7], true), half[7..]);
    }

    #[test]
    fn every_preset_is_usable_on_every_network() {
        for preset in MemoryPreset::ALL {
            assert_eq!(preset.to_string().parse(), Ok(preset));
            for model in unbraid_model::STANDARD_NETWORKS {
                let mut config = TrainConfig {
                    run: "runs/x".into(),
                    data: "data/x".into(),
                    model: model.into(),
                    ..Default::default()
                };
                preset.apply(&mut config);
                config.validate().unwrap();
                // The bands of a BS-RoFormer hold the bins of its own STFT.
                if model.starts_with("bs_roformer") && preset >= MemoryPreset::Level2 {
                    assert!(config.model_config().unwrap_err().to_string().contains("bands"), "{model}");
                    continue;
                }
                let network = config.model_config().unwrap();
                let execution = config.execution();
                assert_eq!((execution.tsa_chunk_size, execution.fsa_chunk_size), (CHUNK, CHUNK));
                if preset == MemoryPreset::Level3 {
                    let expected = if model == "tfswa_unet" { "tfswa_unet_small" } else { model };
                    assert_eq!(network.name, expected);
                    assert_eq!((network.n_fft, network.hop_length), (512, 128));
                    assert_eq!(config.segment_seconds, 2.0);
                }
            }
        }
        assert!("level4".parse::<MemoryPreset>().is_err());
    }
}
