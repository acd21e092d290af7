use super::*;
use crate::settings::config::TrainConfig;
use burn::nn::LinearConfig;
use burn::tensor::Device;

pub(crate) fn checkpoint(step: u64) -> Checkpoint {
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
            schedule: Some(Schedule::new(&TrainConfig::default())),
            watch: Watch::default(),
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
    let mut unwatched: Value = serde_json::from_str(&earlier).unwrap();
    unwatched.as_object_mut().unwrap().remove("watch").unwrap();
    for text in [unwatched.to_string(), earlier, text] {
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
