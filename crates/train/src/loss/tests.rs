//! Tests of the loss and its terms.

use super::*;
use burn::tensor::{Device, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cell::RefCell;
use std::collections::BTreeMap;
use unbraid_model::Recompute;

fn loss(resolutions: &[usize]) -> Loss {
    Loss::new(&TrainConfig { loss_resolutions: resolutions.to_vec(), ..Default::default() }).unwrap()
}

#[test]
fn row_by_row_loss_and_gradient_are_the_same() {
    let device = Device::flex().autodiff();
    let config = TrainConfig { loss_resolutions: vec![256, 512], ..Default::default() };
    let (plain, rows) = (
        Loss::new(&config).unwrap(),
        Loss::new(&TrainConfig { recompute: Recompute::Sublayer, ..config }).unwrap(),
    );
    let (estimate, target) = (random(&device, [1, 2, 2, 900]), random(&device, [1, 2, 2, 900]));
    let run = |loss: &Loss| {
        let x = estimate.clone().inner().autodiff().require_grad();
        let parts = loss.forward(x.clone(), target.clone());
        let total = value(parts.total.clone().inner());
        (total, x.grad(&parts.total.backward()).unwrap().into_data_as::<f32>().try_to_vec::<f32>().unwrap())
    };
    let ((plain, gradient), (again, recomputed)) = (run(&plain), run(&rows));
    assert!((plain - again).abs() < 1e-6 * plain, "{plain} {again}");
    for (a, b) in gradient.iter().zip(&recomputed) {
        assert!((a - b).abs() < 1e-6 * gradient[0].abs().max(1e-3), "{a} {b}");
    }
}

fn weights(weights: &[(&str, f64)]) -> BTreeMap<String, f64> {
    weights.iter().map(|&(name, weight)| (name.to_owned(), weight)).collect()
}

thread_local! {
    /// burn's generator belongs to the process, so that its values would depend on the other tests.
    static GENERATOR: RefCell<ChaCha8Rng> = RefCell::new(ChaCha8Rng::seed_from_u64(1));
}

/// Values of variance 1, the same in every run of a test.
fn random(device: &Device, dims: [usize; 4]) -> Tensor<4> {
    let width = 12f32.sqrt();
    let values = GENERATOR.with_borrow_mut(|generator| {
        let value = |_| width * (generator.random::<f32>() - 0.5);
        (0..dims.iter().product()).map(value).collect::<Vec<f32>>()
    });
    Tensor::from_data(TensorData::new(values, dims), device)
}

fn value(x: Tensor<1>) -> f64 {
    f64::from(x.into_scalar::<f32>())
}

/// The value of the term `name`, without its weight.
fn term(loss: &Loss, values: &LossValues, name: &str) -> f64 {
    let index = loss.names().position(|known| known == name).unwrap();
    value(values.terms[index].clone())
}

/// The formula of `spectral.rs` at one resolution, in f64, with a plain Fourier sum.
fn naive(error: &[f32], n_fft: usize) -> f64 {
    let (hop, pad, n) = (n_fft / 4, n_fft / 2, error.len() as isize);
    let reflect = |i: isize| {
        let i = if i < 0 { -i } else { i };
        f64::from(error[if i >= n { 2 * (n - 1) - i } else { i } as usize])
    };
    let window: Vec<f64> = (0..n_fft)
        .map(|i| 0.5 - 0.5 * (2.0 * std::f64::consts::PI * i as f64 / n_fft as f64).cos())
        .collect();
    let norm = window.iter().map(|w| w * w).sum::<f64>().sqrt();
    let (mut sum, mut count) = (0.0, 0);
    for frame in 0..=error.len() / hop {
        for bin in 0..=n_fft / 2 {
            let (mut re, mut im) = (0.0, 0.0);
            for i in 0..n_fft {
                let x = window[i] * reflect((frame * hop + i) as isize - pad as isize);
                let angle = -2.0 * std::f64::consts::PI * (bin * i % n_fft) as f64 / n_fft as f64;
                re += x * angle.cos();
                im += x * angle.sin();
            }
            sum += (re.abs() + im.abs()) / norm;
            count += 1;
        }
    }
    sum / f64::from(count)
}

#[test]
fn matches_the_formula() {
    let device = Device::flex();
    let error = random(&device, [1, 1, 1, 700]);
    let samples = error.to_data_as::<f32>().try_to_vec::<f32>().unwrap();
    let loss = loss(&[256, 512]);
    let values = loss.forward(error.clone(), error.zeros_like());
    let waveform = samples.iter().map(|x| f64::from(x.abs())).sum::<f64>() / 700.0;
    let spectral = (naive(&samples, 256) + naive(&samples, 512)) / 2.0;
    assert!((term(&loss, &values, "waveform") - waveform).abs() < 1e-5 * waveform);
    assert!((term(&loss, &values, "spectral") - spectral).abs() < 1e-5 * spectral);
    assert!((value(values.total) - waveform - spectral).abs() < 1e-5 * (waveform + spectral));
}

/// The division by the window's norm keeps one resolution from dominating the others and the waveform.
#[test]
fn white_noise_has_the_same_weight_in_every_resolution() {
    let device = Device::flex();
    let noise = random(&device, [1, 1, 2, 8000]);
    let of = |n, name| {
        let loss = loss(&[n]);
        term(&loss, &loss.forward(noise.clone(), noise.zeros_like()), name)
    };
    let (short, long) = (of(256, "spectral"), of(2048, "spectral"));
    assert!((short / long - 1.0).abs() < 0.1, "{short} against {long}");
    // E(|Re| + |Im|) / ‖w‖ is 2/√π standard deviations, E|e| is √(2/π).
    let ratio = short / of(256, "waveform");
    assert!((ratio / 2f64.sqrt() - 1.0).abs() < 0.1, "{ratio}");
}

#[test]
fn the_weights_choose_the_terms() {
    let device = Device::flex();
    let (estimate, target) = (random(&device, [1, 2, 2, 400]), random(&device, [1, 2, 2, 400]));
    let config = |waveform, spectral| TrainConfig {
        loss: weights(&[("waveform", waveform), ("spectral", spectral)]),
        loss_resolutions: vec![256],
        ..Default::default()
    };
    let both = Loss::new(&config(0.5, 3.0)).unwrap();
    let values = both.forward(estimate.clone(), target.clone());
    let sum = 0.5 * term(&both, &values, "waveform") + 3.0 * term(&both, &values, "spectral");
    assert!((value(values.total) - sum).abs() < 1e-6 * sum);

    let one = Loss::new(&config(2.0, 0.0)).unwrap();
    assert_eq!(one.names().collect::<Vec<_>>(), ["waveform"]);
    let values = one.forward(estimate, target);
    assert_eq!(value(values.total.clone()), 2.0 * term(&one, &values, "waveform"));

    assert!(matches!(Loss::new(&config(0.0, 0.0)), Err(LossError::NoTerm)));
    let none = TrainConfig { loss_resolutions: vec![], ..config(1.0, 1.0) };
    assert!(matches!(Loss::new(&none), Err(LossError::NoResolution)));
}

#[test]
fn an_unknown_term_is_named_with_those_that_exist() {
    let config = TrainConfig { loss: weights(&[("waveform", 1.0), ("mae", 1.0)]), ..Default::default() };
    let error = Loss::new(&config).err().unwrap();
    let error = error.to_string();
    assert!(error.contains("\"mae\"") && TERMS.iter().all(|term| error.contains(term.name)), "{error}");
}

/// A step's event has the key `loss_scale`, and the settings have `loss_resolutions`.
#[test]
fn names_of_terms_are_unique_and_collide_with_no_key() {
    for (i, Registered { name, .. }) in TERMS.iter().enumerate() {
        assert!(!["scale", "resolutions"].contains(name));
        assert!(TERMS[..i].iter().all(|earlier| earlier.name != *name), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
    }
}

#[test]
fn gradient_agrees_with_finite_differences_and_is_zero_at_the_target() {
    let device = Device::flex().autodiff();
    let loss = loss(&[256]);
    let target = random(&device, [1, 2, 2, 400]);
    let x = (target.clone() + random(&device, [1, 2, 2, 400])).inner().autodiff().require_grad();
    let gradient = x.grad(&loss.forward(x.clone(), target.clone()).total.backward()).unwrap();
    let direction = random(&device.clone().inner(), [1, 2, 2, 400]);
    let along = value((gradient * direction.clone()).sum());
    let step = 1e-3;
    let at = |sign: f64| {
        let moved = x.clone().inner() + direction.clone().mul_scalar(sign * step);
        value(loss.forward(moved, target.clone().inner()).total)
    };
    let difference = (at(1.0) - at(-1.0)) / (2.0 * step);
    // |x| is not smooth and the sum is in f32: agreement to a percent of the slope's scale.
    assert!((along - difference).abs() < 0.02 * difference.abs().max(0.1), "{along} against {difference}");

    let x = target.clone().inner().autodiff().require_grad();
    let gradient = x.grad(&loss.forward(x.clone(), target).total.backward()).unwrap();
    let data: TensorData = gradient.into_data_as::<f32>();
    assert!(data.as_slice::<f32>().unwrap().iter().all(|g| *g == 0.0));
}
