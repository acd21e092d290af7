//! Named settings for little memory: how a run is taken through, and what is given up where that is not enough.

use crate::settings::config::TrainConfig;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;
use unbraid_model::{Precision, Recompute};

/// A level of thrift. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// The run's own network and segments; every block recomputed, in chunks, one example at a time.
    LowVram,
    /// Segments of 2 s.
    Level1,
    /// And an STFT of 512 samples every 128.
    Level2,
    /// And the small network.
    Level3,
}

impl Preset {
    /// All, the thriftiest last.
    pub const ALL: [Self; 4] = [Self::LowVram, Self::Level1, Self::Level2, Self::Level3];

    /// Lays the level over a configuration.
    pub fn apply(self, config: &mut TrainConfig) {
        config.recompute = Recompute::Block;
        config.tsa_chunk_size = Some(CHUNK);
        config.fsa_chunk_size = Some(CHUNK);
        config.micro_batch_size = 1;
        if self >= Self::Level1 {
            config.segment_seconds = 2.0;
        }
        if self >= Self::Level2 {
            (config.n_fft, config.hop_length) = (Some(512), Some(128));
        }
        if self >= Self::Level3 {
            config.model = "tfswa_unet_small".into();
        }
    }
}

/// `config`, and how the same run can be taken through with ever less memory, in the order of what it costs: fewer
/// examples at once, then recomputation of sub-layers, these in chunks, then of blocks, then, on a device that
/// `has_f16`, tokens of half the size.
pub fn rungs(config: &TrainConfig, has_f16: bool) -> Vec<TrainConfig> {
    let mut rungs = vec![config.clone()];
    let mut micro = config.examples_at_once();
    while micro > 1 {
        micro = micro.div_ceil(2);
        rungs.push(TrainConfig { micro_batch_size: micro, ..config.clone() });
    }
    let own = [config.tsa_chunk_size, config.fsa_chunk_size];
    let chunks = own.map(|own| Some(own.filter(|own| (1..CHUNK).contains(own)).unwrap_or(CHUNK)));
    let thriftier = [(Recompute::Sublayer, own), (Recompute::Sublayer, chunks), (Recompute::Block, chunks)];
    let micro_batch_size = if config.batch_size == 1 { config.micro_batch_size } else { 1 };
    for (recompute, [tsa_chunk_size, fsa_chunk_size]) in thriftier {
        let rung =
            TrainConfig { micro_batch_size, recompute, tsa_chunk_size, fsa_chunk_size, ..config.clone() };
        if rung.recompute >= config.recompute && rungs[rungs.len() - 1] != rung {
            rungs.push(rung);
        }
    }
    if has_f16 && config.precision == Precision::F32 {
        rungs.push(TrainConfig { precision: Precision::F16, ..rungs[rungs.len() - 1].clone() });
    }
    rungs
}

/// Sequences at once: at 6 s their hidden plane is at most 34 MB of what would be 272. With 32, twice as many kernels
/// would be started; with 128, a step of sub-layers would take 245 MB more.
pub const CHUNK: usize = 64;

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LowVram => "low-vram",
            Self::Level1 => "level1",
            Self::Level2 => "level2",
            Self::Level3 => "level3",
        })
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|preset| preset.to_string() == text);
        named.ok_or_else(|| format!("`{text}` is not a preset: low-vram, level1, level2 or level3"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unbraid_model::FamilyConfig;

    #[test]
    fn rungs_go_down_to_the_thriftiest() {
        let config = TrainConfig { batch_size: 5, model: "tfswa_unet".into(), ..Default::default() };
        let taken = |rungs: &[TrainConfig]| -> Vec<_> {
            rungs.iter().map(|r| (r.micro_batch_size, r.recompute, r.tsa_chunk_size)).collect()
        };
        let all = rungs(&config, false);
        assert_eq!(
            taken(&all),
            [
                (0, Recompute::None, None),
                (3, Recompute::None, None),
                (2, Recompute::None, None),
                (1, Recompute::None, None),
                (1, Recompute::Sublayer, None),
                (1, Recompute::Sublayer, Some(CHUNK)),
                (1, Recompute::Block, Some(CHUNK)),
            ]
        );
        // From any of them on it is the rest.
        for from in 4..7 {
            assert_eq!(taken(&rungs(&all[from], false)), taken(&all[from..]));
        }
        // Where there is f16, it is the last.
        let half = rungs(&config, true);
        assert_eq!(half[..7], all);
        assert_eq!(half[7], TrainConfig { precision: Precision::F16, ..all[6].clone() });
        assert_eq!(rungs(&half[7], true), half[7..]);
    }

    #[test]
    fn every_level_is_usable_on_every_configuration() {
        for preset in Preset::ALL {
            assert_eq!(preset.to_string().parse(), Ok(preset));
            for model in unbraid_model::PRESETS {
                let mut config = TrainConfig {
                    run: "runs/x".into(),
                    data: "data/x".into(),
                    model: model.into(),
                    ..Default::default()
                };
                preset.apply(&mut config);
                config.validate().unwrap();
                let network = config.model_config().unwrap();
                let execution = config.execution();
                assert_eq!((execution.tsa_chunk_size, execution.fsa_chunk_size), (CHUNK, CHUNK));
                if preset == Preset::Level3 {
                    let FamilyConfig::TfswaUnet(own) = network.family;
                    assert_eq!((own.dims, own.num_heads), (vec![16, 32, 64, 128], 4));
                    assert_eq!((network.n_fft, network.hop_length), (512, 128));
                    assert_eq!(config.segment_seconds, 2.0);
                }
            }
        }
        assert!("level4".parse::<Preset>().is_err());
    }
}
