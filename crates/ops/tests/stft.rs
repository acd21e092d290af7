//! STFT and inverse STFT compared with their definitions in f64, on the CPU and on a trusted adapter.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

use std::f64::consts::TAU;

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use libtest_mimic::{Arguments, Completion, Trial};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unbraid_ops::device::{self, Choice, DeviceError};
use unbraid_ops::{Stft, StftError, istft, poison_outputs, stft};

type Test = fn(&Device);

/// The tests that run on a device, with the type that the device must support.
const TESTS: [(&str, DType, Test); 6] = [
    ("both_directions_match_the_definition", DType::F32, both_directions_match_the_definition),
    ("the_inverse_returns_every_sample", DType::F32, the_inverse_returns_every_sample),
    ("gradients_are_the_adjoints", DType::F32, gradients_are_the_adjoints),
    (
        "the_first_and_last_samples_gradients_match_finite_differences",
        DType::F32,
        the_first_and_last_samples_gradients_match_finite_differences,
    ),
    ("half_precision_is_limited_by_its_storage", DType::F16, half_precision_is_limited_by_its_storage),
    ("results_do_not_change_from_run_to_run", DType::F32, results_do_not_change_from_run_to_run),
];

/// Runs every test on the CPU and on a trusted adapter. Without an adapter, its tests are reported as ignored, with the
/// reason. Outputs are poisoned, so that unwritten elements stay NaN.
fn main() {
    let arguments = Arguments::from_args();
    poison_outputs(true);
    let sizes = Trial::test("impossible_sizes_are_refused", || {
        impossible_sizes_are_refused();
        Ok(())
    });
    let mut trials = vec![sizes];
    for (name, dtype, test) in TESTS {
        for choice in [Choice::Cpu, Choice::Gpu(None)] {
            let run = move || match device::select(choice) {
                Ok((device, _)) if !device.supports_dtype(dtype) => {
                    Ok(Completion::ignored_with(format!("the device has no {dtype:?}")))
                }
                Ok((device, _)) => {
                    test(&device);
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

/// Noise of variance 1: sums of four uniform numbers.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut uniform = || f64::from(rng.next_u32()) / f64::from(u32::MAX);
    (0..count).map(|_| (((0..4).map(|_| uniform()).sum::<f64>() - 2.0) * 3f64.sqrt()) as f32).collect()
}

fn window(n_fft: usize) -> Vec<f64> {
    (0..n_fft).map(|j| 0.5 - 0.5 * (TAU * j as f64 / n_fft as f64).cos()).collect()
}

/// The definition: frames of the reflected signal, window, DFT.
fn reference_stft(x: &[f32], n_fft: usize, hop: usize) -> Vec<f64> {
    let (n, window) = (x.len() as isize, window(n_fft));
    let turns: Vec<(f64, f64)> = (0..n_fft).map(|j| (-TAU * j as f64 / n_fft as f64).sin_cos()).collect();
    let mut spectrogram = Vec::new();
    for t in 0..x.len() / hop + 1 {
        let sample = |j: usize| {
            let m = (t * hop + j) as isize - n_fft as isize / 2;
            let m = if m < 0 {
                -m
            } else if m >= n {
                2 * (n - 1) - m
            } else {
                m
            };
            window[j] * f64::from(x[m as usize])
        };
        let frame: Vec<f64> = (0..n_fft).map(sample).collect();
        for k in 0..=n_fft / 2 {
            let mut bin = (0.0, 0.0);
            for (j, x) in frame.iter().enumerate() {
                let (sin, cos) = turns[j * k % n_fft];
                bin = (bin.0 + x * cos, bin.1 + x * sin);
            }
            spectrogram.extend([bin.0, bin.1]);
        }
    }
    spectrogram
}

/// The definition: Hermitian spectrum, inverse DFT, window, sum, division by the summed squared windows.
fn reference_istft(spectrogram: &[f32], n_fft: usize, hop: usize, samples: usize) -> Vec<f64> {
    let (bins, window) = (n_fft / 2 + 1, window(n_fft));
    let turns: Vec<(f64, f64)> = (0..n_fft).map(|j| (TAU * j as f64 / n_fft as f64).sin_cos()).collect();
    let (mut sum, mut squares) = (vec![0.0; samples], vec![0.0; samples]);
    for (t, frame) in spectrogram.chunks_exact(2 * bins).enumerate() {
        for j in 0..n_fft {
            let m = (t * hop + j) as isize - n_fft as isize / 2;
            if m < 0 || m >= samples as isize {
                continue;
            }
            let mut y = 0.0;
            for k in 0..n_fft {
                let (bin, sign) = if k < bins { (k, 1.0) } else { (n_fft - k, -1.0) };
                let real = bin == 0 || bin == n_fft / 2;
                let (re, im) = (
                    f64::from(frame[2 * bin]),
                    if real { 0.0 } else { sign * f64::from(frame[2 * bin + 1]) },
                );
                let (sin, cos) = turns[j * k % n_fft];
                y += re * cos - im * sin;
            }
            sum[m as usize] += window[j] * y / n_fft as f64;
            squares[m as usize] += window[j] * window[j];
        }
    }
    sum.iter().zip(&squares).map(|(sum, squares)| sum / squares).collect()
}

fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert_dtype(DType::F32).try_to_vec().expect("f32")
}

/// Signal-to-noise ratio in dB. A NaN in the values makes it NaN, which fails every comparison.
fn snr(reference: impl IntoIterator<Item = f64>, values: &[f32]) -> f64 {
    unbraid_base::snr_db(reference, values.iter().map(|&x| f64::from(x)))
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn norm(a: &[f32]) -> f64 {
    dot(a, a).sqrt()
}

fn both_directions_match_the_definition(device: &Device) {
    // Every radix separately and mixed, hops that divide n_fft and hops that do not, and various signal lengths.
    for (n_fft, hop, samples) in [
        (256, 64, 129),
        (256, 1, 140),
        (300, 75, 617),
        (360, 90, 999),
        (480, 100, 1000),
        (500, 125, 1000),
        (512, 128, 5 * 128),
        (972, 243, 1701),
        (1000, 250, 1751),
        (1024, 255, 2000),
        (1250, 300, 1500),
        (1536, 384, 2000),
        (2000, 441, 2207),
        (4050, 1012, 3100),
        (4096, 1024, 4100),
    ] {
        let plan = Stft::new(n_fft, hop).unwrap();
        let (frames, bins) = (samples / hop + 1, n_fft / 2 + 1);
        let wave = noise(2 * samples, n_fft as u64);
        let spectrum = noise(2 * frames * bins * 2, hop as u64);
        let wanted_spectrum: Vec<f64> =
            wave.chunks_exact(samples).flat_map(|x| reference_stft(x, n_fft, hop)).collect();
        let wanted_wave: Vec<f64> = spectrum
            .chunks_exact(frames * bins * 2)
            .flat_map(|s| reference_istft(s, n_fft, hop, samples))
            .collect();
        let got = stft(tensor(&wave, [2, samples], device), &plan);
        assert_eq!(got.dims(), [2, frames, bins, 2]);
        let forward = snr(wanted_spectrum.iter().copied(), &values(got));
        let got = istft(tensor(&spectrum, [2, frames, bins, 2], device), &plan, samples);
        let inverse = snr(wanted_wave.iter().copied(), &values(got));
        // An f32 FFT has an error of about 0.3 ε √log2 n_fft (Schatzman 1996), which is 140 dB. A bound of half as
        // many bits would hide a wrong table; 130 dB does not.
        assert!(
            forward > 130.0 && inverse > 130.0,
            "{n_fft}/{hop}, {samples} samples: {forward:.1} dB, inverse {inverse:.1} dB"
        );
    }
}

fn the_inverse_returns_every_sample(device: &Device) {
    for (n_fft, hop, samples) in
        [(256, 64, 4097), (2048, 512, 30_001), (2048, 441, 44_100), (1536, 384, 9599), (4096, 1024, 20_479)]
    {
        let plan = Stft::new(n_fft, hop).unwrap();
        let wave = noise(3 * samples, 5);
        let back = values(istft(stft(tensor(&wave, [3, samples], device), &plan), &plan, samples));
        let ratio = snr(wave.iter().map(|&x| f64::from(x)), &back);
        let worst = wave.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(
            ratio >= 120.0 && worst < 1e-5,
            "{n_fft}/{hop}, {samples} samples: {ratio:.1} dB, worst sample off by {worst:.1e}"
        );
    }
}

/// ⟨A x, y⟩ = ⟨x, Aᵀ y⟩, with Aᵀ y from autodiff.
fn gradients_are_the_adjoints(device: &Device) {
    for (n_fft, hop, samples) in
        [(256, 64, 129), (300, 70, 1001), (480, 120, 241), (1024, 256, 4000), (4096, 1000, 9000)]
    {
        let plan = Stft::new(n_fft, hop).unwrap();
        let (frames, bins) = (plan.frames(samples), plan.bins());
        let (wave, spectrum) = (noise(2 * samples, 1), noise(2 * frames * bins * 2, 2));
        let device = &device.clone().autodiff();
        let x = tensor(&wave, [2, samples], device).require_grad();
        let y = tensor(&spectrum, [2, frames, bins, 2], device).require_grad();

        let ax = stft(x.clone(), &plan);
        let aty = x.grad(&(ax.clone() * y.clone().detach()).sum().backward()).unwrap();
        let by = istft(y.clone(), &plan, samples);
        let btx = y.grad(&(by.clone() * x.clone().detach()).sum().backward()).unwrap();

        for (name, output, other, input, gradient) in [
            ("stft", values(ax.inner()), &spectrum, &wave, values(aty)),
            ("istft", values(by.inner()), &wave, &spectrum, values(btx)),
        ] {
            let scale = norm(&output) * norm(other) + norm(input) * norm(&gradient);
            let difference = (dot(&output, other) - dot(input, &gradient)).abs() / scale;
            // Independent roundings average out in the sums, so the difference is far below ε = 6e-8.
            assert!(difference < 1e-8, "{name} {n_fft}/{hop}, {samples} samples: {difference:.1e}");
        }
    }
}

/// The response to a single sample shows the frames that contain it, including the reflected padding. No sum hides an
/// error.
fn the_first_and_last_samples_gradients_match_finite_differences(device: &Device) {
    let (n_fft, hop, samples) = (256, 64, 321);
    let plan = Stft::new(n_fft, hop).unwrap();
    let weights = noise(plan.frames(samples) * plan.bins() * 2, 9);
    let wave = vec![0.0; samples];
    let device = &device.clone().autodiff();
    let x = tensor(&wave, [1, samples], device).require_grad();
    let w = tensor(&weights, [1, plan.frames(samples), plan.bins(), 2], device);
    let gradient = values(x.grad(&(stft(x.clone(), &plan) * w).sum().backward()).unwrap());
    for m in [0, 1, 2, 127, 128, 129, 191, 192, 193, 318, 319, 320] {
        let mut unit = wave.clone();
        unit[m] = 1.0;
        // The transform is linear, so the response to a unit sample is the derivative.
        let response = reference_stft(&unit, n_fft, hop);
        let wanted: f64 = response.iter().zip(&weights).map(|(a, b)| a * f64::from(*b)).sum();
        assert!((f64::from(gradient[m]) - wanted).abs() < 1e-4, "sample {m}: {} for {wanted}", gradient[m]);
    }
}

fn half_precision_is_limited_by_its_storage(device: &Device) {
    let (n_fft, hop, samples) = (1024, 256, 5000);
    let plan = Stft::new(n_fft, hop).unwrap();
    let wave: Vec<f32> = noise(2 * samples, 3).iter().map(|x| x * 0.1).collect();
    let exact = tensor(&wave, [2, samples], device).cast(FloatDType::F16);
    let rounded = values(exact.clone());
    let wanted: Vec<f64> =
        rounded.chunks_exact(samples).flat_map(|x| reference_stft(x, n_fft, hop)).collect();
    let spectrogram = stft(exact, &plan);
    let forward = snr(wanted, &values(spectrogram.clone()));
    let back = snr(rounded.iter().map(|&x| f64::from(x)), &values(istft(spectrogram, &plan, samples)));
    // One rounding to 11 bits gives 73 dB, and two roundings slightly less.
    assert!(forward > 72.0 && back > 70.0, "{forward:.1} dB, round trip {back:.1} dB");
}

fn results_do_not_change_from_run_to_run(device: &Device) {
    let (samples, plan) = (20_000, Stft::new(1024, 200).unwrap());
    let wave = noise(samples, 8);
    let run = || {
        let spectrogram = stft(tensor(&wave, [1, samples], device), &plan);
        (values(spectrogram.clone()), values(istft(spectrogram, &plan, samples)))
    };
    assert_eq!(run(), run());
}

fn impossible_sizes_are_refused() {
    for n_fft in [0, 2, 255, 254, 257, 1022, 1792, 4098, usize::MAX] {
        assert_eq!(Stft::new(n_fft, 1).unwrap_err(), StftError::Size(n_fft));
    }
    for hop in [0, 513, 1024, usize::MAX] {
        assert_eq!(Stft::new(2048, hop).unwrap_err(), StftError::Hop { hop, n_fft: 2048 });
    }
    assert!(Stft::new(2048, 512).is_ok());
}
