//! A data set, a network and a run that are small enough for tests.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use unbraid_audio::{AudioWriter, Format};
use unbraid_train::{Checkpoint, Checkpoints, TrainConfig};

const RATE: u32 = 8000;

/// The TOML of a tiny network.
pub(crate) const MICRO: &str = r#"
family = "tfswa_unet"
name = "micro"
stems = ["drums", "vocals"]
sample_rate = 8000
n_fft = 256
hop_length = 64
subbands = 1
dims = [8, 16]
depths = [1, 1]
num_heads = 2
window_size = [4, 4]
mlp_ratio = 2
positional = "rotary"
"#;

/// Songs of noise bursts and a steady tone, which are easy to separate.
pub(crate) fn data_set(root: &Path, tracks: usize, frames: usize) {
    for i in 0..tracks {
        let mut rng = ChaCha8Rng::seed_from_u64(i as u64);
        let folder = root.join(format!("train/song-{i}"));
        std::fs::create_dir_all(&folder).unwrap();
        let step = 0.05 + 0.01 * i as f32;
        let drums: Vec<f32> = (0..frames)
            .map(|n| 0.5 * rng.random_range(-1.0..1.0f32) * (-((n % 2000) as f32) / 200.0).exp())
            .collect();
        let vocals: Vec<f32> = (0..frames).map(|n| 0.2 * (n as f32 * step).sin()).collect();
        for (stem, signal) in [("drums", drums), ("vocals", vocals)] {
            let mut writer =
                AudioWriter::create(&folder.join(format!("{stem}.wav")), Format::Wav32f, RATE).unwrap();
            let right = signal.iter().map(|x| 0.7 * x).collect();
            writer.write(&[signal, right]).unwrap();
            writer.finish().unwrap();
        }
    }
}

/// A run on the data set in `root`, with the network [`MICRO`].
pub(crate) fn micro(root: &Path) -> TrainConfig {
    let model = root.join("micro.toml");
    std::fs::write(&model, MICRO).unwrap();
    TrainConfig {
        run: root.join("run"),
        data: root.to_path_buf().into(),
        model: model.to_str().unwrap().into(),
        tsa_chunk_size: 64,
        fsa_chunk_size: 64,
        segment_seconds: 0.25,
        batch_size: 2,
        steps: 6,
        learning_rate: 3e-3,
        final_learning_rate: 1e-4,
        warmup_steps: 2,
        loss_resolutions: vec![256, 512],
        validation_interval: 0,
        checkpoint_interval: 2,
        log_interval: 1,
        workers: 1,
        ..Default::default()
    }
}

/// The checkpoint of a run after `step` steps.
pub(crate) fn checkpoint(config: &TrainConfig, step: u64) -> Checkpoint {
    let checkpoints = Checkpoints::open(config.run.join("checkpoints")).unwrap();
    Checkpoint::read(&checkpoints.path(step)).unwrap()
}
