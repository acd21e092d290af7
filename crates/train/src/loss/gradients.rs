//! Values and gradients of every term against formulas in f64 and their finite differences.

use super::*;
use burn::tensor::{Device, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::f64::consts::PI;
use unbraid_model::Recompute;

const DIMS: [usize; 4] = [2, 2, 2, 400];
const N_FFT: usize = 256;
const WEIGHTS: [f64; 2] = [0.5, 3.0];

fn config(term: &str) -> TrainConfig {
    TrainConfig {
        loss: BTreeMap::from([(term.to_owned(), 1.0)]),
        loss_resolutions: vec![N_FFT],
        stem_weights: BTreeMap::from([("a".to_owned(), WEIGHTS[0]), ("b".to_owned(), WEIGHTS[1])]),
        ..Default::default()
    }
}

fn loss(config: &TrainConfig) -> Loss {
    Loss::new(config).unwrap().for_stems(config, &["a".into(), "b".into()]).unwrap()
}

fn noise(seed: u64) -> Vec<f64> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    (0..DIMS.iter().product()).map(|_| f64::from(generator.random_range(-0.5..0.5f32))).collect()
}

fn tensor(values: &[f64]) -> Tensor<4> {
    let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    Tensor::from_data(TensorData::new(values, DIMS), &Device::flex().autodiff())
}

/// The total and its gradient.
fn step(loss: &Loss, estimate: &[f64], target: &[f64]) -> (f64, Vec<f64>) {
    let x = tensor(estimate).require_grad();
    let values = loss.forward(x.clone(), tensor(target));
    let gradient = x.grad(&values.total.backward()).unwrap().into_data_as::<f32>();
    let gradient = gradient.as_slice::<f32>().unwrap().iter().map(|value| f64::from(*value)).collect();
    (values.total.inner().into_scalar::<f32>().into(), gradient)
}

/// The mean over the stems of `of(estimate, target)`, with their weights. The arguments are both channels.
fn over_stems(estimate: &[f64], target: &[f64], of: impl Fn(&[f64], &[f64]) -> f64) -> f64 {
    let size = DIMS[2] * DIMS[3];
    let stems = estimate.chunks(size).zip(target.chunks(size)).enumerate();
    let sum: f64 = stems.map(|(i, (estimate, target))| WEIGHTS[i % 2] * of(estimate, target)).sum();
    sum / (DIMS[0] * DIMS[1]) as f64
}

fn mean_of(estimate: &[f64], target: &[f64], of: impl Fn(f64) -> f64) -> f64 {
    estimate.iter().zip(target).map(|(e, s)| of(e - s)).sum::<f64>() / estimate.len() as f64
}

/// The spectrogram of one channel by a plain Fourier sum, divided by the window's norm.
fn spectrogram(channel: &[f64]) -> Vec<[f64; 2]> {
    let n = channel.len() as isize;
    let reflect = |i: isize| {
        let i = i.abs();
        channel[if i >= n { 2 * (n - 1) - i } else { i } as usize]
    };
    let window: Vec<f64> =
        (0..N_FFT).map(|i| 0.5 - 0.5 * (2.0 * PI * i as f64 / N_FFT as f64).cos()).collect();
    let norm = window.iter().map(|w| w * w).sum::<f64>().sqrt();
    let mut bins = Vec::new();
    for frame in 0..=channel.len() / (N_FFT / 4) {
        for bin in 0..=N_FFT / 2 {
            let mut sum = [0.0; 2];
            for (i, w) in window.iter().enumerate() {
                let x = w * reflect((frame * N_FFT / 4 + i) as isize - N_FFT as isize / 2) / norm;
                let angle = -2.0 * PI * (bin * i % N_FFT) as f64 / N_FFT as f64;
                sum = [sum[0] + x * angle.cos(), sum[1] + x * angle.sin()];
            }
            bins.push(sum);
        }
    }
    bins
}

/// The mean over the channels and bins of `of(estimate, target)`.
fn over_bins(estimate: &[f64], target: &[f64], of: impl Fn([f64; 2], [f64; 2]) -> f64) -> f64 {
    let spectra = |signal: &[f64]| signal.chunks(DIMS[3]).flat_map(spectrogram).collect::<Vec<_>>();
    let (estimate, target) = (spectra(estimate), spectra(target));
    estimate.iter().zip(&target).map(|(e, s)| of(*e, *s)).sum::<f64>() / estimate.len() as f64
}

fn si_sdr(estimate: &[f64], target: &[f64]) -> f64 {
    let mean = |of: &dyn Fn(f64, f64) -> f64| {
        estimate.iter().zip(target).map(|(e, s)| of(*e, *s)).sum::<f64>() / estimate.len() as f64
    };
    let alpha = mean(&|e, s| e * s) / (mean(&|_, s| s * s) + 1e-8);
    let signal = mean(&|_, s| (alpha * s).powi(2)) + 1e-8;
    let distortion = mean(&|e, s| (e - alpha * s).powi(2)) + 1e-8;
    -10.0 * (signal / distortion).log10()
}

fn mixture(estimate: &[f64], target: &[f64]) -> f64 {
    let size = DIMS[2] * DIMS[3];
    let items = estimate.chunks(2 * size).zip(target.chunks(2 * size));
    let sum = |(e, s): (&[f64], &[f64])| {
        (0..size).map(|i| (e[i] + e[size + i] - s[i] - s[size + i]).abs()).sum::<f64>()
    };
    items.map(sum).sum::<f64>() / (DIMS[0] * size) as f64
}

/// The formula of a term.
fn formula(term: &str, estimate: &[f64], target: &[f64]) -> f64 {
    match term {
        "waveform" => over_stems(estimate, target, |e, s| mean_of(e, s, f64::abs)),
        "mse" => over_stems(estimate, target, |e, s| mean_of(e, s, |x| x * x)),
        "si_sdr" => over_stems(estimate, target, si_sdr),
        "mixture" => mixture(estimate, target),
        "spectral" => over_stems(estimate, target, |e, s| {
            over_bins(e, s, |e, s| (e[0] - s[0]).abs() + (e[1] - s[1]).abs())
        }),
        "magnitude" => over_stems(estimate, target, |e, s| {
            let modulus = |z: [f64; 2]| z[0].hypot(z[1]);
            over_bins(e, s, |e, s| (modulus(e) - modulus(s)).abs())
        }),
        other => panic!("the term {other} has no formula"),
    }
}

/// Along random directions, and along the estimate itself.
#[test]
fn every_term_agrees_with_its_formula_and_its_finite_differences() {
    let target = noise(1);
    let estimate: Vec<f64> = target.iter().zip(noise(2)).map(|(s, e)| 0.8 * s + 0.3 * e).collect();
    for Registered { name, .. } in TERMS {
        let (value, gradient) = step(&loss(&config(name)), &estimate, &target);
        let expected = formula(name, &estimate, &target);
        assert!((value - expected).abs() < 1e-5 * expected.abs(), "{name}: {value} against {expected}");
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        for direction in [noise(3), noise(4), estimate.clone()] {
            let along: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
            let at = |step: f64| {
                let moved: Vec<f64> = estimate.iter().zip(&direction).map(|(e, d)| e + step * d).collect();
                formula(name, &moved, &target)
            };
            let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
            let length = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
            // A direction is almost orthogonal to the gradient, so the scale is the product of their norms. The f32
            // values decide the sign of an error below their rounding, which is 1e-7 of the samples.
            let error = (along - difference).abs();
            assert!(error < 1e-4 * norm * length, "{name}: {along} against {difference}");
        }
    }
}

/// A reference or an estimate of zeros, or both.
#[test]
fn every_term_and_its_gradient_are_finite_at_silence() {
    let (silence, sound) = (vec![0.0; DIMS.iter().product()], noise(5));
    for Registered { name, .. } in TERMS {
        let loss = loss(&config(name));
        for (estimate, target) in
            [(&silence, &silence), (&sound, &silence), (&silence, &sound), (&sound, &sound)]
        {
            let (value, gradient) = step(&loss, estimate, target);
            assert!(value.is_finite() && gradient.iter().all(|g| g.is_finite()), "{name}: {value}");
            // With δ, the SI-SDR of a perfect estimate still rises with its level.
            if estimate == target && (*name != "si_sdr" || *estimate == silence) {
                let largest = gradient.iter().fold(0f64, |most, g| most.max(g.abs()));
                assert!(largest < 1e-3, "{name}: {largest}");
            }
        }
        let quiet: Vec<f64> = sound.iter().map(|x| 0.1 * x).collect();
        let (loud, quiet) = (step(&loss, &sound, &silence).0, step(&loss, &quiet, &silence).0);
        assert!(quiet < loud, "{name}: a quieter estimate of silence is better, {quiet} against {loud}");
    }
}

#[test]
fn rows_one_at_a_time_give_the_same_magnitudes() {
    let plain = config("magnitude");
    let rows = TrainConfig { recompute: Recompute::Sublayer, ..plain.clone() };
    let (estimate, target) = (noise(6), noise(7));
    let ((value, gradient), (again, recomputed)) =
        (step(&loss(&plain), &estimate, &target), step(&loss(&rows), &estimate, &target));
    assert!((value - again).abs() < 1e-6 * value, "{value} {again}");
    let largest = gradient.iter().fold(0f64, |most, g| most.max(g.abs()));
    let error = gradient.iter().zip(&recomputed).fold(0f64, |most, (a, b)| most.max((a - b).abs()));
    assert!(error < 1e-6 * largest, "{error} of {largest}");
}

#[test]
fn weights_of_stems_that_do_not_exist_are_refused() {
    let stems = ["a", "b"].map(String::from);
    let with = |weights: &[(&str, f64)]| {
        let stem_weights = weights.iter().map(|(stem, weight)| ((*stem).into(), *weight)).collect();
        let config = TrainConfig { stem_weights, ..Default::default() };
        Loss::new(&config).unwrap().for_stems(&config, &stems)
    };
    let error = with(&[("a", 2.0), ("c", 1.0)]).err().unwrap().to_string();
    assert!(error.contains("\"c\"") && error.contains("a, b"), "{error}");
    assert!(matches!(with(&[("a", 0.0), ("b", 0.0)]), Err(LossError::NoStem)));
    assert_eq!(with(&[("b", 2.0)]).unwrap().stem_weights, Some(vec![1.0, 2.0]));
    assert_eq!(with(&[("a", 1.0)]).unwrap().stem_weights, None);
}
