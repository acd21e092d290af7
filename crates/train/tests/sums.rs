//! Training and validation on songs of which some stems are known only as a sum.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

mod common;
mod recorder;

use burn::tensor::Device;
use common::{MICRO, checkpoint, data_set, micro};
use recorder::{Recorder, run_until};
use std::path::Path;
use unbraid_audio::{AudioReader, AudioWriter, Format, ReadOptions};
use unbraid_train::{Checkpoint, TrainConfig, train};

const RATE: u32 = 8000;

/// Adds a bass to every song of a data set, and joins it with the vocals of the songs in `joined`.
fn with_bass(root: &Path, songs: usize, frames: usize, joined: std::ops::Range<usize>) {
    for song in 0..songs {
        let folder = root.join(format!("train/song-{song}"));
        let step = 0.011 + 0.001 * song as f32;
        let bass: Vec<f32> = (0..frames).map(|n| 0.3 * (n as f32 * step).sin()).collect();
        let write = |name: &str, sound: &[Vec<f32>; 2]| {
            let mut writer = AudioWriter::create(&folder.join(name), Format::Wav32f, RATE).unwrap();
            writer.write(sound).unwrap();
            writer.finish().unwrap();
        };
        let bass = [bass.clone(), bass];
        if !joined.contains(&song) {
            write("bass.wav", &bass);
            continue;
        }
        let file = folder.join("vocals.wav");
        let vocals = AudioReader::open(&file, RATE, ReadOptions::COMPLETE).unwrap().read(frames).unwrap();
        std::fs::remove_file(file).unwrap();
        let add = |c: usize| vocals[c].iter().zip(&bass[c]).map(|(a, b)| a + b).collect();
        write("bass+vocals.wav", &[add(0), add(1)]);
    }
}

/// A run of a network with three stems.
fn config(root: &Path) -> TrainConfig {
    let config = micro(root);
    let toml = MICRO.replace(r#"["drums", "vocals"]"#, r#"["drums", "bass", "vocals"]"#);
    std::fs::write(&config.model, toml).unwrap();
    config
}

/// Half of the songs have the sum only. The loss falls, and the sum has its own scores.
#[test]
fn songs_with_sums_train_beside_songs_with_all_stems() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 6, 12_000);
    with_bass(root.path(), 6, 12_000, 3..6);
    let config = TrainConfig {
        steps: 120,
        batch_size: 4,
        micro_batch_size: 3,
        learning_rate: 1e-2,
        warmup_steps: 5,
        validation_interval: 120,
        validation_songs: ["song-0", "song-5"].map(String::from).to_vec(),
        checkpoint_interval: 0,
        ..config(root.path())
    };
    let mut recorder = Recorder::default();
    let report = train(&config, false, &Device::flex(), &mut recorder).unwrap();
    assert_eq!((report.steps, report.skipped), (120, 0));
    let mean = |range: std::ops::Range<usize>| {
        recorder.steps[range.clone()].iter().map(|step| step.loss).sum::<f64>() / range.len() as f64
    };
    assert!(mean(110..120) < 0.6 * mean(0..10), "loss {} → {}", mean(0..10), mean(110..120));
    let [validation] = &recorder.validations[..] else { panic!("{:?}", recorder.validations) };
    let names: Vec<&str> = validation.stems.keys().map(String::as_str).collect();
    assert_eq!(names, ["bass", "bass+vocals", "drums", "vocals"]);
    // The sum is no part of the mean, because its stems have scores of their own.
    let mean = ["bass", "drums", "vocals"].iter().map(|stem| validation.stems[*stem].usdr).sum::<f64>() / 3.0;
    assert!((validation.usdr.unwrap() - mean).abs() < 1e-9);
}

#[test]
fn an_interrupted_run_on_sums_alone_ends_in_the_same_bits() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 3, 6000);
    with_bass(root.path(), 3, 6000, 0..3);
    let whole = TrainConfig {
        validation_interval: 3,
        validation_share: 0.3,
        mixup_probability: [0.3, 0.0],
        drop_probability: 0.3,
        reverb_probability: 0.3,
        codec_probability: 0.3,
        ..config(root.path())
    };
    let straight = run_until(&whole, false, None).0;
    // Without scores of its stems, the sum counts like a stem.
    let validation = &straight.validations[0];
    let mean = validation.stems.values().map(|scores| scores.usdr).sum::<f64>() / 2.0;
    assert!(validation.stems.len() == 2 && (validation.usdr.unwrap() - mean).abs() < 1e-9);
    let parts = TrainConfig { run: root.path().join("parts"), ..whole.clone() };
    run_until(&parts, false, Some(3));
    run_until(&parts, true, None);
    let bits = |config: &TrainConfig| {
        let Checkpoint { weights, average, .. } = checkpoint(config, 6);
        [weights, average].concat().iter().map(|x| x.to_bits()).collect::<Vec<u32>>()
    };
    assert!(bits(&whole) == bits(&parts));
}
