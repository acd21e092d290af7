//! Training on a GPU. Without one (llvmpipe counts) the tests are reported as ignored, with the reason.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

mod common;

use burn::tensor::{DType, Device};
use common::{checkpoint, data_set, micro};
use libtest_mimic::{Arguments, Completion, Trial};
use unbraid_model::Precision;
use unbraid_ops::device::{self, Choice, DeviceError};
use unbraid_train::{Event, Flow, Listener, TrainConfig, train};

fn main() {
    let arguments = Arguments::from_args();
    let trials = [
        (
            "training_in_16_bits_follows_training_in_32",
            training_in_16_bits_follows_training_in_32 as fn(&Device),
        ),
        ("two_devices_in_16_bits_follow_one", two_devices_in_16_bits_follow_one),
    ];
    let trials = trials.map(|(name, test)| trial(name, test)).into();
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: &str, test: fn(&Device)) -> Trial {
    Trial::ignorable_test(name, move || {
        let device = match device::select(Choice::Gpu(None)) {
            Ok((device, _)) => device,
            Err(error @ DeviceError::Unavailable { .. }) => return Err(error.into()),
            Err(error) => return Ok(Completion::ignored_with(error)),
        };
        if !device.supports_dtype(DType::F16) {
            return Ok(Completion::ignored_with("the GPU has no 16-bit floats"));
        }
        test(&device);
        Ok(Completion::Completed)
    })
}

/// The loss and the loss scale of every step.
#[derive(Default)]
struct Losses {
    steps: Vec<(f64, Option<f64>)>,
    stop_after: Option<usize>,
}

impl Listener for Losses {
    fn event(&mut self, event: &Event<'_>) -> Flow {
        if let Event::Step(step) = event {
            self.steps.push((step.loss, step.loss_scale));
        }
        if self.stop_after == Some(self.steps.len()) { Flow::Stop } else { Flow::Continue }
    }
}

/// The losses in f16 are close to those in f32. The loss scale is part of a checkpoint, and a resumed run restores it.
fn training_in_16_bits_follows_training_in_32(device: &Device) {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 7000);
    let losses = |precision, resume, stop_after| {
        let run = root.path().join(format!("{precision:?}"));
        let config = TrainConfig { precision, run, ..micro(root.path()) };
        let mut losses = Losses { stop_after, ..Default::default() };
        train(&config, resume, device, &mut losses).unwrap();
        (losses.steps, config)
    };
    let (exact, exact_config) = losses(Precision::F32, false, None);
    let (half, config) = losses(Precision::F16, false, Some(4));
    let kept = checkpoint(&config, 4).state.loss_scale.unwrap();
    let (rest, _) = losses(Precision::F16, true, None);
    assert_eq!((exact.len(), half.len(), rest.len()), (6, 4, 2));
    assert_eq!(rest[0].1, Some(kept.factor()));
    let mut equal = 0;
    for (i, ((exact, scale), (half, half_scale))) in exact.iter().zip(half.iter().chain(&rest)).enumerate() {
        assert!(scale.is_none() && half_scale.is_some_and(|scale| scale > 1.0));
        assert!((half / exact - 1.0).abs() < 5e-3, "step {}: {half} for {exact}", i + 1);
        equal += usize::from(half == exact);
    }
    let weights = |config| checkpoint(config, 4).weights;
    assert_ne!(weights(&exact_config), weights(&config), "the run in 16 bits computes in 32 bits");
    // One of the losses may be equal by chance.
    assert!(equal <= 1, "{equal} losses in 16 bits are those in 32 bits");
    assert!(exact[5].0 < 0.9 * exact[0].0, "{exact:?}");
}

/// The same GPU twice. The loss scale is too large at first, so both devices must skip the same updates.
fn two_devices_in_16_bits_follow_one(device: &Device) {
    let root = tempfile::tempdir().unwrap();
    data_set(root.path(), 2, 7000);
    let losses = |devices: usize| {
        let run = root.path().join(format!("on-{devices}"));
        let config = TrainConfig { precision: Precision::F16, run, ..micro(root.path()) };
        let mut losses = Losses::default();
        train(&config, false, vec![device.clone(); devices], &mut losses).unwrap();
        (losses.steps, checkpoint(&config, 6).weights)
    };
    let ((one, weights), (two, weights_of_two)) = (losses(1), losses(2));
    assert_eq!((one.len(), two.len()), (6, 6));
    for (i, ((one, scale), (two, scale_of_two))) in one.iter().zip(&two).enumerate() {
        assert_eq!(scale, scale_of_two, "step {}", i + 1);
        assert!((two / one - 1.0).abs() < 5e-3, "step {}: {two} for {one}", i + 1);
    }
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
    let zeros = vec![0f32; weights.len()];
    let error = (distance(&weights, &weights_of_two) / distance(&weights, &zeros)).sqrt();
    assert!(error < 5e-2, "{error}");
}
