//! Training from files to the exported model, with a network small enough for a test.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

mod common;
mod recorder;

use burn::tensor::Device;
use common::{MICRO, checkpoint, data_set, micro};
use recorder::{Recorder, run_until};
use unbraid_model::Precision;
use unbraid_train::{
    Checkpoint, Checkpoints, RunFolder, StepEvent, TrainConfig, TrainError, open_dataset, split, train,
};

fn run(config: &TrainConfig, resume: bool) -> Recorder {
    run_until(config, resume, None).0
}

fn bits(checkpoint: &Checkpoint) -> Vec<u32> {
    let Checkpoint { weights, average, moments: [first, second], .. } = checkpoint;
    [weights, average, first, second].into_iter().flatten().map(|x| x.to_bits()).collect()
}

#[test]
fn training_lowers_the_loss_and_separates_an_unseen_song() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 4, 12_000);
    let config = TrainConfig {
        steps: 120,
        learning_rate: 1e-2,
        warmup_steps: 5,
        remix_probability: 0.0,
        validation_interval: 120,
        validation_share: 0.25,
        checkpoint_interval: 0,
        ..micro(root.path())
    };
    let mut recorder = Recorder::default();
    let report = train(&config, false, &Device::flex(), &mut recorder).unwrap();
    assert_eq!((report.steps, report.stopped, report.skipped), (120, false, 0));

    let mean = |steps: &[StepEvent]| steps.iter().map(|s| s.loss).sum::<f64>() / steps.len() as f64;
    let (first, last) = (mean(&recorder.steps[..10]), mean(&recorder.steps[110..]));
    assert!(last < 0.5 * first, "loss {first} → {last}");
    assert!(recorder.steps.iter().all(|s| s.updated
        && s.memory.taken > 0
        && s.memory.peak >= s.memory.taken
        && s.gradient_norm > 0.0));

    let [validation] = &recorder.validations[..] else { panic!("{:?}", recorder.validations) };
    assert!(validation.best && validation.songs == 1);
    assert!(validation.usdr.unwrap() > validation.baseline_usdr.unwrap() + 3.0, "{validation:?}");

    // The exported model is the moving average and carries its provenance.
    let loaded = unbraid_model::weights::load(&report.model, &Device::flex()).unwrap();
    assert_eq!(loaded.provenance.steps, 120);
    assert!((loaded.provenance.scores["uSDR vocals"] - validation.stems["vocals"].usdr).abs() < 1e-9);
    let exported = unbraid_train::pack(&loaded.model).into_data_as::<f32>().try_to_vec::<f32>().unwrap();
    let last = checkpoint(&config, 120);
    assert!(last.state.layout.without_gaps(&exported) == last.average);

    let metrics = std::fs::read_to_string(RunFolder::new(&config.run).metrics()).unwrap();
    let first: serde_json::Value = serde_json::from_str(metrics.lines().next().unwrap()).unwrap();
    let number = |key: &str| first[key].as_f64().unwrap();
    assert!(
        (number("loss") - number("loss_waveform") - number("loss_spectral")).abs() < 1e-5 * number("loss")
    );
    assert_eq!(metrics.lines().filter(|l| l.contains(r#""kind":"step""#)).count(), 120);
    assert_eq!(metrics.lines().filter(|l| l.contains(r#""kind":"validation""#)).count(), 1);
}

#[test]
fn an_interrupted_run_ends_in_the_same_bits() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 3, 6000);
    let whole = TrainConfig { validation_interval: 3, validation_share: 0.3, ..micro(root.path()) };
    let straight = run(&whole, false);

    let parts = TrainConfig { run: root.path().join("parts"), ..whole.clone() };
    let mut recorder = Recorder { stop_after: Some(3), ..Default::default() };
    let report = train(&parts, false, &Device::flex(), &mut recorder).unwrap();
    assert!(report.stopped && report.steps == 3);
    // The number of workers and the intervals do not change the data.
    let resumed = run(&TrainConfig { workers: 2, checkpoint_interval: 1, ..parts.clone() }, true);
    assert_eq!(resumed.steps[0].step, 4);

    assert_eq!(bits(&checkpoint(&whole, 6)), bits(&checkpoint(&parts, 6)));
    for (a, b) in straight.steps[3..].iter().zip(&resumed.steps) {
        assert_eq!(
            (a.loss.to_bits(), a.gradient_norm.to_bits()),
            (b.loss.to_bits(), b.gradient_norm.to_bits())
        );
    }
    let (a, b) = (checkpoint(&whole, 6).state, checkpoint(&parts, 6).state);
    assert_eq!((a.scores, a.best.map(|b| b.step)), (b.scores, b.best.map(|b| b.step)));
    let model = |config: &TrainConfig| {
        unbraid_model::weights::load(&config.run.join("model.safetensors"), &Device::flex()).unwrap().model
    };
    let values = |config| unbraid_train::pack(&model(config)).into_data_as::<f32>();
    assert_eq!(values(&whole), values(&parts));
    // Another seed gives other weights.
    let other = TrainConfig { run: root.path().join("other"), seed: 1, ..whole.clone() };
    run(&other, false);
    assert_ne!(bits(&checkpoint(&whole, 6)), bits(&checkpoint(&other, 6)));
}

/// A song that cannot be read does not lose the steps before it. The resumed run repeats the failed validation.
#[test]
fn a_damaged_song_loses_no_step() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 3, 6000);
    let config = TrainConfig {
        validation_interval: 3,
        validation_share: 0.3,
        checkpoint_interval: 0,
        ..micro(root.path())
    };
    let straight = TrainConfig { run: root.path().join("straight"), ..config.clone() };
    run(&straight, false);

    let dataset = open_dataset(root.path(), "train", &["drums".into(), "vocals".into()], 8000).unwrap();
    let held_out = split(dataset.tracks(), 0.3, config.seed).validation[0];
    let song = root.path().join("train").join(&dataset.tracks()[held_out].name).join("vocals.wav");
    let sound = std::fs::read(&song).unwrap();
    let mut damaged = sound.clone();
    let end = damaged.len();
    damaged[end - 4..].fill(0xff);
    std::fs::write(&song, damaged).unwrap();
    let error = train(&config, false, &Device::flex(), &mut Recorder::default()).unwrap_err().to_string();
    assert_eq!(error.matches("vocals.wav").count(), 1, "{error}");
    assert_eq!(checkpoint(&config, 3).state.step, 3);

    std::fs::write(&song, sound).unwrap();
    let resumed = run(&config, true);
    assert_eq!(resumed.validations.iter().map(|v| v.step).collect::<Vec<_>>(), [3, 6]);
    assert_eq!(bits(&checkpoint(&straight, 6)), bits(&checkpoint(&config, 6)));
}

#[test]
fn a_run_cannot_be_resumed_with_other_songs() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 6000);
    let config = micro(root.path());
    run(&TrainConfig { steps: 2, ..config.clone() }, false);
    data_set(root.path(), 3, 6000);
    let error = train(&config, true, &Device::flex(), &mut Recorder::default()).unwrap_err().to_string();
    assert!(error.contains("the songs in") && error.contains("have changed"), "{error}");
    std::fs::remove_dir_all(root.path().join("train/song-2")).unwrap();
    assert_eq!(run(&config, true).steps[0].step, 3);
}

/// A killed process leaves metrics beyond the last checkpoint, an incomplete line, an unfinished file, and at worst a
/// checkpoint that the disk has not written completely.
#[test]
fn a_killed_run_continues_from_its_last_undamaged_checkpoint() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 6000);
    let config = TrainConfig { keep_checkpoints: 3, ..micro(root.path()) };
    run(&config, false);
    let wanted = bits(&checkpoint(&config, 6));

    let checkpoints = Checkpoints::open(config.run.join("checkpoints")).unwrap();
    assert_eq!(checkpoints.steps(), [2, 4, 6]);
    std::fs::remove_file(checkpoints.path(6)).unwrap();
    let file = std::fs::read(checkpoints.path(4)).unwrap();
    std::fs::write(checkpoints.path(4), &file[..file.len() / 2]).unwrap();
    std::fs::write(config.run.join("checkpoints/.unbraid-abc.part"), "half").unwrap();
    let metrics = RunFolder::new(&config.run).metrics();
    let mut text = std::fs::read_to_string(&metrics).unwrap();
    text.push_str("{\"kind\":\"step\",\"step\":7,\"lo");
    std::fs::write(&metrics, text).unwrap();

    let resumed = run(&config, true);
    assert!(
        resumed.messages.iter().any(|m| m.contains("step-000004") && m.contains("damaged")),
        "{:?}",
        resumed.messages
    );
    assert_eq!(resumed.steps[0].step, 3);
    assert_eq!(bits(&checkpoint(&config, 6)), wanted);
    let steps: Vec<u64> = std::fs::read_to_string(&metrics)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps, [1, 2, 3, 4, 5, 6]);
}

/// Damaged checkpoints are set aside. The next attempt must not take the run for one that has none yet.
#[test]
fn a_run_whose_checkpoints_are_all_damaged_is_refused_every_time() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 6000);
    let config = micro(root.path());
    run(&config, false);
    let checkpoints = Checkpoints::open(config.run.join("checkpoints")).unwrap();
    for step in checkpoints.steps() {
        std::fs::write(checkpoints.path(step), "damaged").unwrap();
    }
    let metrics = std::fs::read(RunFolder::new(&config.run).metrics()).unwrap();
    for _ in 0..2 {
        let result = train(&config, true, &Device::flex(), &mut Recorder::default());
        assert!(matches!(result, Err(TrainError::AllDamaged(_))), "{result:?}");
        assert_eq!(std::fs::read(RunFolder::new(&config.run).metrics()).unwrap(), metrics);
    }
    // A new run in the folder does not inherit the damaged files.
    run(&config, false);
    let entries = std::fs::read_dir(config.run.join("checkpoints")).unwrap().flatten();
    assert!(entries.map(|entry| entry.path()).all(|path| path.extension().unwrap() != "damaged"));
}

#[test]
fn a_time_budget_ends_the_run_and_its_learning_rate() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 6000);
    let config = TrainConfig {
        steps: 1_000_000,
        max_minutes: Some(3.0 / 60.0),
        checkpoint_interval: 0,
        ..micro(root.path())
    };
    let recorder = run(&config, false);
    let last = recorder.steps.last().unwrap();
    assert!(last.elapsed >= 3.0 && last.elapsed < 10.0, "{last:?}");
    assert!(recorder.steps.len() > 3 && last.progress >= 1.0);
    assert!(last.learning_rate < 0.5 * config.learning_rate, "{last:?}");
    assert!(recorder.steps[0].remaining <= 3.0);
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_checkpoint() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 6000);
    let config = TrainConfig { steps: 100, ..micro(root.path()) };
    run(&TrainConfig { steps: 2, ..config.clone() }, false);
    let checkpoints = Checkpoints::open(config.run.join("checkpoints")).unwrap();
    let mut poisoned = checkpoint(&config, 2);
    poisoned.weights[0] = f32::NAN;
    poisoned.write(&checkpoints.path(2)).unwrap();
    let mut recorder = Recorder::default();
    let error = train(&config, true, &Device::flex(), &mut recorder).unwrap_err();
    assert!(matches!(error, TrainError::Diverged { step: 10, .. }), "{error}");
    assert!(error.to_string().contains("step 10"), "{error}");
    assert!(recorder.messages.iter().any(|m| m.contains("step 3:")), "{:?}", recorder.messages);
    assert!(recorder.steps.iter().all(|s| !s.updated));
}

/// The memory limit ends the run and leaves its checkpoints, from which the run continues with settings that need less.
#[test]
fn a_run_out_of_memory_continues_with_settings_that_need_less() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 6000);
    let config = micro(root.path());
    run(&TrainConfig { steps: 4, ..config.clone() }, false);
    let limited = TrainConfig { memory_limit: Some(1), ..config.clone() };
    let error = train(&limited, true, &Device::flex(), &mut Recorder::default()).unwrap_err();
    assert!(error.is_out_of_memory() && error.to_string().contains("the limit is"), "{error}");
    assert_eq!(checkpoint(&config, 4).state.step, 4);
    let smallest = unbraid_train::fallbacks(&config, false).pop().unwrap();
    assert_eq!(smallest.recompute, unbraid_model::Recompute::Block);
    let recorder = run(&smallest, true);
    assert_eq!(recorder.steps[0].step, 5);
    assert!(recorder.steps.iter().all(|step| step.updated));
    assert_eq!(checkpoint(&config, 6).state.step, 6);
}

#[test]
fn an_impossible_run_is_refused_before_anything_is_written() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 6000);
    let config = TrainConfig { steps: 2, ..micro(root.path()) };
    let fails = |config: &TrainConfig, resume: bool| {
        train(config, resume, &Device::flex(), &mut Recorder::default()).unwrap_err()
    };
    assert!(matches!(fails(&config, true), TrainError::NothingToResume(_)));
    assert!(matches!(fails(&TrainConfig { batch_size: 0, ..config.clone() }, false), TrainError::Config(_)));
    let no_data = TrainConfig { data: root.path().join("nowhere").into(), ..config.clone() };
    assert!(matches!(fails(&no_data, false), TrainError::Data(_)));
    let half = TrainConfig { precision: Precision::F16, ..config.clone() };
    assert!(matches!(fails(&half, false), TrainError::NoF16));
    assert!(!config.run.exists());

    run(&config, false);
    assert!(matches!(fails(&config, false), TrainError::RunExists(_)));
    let changed = fails(&TrainConfig { batch_size: 3, ..config.clone() }, true);
    assert!(changed.to_string().contains("batch_size"), "{changed}");
    std::fs::write(&config.model, MICRO.replace("depths = [1, 1]", "depths = [1, 2]")).unwrap();
    assert!(matches!(fails(&config, true), TrainError::Changed { .. }));
    assert_eq!(checkpoint(&config, 2).state.step, 2);
}
