//! Schedules that follow the validations, early stops, fine-tuning, frozen parameters and batches that break a step.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

mod common;
mod recorder;

use burn::tensor::Device;
use common::{MICRO, checkpoint, data_set, micro};
use recorder::{Recorder, run_until};
use std::path::Path;
use unbraid_audio::{AudioWriter, Format};
use unbraid_train::settings::config::{Metric, OptimizerKind, ScheduleKind};
use unbraid_train::{Checkpoint, TrainConfig, TrainError, train};

impl Recorder {
    fn message(&self, text: &str) -> &str {
        let found = self.messages.iter().find(|message| message.contains(text));
        found.unwrap_or_else(|| panic!("{text} is missing in {:?}", self.messages))
    }
}

fn fails(config: &TrainConfig) -> TrainError {
    train(config, false, &Device::flex(), &mut Recorder::default()).unwrap_err()
}

fn bits(checkpoint: &Checkpoint) -> Vec<u32> {
    let Checkpoint { weights, average, moments: [first, second], .. } = checkpoint;
    [weights, average, first, second].into_iter().flatten().map(|x| x.to_bits()).collect()
}

/// A learning rate of almost 0 improves nothing, so the plateau is reached at once.
fn resting(root: &Path) -> TrainConfig {
    TrainConfig {
        steps: 40,
        learning_rate: 1e-30,
        final_learning_rate: 1e-32,
        warmup_steps: 0,
        schedule: ScheduleKind::Plateau,
        decay_factor: 0.1,
        plateau_patience: 2,
        early_stop: 5,
        validation_interval: 1,
        validation_share: 0.5,
        checkpoint_interval: 3,
        ema_decay: 0.0,
        best_metric: Metric::Csdr,
        ..micro(root)
    }
}

#[test]
fn a_run_that_no_longer_improves_learns_slower_and_then_ends() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 12_000);
    let config = resting(root.path());
    let (recorder, report) = run_until(&config, false, None);
    // The first validation is the best. Five others follow.
    assert_eq!((report.steps, report.stopped_early, report.model_step), (6, true, 1));
    let rates: Vec<String> =
        recorder.steps.iter().map(|step| format!("{:.0e}", step.learning_rate)).collect();
    assert_eq!(rates, ["1e-30", "1e-30", "1e-30", "1e-31", "1e-31", "1e-32"]);
    recorder.message("step 3: 2 validations without an improvement; the learning rate falls from 1.00e-30");
    recorder.message("step 6: early stop; the best validation was at step 1, 5 validations ago");
    let best = report.best.unwrap();
    assert_eq!(best.csdr, recorder.validations[0].csdr);
    assert!(best.csdr.is_some());

    let (again, report) = run_until(&config, true, None);
    assert!(report.already_complete && report.stopped_early && again.steps.is_empty());
    // More patience continues the run.
    let (longer, report) = run_until(&TrainConfig { early_stop: 6, ..config.clone() }, true, None);
    assert_eq!((report.steps, longer.steps.len()), (7, 1));

    // Interruptions change nothing, wherever they fall.
    for stop in [2, 3, 4, 5] {
        let parts = TrainConfig { run: root.path().join(format!("parts-{stop}")), ..config.clone() };
        let (before, _) = run_until(&parts, false, Some(stop));
        let (after, report) = run_until(&parts, true, None);
        assert_eq!((report.steps, report.stopped_early), (6, true));
        let steps: Vec<_> = before.steps.iter().chain(&after.steps).map(|step| step.learning_rate).collect();
        assert_eq!(steps, recorder.steps.iter().map(|step| step.learning_rate).collect::<Vec<_>>());
        let (whole, parts) = (checkpoint(&config, 6), checkpoint(&parts, 6));
        assert_eq!(bits(&whole), bits(&parts));
        assert_eq!((whole.state.schedule, whole.state.best), (parts.state.schedule, parts.state.best));
    }
}

#[test]
fn validations_keep_within_their_share_of_the_time() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 12_000);
    let config = TrainConfig {
        steps: 12,
        validation_interval: 1,
        validation_share: 0.5,
        validation_time_share: 1e-6,
        stall_steps: 4,
        learning_rate: 1e-30,
        final_learning_rate: 0.0,
        ..micro(root.path())
    };
    let (recorder, _) = run_until(&config, false, None);
    let steps: Vec<u64> = recorder.validations.iter().map(|validation| validation.step).collect();
    assert_eq!(steps, [1, 12], "the first and the last are made");
    recorder.message("step 2: the validation is left out; validations have taken");
}

/// Segments without augmentation from a song that repeats itself give an equal loss in every step.
#[test]
fn a_loss_that_does_not_move_is_told() {
    let root = tempfile::tempdir().unwrap();
    for stem in ["drums", "vocals"] {
        let folder = root.path().join("train/a");
        std::fs::create_dir_all(&folder).unwrap();
        let mut writer =
            AudioWriter::create(&folder.join(format!("{stem}.wav")), Format::Wav32f, 8000).unwrap();
        writer.write(&[vec![0.1; 6000], vec![0.2; 6000]]).unwrap();
        writer.finish().unwrap();
    }
    let config = TrainConfig {
        steps: 12,
        learning_rate: 1e-30,
        final_learning_rate: 0.0,
        gain_range: [1.0, 1.0],
        sign_flip_probability: 0.0,
        channel_swap_probability: 0.0,
        stall_steps: 3,
        ..micro(root.path())
    };
    let (before, _) = run_until(&config, false, Some(5));
    let (after, _) = run_until(&config, true, None);
    assert!(
        !before.messages.iter().any(|message| message.contains("has not moved")),
        "{:?}",
        before.messages
    );
    after.message("step 6: the loss has not moved in 3 steps: its mean is");
    assert_eq!(after.messages.iter().filter(|message| message.contains("has not moved")).count(), 1);
}

#[test]
fn a_run_starts_with_the_weights_that_fit() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 6000);
    let first = TrainConfig { run: root.path().join("first"), steps: 2, ..micro(root.path()) };
    let (_, report) = run_until(&first, false, None);
    let exported = checkpoint(&first, 2);
    let still = TrainConfig {
        init: Some(report.model),
        steps: 1,
        learning_rate: 1e-30,
        final_learning_rate: 0.0,
        ..micro(root.path())
    };
    let (recorder, _) = run_until(&still, false, None);
    recorder.message("initial weights from");
    // The weights of the file are the moving average.
    assert_eq!(checkpoint(&still, 1).weights, exported.average);
    // A resumed run does not need the file.
    let gone = TrainConfig { init: Some("no/such.safetensors".into()), steps: 2, ..still.clone() };
    run_until(&gone, true, None);
    let (error, folder) =
        (fails(&TrainConfig { run: root.path().join("gone"), ..gone }), root.path().join("gone"));
    assert!(matches!(error, TrainError::Weights(_)) && !folder.exists(), "{error}");

    // A deeper network with other stems takes what it can, and names the rest.
    let deeper = root.path().join("deeper.toml");
    std::fs::write(&deeper, MICRO.replace("depths = [1, 1]", "depths = [2, 1]").replace("vocals", "bass"))
        .unwrap();
    let song = |name: &str| root.path().join("train").join(name);
    for name in ["song-0", "song-1"] {
        std::fs::copy(song(name).join("vocals.wav"), song(name).join("bass.wav")).unwrap();
    }
    let deeper = TrainConfig {
        run: root.path().join("deeper"),
        model: deeper.to_str().unwrap().into(),
        ..still.clone()
    };
    let (recorder, _) = run_until(&deeper, false, None);
    let text = recorder.message("left at their random initial values");
    assert!(text.contains("(not in the file)"), "{text}");
    recorder.message("its stems are drums, vocals, and the run's are drums, bass");
    let state = checkpoint(&deeper, 1);
    let shared = state.weights.iter().filter(|weight| exported.average.contains(weight)).count();
    assert!(shared > 1000 && shared < state.weights.len(), "{shared} of {}", state.weights.len());

    let other = root.path().join("other.toml");
    std::fs::write(
        &other,
        MICRO.replace("dims = [8, 16]", "dims = [12, 24]").replace("\"micro\"", "\"wider\""),
    )
    .unwrap();
    let other =
        TrainConfig { run: root.path().join("other"), model: other.to_str().unwrap().into(), ..still };
    let (recorder, _) = run_until(&other, false, None);
    assert!(recorder.message("initial weights from").contains(" tensors, "));
    recorder.message("in the file, ");
}

#[test]
fn frozen_parameters_are_neither_updated_nor_decayed() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 6000);
    for optimizer in [OptimizerKind::AdamW, OptimizerKind::Muon] {
        let name = |part: &str| root.path().join(format!("{optimizer:?}-{part}"));
        let free = TrainConfig { run: name("free"), optimizer, weight_decay: 0.5, ..micro(root.path()) };
        run_until(&free, false, Some(2));
        let frozen = TrainConfig { freeze: vec!["encoder*".into(), "*bias".into()], ..free.clone() };
        let before = checkpoint(&frozen, 2);
        let (recorder, _) = run_until(&frozen, true, None);
        let counts = recorder.message("frozen: ");
        assert!(counts.contains(" tensors, "), "{counts}");
        let after = checkpoint(&frozen, 6);
        let moved = before.weights.iter().zip(&after.weights).filter(|(a, b)| a != b).count();
        let held = before.weights.len() - moved;
        let told: usize = counts.split(", ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        // Norms whose gradient is 0 may rest too, but few do.
        assert!(
            held >= told && held < told + told / 4 && moved > 100,
            "{held} held, {told} told, {moved} moved"
        );
        let apart = |at: &Checkpoint| at.weights.iter().zip(&at.average).filter(|(a, b)| a != b).count();
        assert!(apart(&after) <= moved);
    }
    let wrong = TrainConfig {
        run: root.path().join("wrong"),
        freeze: vec!["endcoder.*".into()],
        ..micro(root.path())
    };
    let error = fails(&wrong).to_string();
    assert!(error.contains("\"endcoder.*\"") && !wrong.run.exists(), "{error}");
}

#[test]
fn a_batch_that_breaks_a_step_is_saved() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 6000);
    // The samples are finite, but the sum of such errors is not.
    let config = TrainConfig { gain_range: [1e38, 1e38], steps: 100, ..micro(root.path()) };
    let error = fails(&config);
    let TrainError::Diverged { step: 8, batch: Some(batch), .. } = &error else { panic!("{error}") };
    assert!(error.to_string().contains(batch.to_str().unwrap()), "{error}");
    assert_eq!(*batch, config.run.join("not-finite/step-000002"));
    let text = std::fs::read_to_string(batch.join("batch.json")).unwrap();
    let facts: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((facts["step"].as_u64(), facts["first_segment"].as_u64()), (Some(2), Some(2)));
    assert!(facts["loss"].is_string() && facts["peaks"][1]["drums"].as_f64().unwrap() > 1e37, "{facts}");
    for segment in ["segment-0", "segment-1"] {
        for stem in ["drums", "vocals"] {
            let path = batch.join(segment).join(format!("{stem}.wav"));
            let bytes = std::fs::metadata(path).unwrap().len();
            assert!((16_000..17_000).contains(&bytes), "{segment} {stem}: {bytes}");
        }
    }
    let entries = std::fs::read_dir(batch.parent().unwrap()).unwrap().count();
    assert_eq!(entries, 1, "no part is left");
}
