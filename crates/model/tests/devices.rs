//! The network on every device: f16 tokens, gradient checkpointing and chunks against f32 without either. Without a
//! trusted GPU (llvmpipe is trusted) its tests are reported as ignored, with the reason.

mod common;

use std::collections::BTreeMap;

use burn::tensor::{DType, Device};
use common::{by_name, noise, sized, small, values};
use libtest_mimic::{Arguments, Completion, Trial};
use unbraid_base::snr_db;
use unbraid_model::{Execution, ModelConfig, Precision, Recompute, named_tensors, with_tensors};
use unbraid_ops::device::{self, Choice, DeviceError};

type Test = fn(&Device, &ModelConfig);

const TESTS: [(&str, DType, Test); 2] = [
    (
        "tokens_of_16_bits_give_the_same_stems_and_gradients",
        DType::F16,
        tokens_of_16_bits_give_the_same_stems_and_gradients,
    ),
    ("checkpointing_does_not_change_the_gradients", DType::F32, checkpointing_does_not_change_the_gradients),
];

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for (name, dtype, test) in TESTS {
        for choice in [Choice::Cpu, Choice::Gpu(None)] {
            let run = move || match device::select(choice) {
                Ok((device, _)) if !device.supports_dtype(dtype) => {
                    Ok(Completion::ignored_with(format!("the device has no {dtype:?}")))
                }
                Ok((device, _)) => {
                    // llvmpipe takes seconds to compile every kernel, so the GPU's network has one resolution.
                    let network = if choice == Choice::Cpu { small() } else { sized(&[8], &[2]) };
                    test(&device, &network);
                    Ok(Completion::Completed)
                }
                Err(error @ DeviceError::Unavailable { .. }) => Err(error.into()),
                Err(error) => Ok(Completion::ignored_with(error)),
            };
            trials.push(Trial::ignorable_test(format!("{choice}::{name}"), run));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// f16 has a significand of 11 bits. Stems and gradients differ from those of f32 by a little more than this rounding.
/// The gradients of parameters stay f32.
fn tokens_of_16_bits_give_the_same_stems_and_gradients(device: &Device, network: &ModelConfig) {
    // As in training. Without the scale, half of the gradients would underflow in f16.
    const LOSS_SCALE: f32 = 4096.0;
    device.seed(5);
    let tensors = named_tensors(&network.init(device)).expect("read back");
    let mixture = noise([2, 2, 3000], device);
    let target = noise([2, 2, 3000], device).unsqueeze_dim::<4>(1);
    let run = |precision, recompute, chunk| {
        let execution = Execution { tsa_chunk_size: chunk, fsa_chunk_size: chunk, recompute, precision };
        let model = network.init(&device.clone().autodiff()).with_execution(execution);
        let model = with_tensors(model, tensors.clone()).expect("the same shapes");
        let stems = model.forward(mixture.clone().autodiff());
        assert_eq!(stems.dtype(), DType::F32);
        let loss = (stems.clone() - target.clone().autodiff() * 0.3).abs().mean() * LOSS_SCALE;
        (values(stems.inner()), by_name(&model, &loss.backward()))
    };
    let (stems, gradients) = run(Precision::F32, Recompute::None, 0);
    for (recompute, chunk) in [(Recompute::None, 0), (Recompute::Block, 5)] {
        let (half_stems, half_gradients) = run(Precision::F16, recompute, chunk);
        let stems_snr = snr(&stems, &half_stems);
        let join = |gradients: &BTreeMap<String, Vec<f32>>| gradients.values().flatten().copied().collect();
        let (all, half): (Vec<f32>, Vec<f32>) = (join(&gradients), join(&half_gradients));
        let gradients_snr = snr(&all, &half);
        println!("{device:?} {recompute:?}: stems {stems_snr:.1} dB, gradients {gradients_snr:.1} dB");
        assert!(
            stems_snr > 50.0 && stems_snr < 100.0,
            "{recompute:?}: stems are {stems_snr} dB from those of f32"
        );
        assert!(gradients_snr > 40.0, "{recompute:?}: gradients are {gradients_snr} dB from those of f32");
        let scale = all.iter().fold(0f32, |m, x| m.max(x.abs()));
        assert!(half.iter().all(|x| x.is_finite()) && scale > 1e-3, "{scale}");
    }
}

fn snr(expected: &[f32], got: &[f32]) -> f64 {
    snr_db(expected.iter().map(|&x| f64::from(x)), got.iter().map(|&x| f64::from(x)))
}

/// Gradient checkpointing and chunks change neither stems nor gradients.
fn checkpointing_does_not_change_the_gradients(device: &Device, network: &ModelConfig) {
    let on_cpu = *device == Device::flex();
    device.seed(4);
    let tensors = named_tensors(&network.init(device)).expect("read back");
    let mixture = noise([2, 2, 3000], device);
    let run = |recompute, tsa_chunk_size, fsa_chunk_size| {
        let execution = Execution { tsa_chunk_size, fsa_chunk_size, recompute, precision: Precision::F32 };
        let model = network.init(&device.clone().autodiff()).with_execution(execution);
        let model = with_tensors(model, tensors.clone()).expect("the same shapes");
        let stems = model.forward(mixture.clone().autodiff());
        let gradients = by_name(&model, &stems.clone().square().sum().backward());
        (values(stems.inner()), gradients)
    };
    let (stems, gradients) = run(Recompute::None, 0, 0);
    let model = with_tensors(network.init(device), tensors.clone()).expect("the same shapes");
    let without_autodiff = values(model.forward(mixture.clone()));
    let settings = [
        (Recompute::Block, 32, 9),
        (Recompute::Sublayer, 0, 0),
        (Recompute::Sublayer, 7, 6),
        (Recompute::Block, 0, 0),
        (Recompute::Block, 5, 3),
        (Recompute::None, 4, 9),
    ];
    for setting in settings.into_iter().take(if on_cpu { 6 } else { 1 }) {
        let (again, recomputed) = run(setting.0, setting.1, setting.2);
        if on_cpu && setting.0 != Recompute::None {
            assert!(without_autodiff == again, "{setting:?}");
        }
        let largest = stems.iter().fold(0f32, |m, x| m.max(x.abs()));
        let error = stems.iter().zip(&again).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(error <= 1e-5 * largest, "{setting:?}: {error} of {largest}");
        for (name, gradient) in &gradients {
            let largest = gradient.iter().fold(0f32, |m, x| m.max(x.abs()));
            let error = gradient.iter().zip(&recomputed[name]).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
            assert!(largest > 0.0 && error < 1e-4 * largest, "{setting:?}, {name}: {error} of {largest}");
        }
    }
}
