//! Runs that go on, with changed limits, after damage, and in the presence of other processes; and songs with silent
//! stems.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

mod common;
mod recorder;

use burn::tensor::Device;
use common::{checkpoint, data_set, micro};
use recorder::{Recorder, run_until};
use std::path::Path;
use unbraid_audio::{AudioWriter, Format};
use unbraid_train::{
    DataError, EvaluateError, Event, Flow, Listener, RunFolder, TrainConfig, TrainError, open_dataset, split,
    train,
};

impl Recorder {
    fn has_message(&self, text: &str) -> bool {
        self.messages.iter().any(|message| message.contains(text))
    }

    fn rates(&self) -> Vec<f64> {
        self.steps.iter().map(|step| step.learning_rate).collect()
    }
}

fn fails(config: &TrainConfig, resume: bool) -> (Recorder, TrainError) {
    let mut recorder = Recorder::default();
    let error = train(config, resume, &Device::flex(), &mut recorder).unwrap_err();
    (recorder, error)
}

fn weights(config: &TrainConfig, step: u64) -> Vec<u32> {
    checkpoint(config, step).weights.into_iter().map(f32::to_bits).collect()
}

/// Replaces a file by a song of `sample`s with the length of the data set's.
fn replace(path: &Path, frames: usize, sample: impl Fn(usize) -> f32) {
    let mut writer = AudioWriter::create(path, Format::Wav32f, 8000).unwrap();
    let channel: Vec<f32> = (0..frames).map(sample).collect();
    writer.write(&[channel.clone(), channel]).unwrap();
    writer.finish().unwrap();
}

#[test]
fn a_run_that_had_ended_goes_on_at_its_final_learning_rate() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 6000);
    let config = micro(root.path());
    let (recorder, report) = run_until(&config, false, None);
    assert!(
        recorder.has_message("training on 1 song (0.0 min); kept for validation: 1 song"),
        "{:?}",
        recorder.messages
    );
    assert!(!report.already_complete);

    let (again, report) = run_until(&config, true, None);
    assert!(report.already_complete && again.steps.is_empty() && !again.has_message("learning rate"));

    let longer = TrainConfig { steps: 9, ..config.clone() };
    let (recorder, report) = run_until(&longer, true, None);
    assert!(!report.already_complete);
    assert_eq!(recorder.rates(), [config.final_learning_rate; 3]);
    assert!(recorder.has_message("stays at 1.00e-4"), "{:?}", recorder.messages);
    // Another learning rate makes the run learn again.
    let faster = TrainConfig { steps: 12, learning_rate: 1e-3, ..config };
    let (recorder, _) = run_until(&faster, true, None);
    assert!(recorder.rates()[0] > 2e-4, "{:?}", recorder.rates());
    assert!(recorder.has_message("learning rate changes from 1.00e-4 to"), "{:?}", recorder.messages);
}

/// The new course survives further interruptions, bit for bit.
#[test]
fn more_steps_in_the_middle_of_a_run_leave_the_learning_rate_without_a_jump() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 6000);
    let config = micro(root.path());
    let mut results = Vec::new();
    for (name, stop) in [("once", None), ("twice", Some(5))] {
        let short = TrainConfig { run: root.path().join(name), ..config.clone() };
        let (before, _) = run_until(&short, false, Some(3));
        let longer = TrainConfig { steps: 12, ..short };
        let (first, _) = run_until(&longer, true, stop);
        assert!(first.has_message("the learning rate goes on at"), "{:?}", first.messages);
        let mut rates = [before.rates(), first.rates()].concat();
        if stop.is_some() {
            let (rest, _) = run_until(&longer, true, None);
            assert!(!rest.has_message("learning rate"), "{:?}", rest.messages);
            rates.extend(rest.rates());
        }
        // Step 4 has the rate that it has in the short run: half-way between the first and the final one.
        let middle = (config.learning_rate + config.final_learning_rate) / 2.0;
        assert!(rates.len() == 12 && (rates[3] - middle).abs() < 1e-12, "{rates:?}");
        assert!(rates[2..].windows(2).all(|pair| pair[1] < pair[0]), "{rates:?}");
        results.push((rates, weights(&longer, 12)));
    }
    assert_eq!(results[0], results[1]);
}

#[test]
fn a_second_process_is_kept_out_of_a_run() {
    struct Intruder(TrainConfig, Vec<TrainError>);
    impl Listener for Intruder {
        fn event(&mut self, event: &Event<'_>) -> Flow {
            if let Event::Step(_) = event {
                for resume in [true, false] {
                    self.1.push(fails(&self.0, resume).1);
                }
            }
            Flow::Continue
        }
    }
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 6000);
    let config = TrainConfig { steps: 2, ..micro(root.path()) };
    let mut intruder = Intruder(config.clone(), Vec::new());
    train(&config, false, &Device::flex(), &mut intruder).unwrap();
    assert_eq!(intruder.1.len(), 4);
    assert!(intruder.1.iter().all(|error| matches!(error, TrainError::Locked(run) if *run == config.run)));
    run_until(&TrainConfig { steps: 3, ..config }, true, None);
}

#[test]
fn a_run_whose_settings_are_lost_goes_on_with_the_given_ones() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 6000);
    let config = micro(root.path());
    run_until(&config, false, Some(2));
    let saved = RunFolder::new(&config.run).config();
    std::fs::remove_file(&saved).unwrap();
    let (recorder, _) = run_until(&config, true, None);
    assert!(recorder.has_message("config.toml) are missing"), "{:?}", recorder.messages);
    assert_eq!(recorder.steps[0].step, 3);
    assert!(saved.is_file());
    // The network is compared with the checkpoint's all the same.
    std::fs::remove_file(&saved).unwrap();
    std::fs::write(&config.model, common::MICRO.replace("depths = [1, 1]", "depths = [1, 2]")).unwrap();
    assert!(matches!(fails(&config, true).1, TrainError::Changed { .. }));
}

/// The score and the best model come from the stems that sound.
#[test]
fn a_silent_stem_in_validation_ruins_no_score() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 3, 12_000);
    let config = TrainConfig { validation_interval: 3, validation_share: 0.3, ..micro(root.path()) };
    let dataset = open_dataset(root.path(), "train", &["drums".into(), "vocals".into()], 8000).unwrap();
    let held_out = split(dataset.tracks(), 0.3, config.seed).validation[0];
    let song = root.path().join("train").join(&dataset.tracks()[held_out].name);
    replace(&song.join("vocals.wav"), 12_000, |_| 0.0);
    let (recorder, report) = run_until(&config, false, None);
    for validation in &recorder.validations {
        let drums = validation.stems["drums"].usdr;
        assert_eq!((validation.stems.len(), validation.usdr), (1, Some(drums)));
        let silent = validation.silent["vocals"];
        assert!(silent.songs == 1 && silent.leak.unwrap().is_finite() && drums > -20.0, "{validation:?}");
    }
    let best = recorder.validations.iter().filter_map(|v| v.usdr).fold(f64::MIN, f64::max);
    assert_eq!(report.best.unwrap().usdr, best);
    let metrics = std::fs::read_to_string(RunFolder::new(&config.run).metrics()).unwrap();
    let line = metrics.lines().find(|line| line.contains("validation")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert!(line["usdr"].is_f64() && line["silent"]["vocals"]["leak"].is_f64(), "{line}");
    assert!(line["stems"].get("vocals").is_none(), "{line}");

    // A song without any sound gives no score. The run ends with its last weights.
    replace(&song.join("drums.wav"), 12_000, |_| 0.0);
    let silent = TrainConfig { run: root.path().join("silent"), ..config };
    let (recorder, report) = run_until(&silent, false, None);
    assert!(recorder.validations.iter().all(|v| v.usdr.is_none() && !v.best && v.silent.len() == 2));
    assert_eq!((report.best, report.model_step), (None, 6));
}

/// The error names the file and the time, and the steps before it are kept.
#[test]
fn damage_inside_a_song_ends_the_run_with_a_checkpoint() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 6000);
    let config = TrainConfig { validation_share: 0.0, checkpoint_interval: 0, ..micro(root.path()) };
    run_until(&TrainConfig { steps: 2, ..config.clone() }, false, None);
    for song in ["song-0", "song-1"] {
        // Behind the first block, which is read when the data set is opened.
        let path = root.path().join("train").join(song).join("drums.wav");
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() - 6000 * 8 + 4000 * 8;
        bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        // With the same time, the index does not notice the damage.
        let modified = path.metadata().unwrap().modified().unwrap();
        std::fs::write(&path, bytes).unwrap();
        std::fs::File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
    }
    let (recorder, error) = fails(&TrainConfig { steps: 100, ..config.clone() }, true);
    let TrainError::Song { step, source: DataError::Audio(_) } = &error else { panic!("{error}") };
    let text = error.to_string();
    assert!(text.contains("drums.wav: the sample at 0.500 s is NaN"), "{text}");
    assert!(text.contains(&format!("after step {step}")), "{text}");
    let done = recorder.steps.last().map_or(2, |step| step.step);
    assert_eq!((done, checkpoint(&config, done).state.step), (*step, *step));
}

#[test]
fn damage_found_by_a_validation_names_the_file_once() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 6000);
    let config = TrainConfig { validation_interval: 2, validation_share: 0.5, ..micro(root.path()) };
    let dataset = open_dataset(root.path(), "train", &["drums".into(), "vocals".into()], 8000).unwrap();
    let held_out = split(dataset.tracks(), 0.5, config.seed).validation[0];
    let path = root.path().join("train").join(&dataset.tracks()[held_out].name).join("drums.wav");
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let (_, error) = fails(&config, false);
    assert!(matches!(error, TrainError::Validation(EvaluateError::Data(_))), "{error}");
    assert_eq!(error.to_string().matches("drums.wav").count(), 1, "{error}");
}
