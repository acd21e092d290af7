//! Training on several devices. The CPU stands for all of them, each with its own thread and network.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

mod common;
mod recorder;

use burn::tensor::Device;
use common::{checkpoint, data_set, micro};
use recorder::{Recorder, run_until};
use std::path::Path;
use unbraid_train::settings::config::OptimizerKind;
use unbraid_train::{Checkpoint, TrainConfig, TrainError, TrainReport, train};

fn run_on(
    devices: usize,
    config: &TrainConfig,
    resume: bool,
    stop_after: Option<u64>,
) -> Result<(Recorder, TrainReport), TrainError> {
    let mut recorder = Recorder { stop_after, ..Default::default() };
    let report = train(config, resume, vec![Device::flex(); devices], &mut recorder)?;
    Ok((recorder, report))
}

fn bits(checkpoint: &Checkpoint) -> Vec<u32> {
    let Checkpoint { weights, average, moments: [first, second], .. } = checkpoint;
    [weights, average, first, second].into_iter().flatten().map(|x| x.to_bits()).collect()
}

/// ‖a − b‖ / ‖a‖
fn difference(a: &[f32], b: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let distance = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    distance / norm(&mut a.iter().map(|a| f64::from(*a)))
}

/// A run with what a step can have: clipping, Muon, frozen parameters.
fn run_named(root: &Path, name: &str) -> TrainConfig {
    TrainConfig {
        run: root.join(name),
        batch_size: 12,
        optimizer: OptimizerKind::Muon,
        clip_norm: 1e-3,
        freeze: vec!["encoder*".into()],
        ..micro(root)
    }
}

/// Several devices change the gradient no more than micro-batches on one device do, which is by rounding.
#[test]
fn several_devices_give_the_gradient_of_one() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 3, 6000);
    let config = |name: &str, micro_batch_size| TrainConfig {
        run: root.path().join(name),
        batch_size: 12,
        micro_batch_size,
        steps: 1,
        clip_norm: 1e9,
        ..micro(root.path())
    };
    // After one step, the first moment of AdamW is a tenth of the gradient.
    let gradient = |config: &TrainConfig, recorder: &Recorder| {
        let Checkpoint { moments: [first, _], .. } = checkpoint(config, 1);
        (first, recorder.steps[0].loss, recorder.steps[0].gradient_norm)
    };
    let alone = |name: &str, micro_batch_size| {
        let config = config(name, micro_batch_size);
        gradient(&config, &run_until(&config, false, None).0)
    };
    let (one, loss, norm) = alone("whole", 0);
    let rounding = difference(&one, &alone("single", 1).0);
    println!("micro-batches: relative difference of the gradient {rounding:.1e}");
    assert!(norm > 1e-3 && rounding < 1e-5, "{norm} {rounding}");
    for devices in [2, 3, 4, 6, 12] {
        let config = config(&format!("on-{devices}"), 0);
        let (recorder, _) = run_on(devices, &config, false, None).unwrap();
        let (several, several_loss, several_norm) = gradient(&config, &recorder);
        let error = difference(&one, &several);
        println!("{devices} devices: relative difference of the gradient {error:.1e}");
        assert!(error < 2.0 * rounding.max(1e-6), "{devices} devices: {error}");
        assert!((several_loss / loss - 1.0).abs() < 1e-5 && (several_norm / norm - 1.0).abs() < 1e-5);
    }
}

#[test]
fn a_run_may_change_its_devices_when_it_resumes() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 3, 6000);
    let validated =
        |config: TrainConfig| TrainConfig { validation_interval: 3, validation_share: 0.3, ..config };
    let whole = validated(run_named(root.path(), "whole"));
    let (straight, _) = run_on(2, &whole, false, None).unwrap();
    assert!(straight.validations.len() == 2 && straight.steps.iter().all(|step| step.updated));
    let parts = validated(run_named(root.path(), "parts"));
    run_on(2, &parts, false, Some(3)).unwrap();
    run_on(2, &parts, true, None).unwrap();
    assert_eq!(bits(&checkpoint(&whole, 6)), bits(&checkpoint(&parts, 6)));
    // A checkpoint of two devices is resumed with one and with three. Rounding is all that differs.
    for devices in [1, 3] {
        let other = validated(run_named(root.path(), &format!("then-{devices}")));
        run_on(2, &other, false, Some(3)).unwrap();
        let (recorder, report) = run_on(devices, &other, true, None).unwrap();
        assert_eq!((recorder.steps.len(), report.steps), (3, 6));
        let error = difference(&checkpoint(&whole, 6).weights, &checkpoint(&other, 6).weights);
        assert!(error < 1e-4, "{devices} devices: {error}");
    }
    // Frozen parameters keep their values.
    let frozen = straight.messages.iter().find_map(|message| message.split_once("tensors, ")).unwrap().1;
    let frozen: usize = frozen.split(' ').next().unwrap().parse().unwrap();
    let (before, after) = (checkpoint(&whole, 4), checkpoint(&whole, 6));
    let kept = before.weights.iter().zip(&after.weights).filter(|(a, b)| a == b).count();
    assert!(frozen > 0 && kept >= frozen && kept < before.weights.len(), "{kept} of {frozen}");
}

#[test]
fn a_batch_that_cannot_be_divided_is_refused() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 6000);
    let config = TrainConfig { batch_size: 4, ..micro(root.path()) };
    let error = run_on(3, &config, false, None).err().unwrap();
    assert!(matches!(error, TrainError::Parts { batch: 4, parts: 3 }), "{error}");
    assert!(!config.run.exists());
}

/// A loss that is not finite on one device counts on all, and the whole batch is saved.
#[test]
fn a_batch_that_breaks_a_step_is_saved_whole() {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 6000);
    let config = TrainConfig { gain_range: [1e38, 1e38], steps: 100, ..micro(root.path()) };
    let error = run_on(2, &config, false, None).err().unwrap();
    let TrainError::Diverged { step: 8, batch: Some(batch), .. } = &error else { panic!("{error}") };
    for segment in ["segment-0", "segment-1"] {
        assert!(batch.join(segment).join("vocals.wav").is_file());
    }
}
