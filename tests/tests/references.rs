//! Tests of the f64 references: against finite differences, against each other, and against known results.

use conformance::cases::{self, Case};
use conformance::host::{Precision, Random};
use conformance::reference::attention::attention;
use conformance::reference::stft::Transform;
use conformance::reference::tokenwise;
use unbraid_ops::{Attention, Sequences};

const WINDOW: Sequences = Sequences::Window { size: [3, 4], shift: [1, 2] };

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn random(name: &str, count: usize) -> Vec<f64> {
    Random::named(name).normal(count, 1.0, Precision::F32)
}

#[test]
fn gradients_of_attention_are_its_slopes() {
    for (sequences, rotary) in [(Sequences::Time, true), (Sequences::Frequency, true), (WINDOW, false)] {
        let (plane, heads, width) = ([1, 5, 6], 2, 4);
        let options = Attention { sequences, heads, rotary, chunk: None };
        let tokens: usize = plane.iter().product();
        let channels = heads * width;
        let name = format!("{sequences:?}");
        let qkv = random(&name, tokens * 3 * channels);
        let gradient = random(&format!("{name} gradient"), tokens * channels);
        let bias =
            random(&format!("{name} bias"), options.bias_shape().map_or(0, |[h, entries]| h * entries));
        let (exact, _) = attention(&qkv, &bias, &gradient, plane, &options);

        let loss = |qkv: &[f64], bias: &[f64]| {
            dot(&attention(qkv, bias, &gradient, plane, &options).0.output, &gradient)
        };
        let step = 1e-6;
        let slope = |values: &[f64], i: usize, loss: &dyn Fn(&[f64]) -> f64| {
            let at = |x: f64| {
                let mut moved = values.to_vec();
                moved[i] += x;
                loss(&moved)
            };
            (at(step) - at(-step)) / (2.0 * step)
        };
        for i in (0..qkv.len()).step_by(7) {
            let slope = slope(&qkv, i, &|qkv| loss(qkv, &bias));
            assert!((slope - exact.qkv_gradient[i]).abs() < 1e-7, "{name} qkv {i}: {slope}");
        }
        for i in (0..bias.len()).step_by(3) {
            let slope = slope(&bias, i, &|bias| loss(&qkv, bias));
            assert!((slope - exact.bias_gradient[i]).abs() < 1e-7, "{name} bias {i}: {slope}");
        }
    }
}

/// With equal keys, all visible keys have the same weight, so the output is the mean of their values.
#[test]
fn equal_keys_average_the_values_of_their_sequence() {
    let (frames, bins) = (3, 5);
    let options = |sequences| Attention { sequences, heads: 1, rotary: false, chunk: None };
    // q = k = 1, v = the token's index.
    let qkv: Vec<f64> = (0..frames * bins).flat_map(|token| [1.0, 1.0, token as f64]).collect();
    let output =
        |sequences| attention(&qkv, &[], &[0.0; 15], [1, frames, bins], &options(sequences)).0.output;
    let mean = |tokens: &[usize]| tokens.iter().sum::<usize>() as f64 / tokens.len() as f64;
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} and {b}");

    near(output(Sequences::Time)[7], mean(&[2, 7, 12]));
    near(output(Sequences::Frequency)[7], mean(&[5, 6, 7, 8, 9]));
    // Windows of 2 × 2 with a cyclic shift by one: frames 1 and 2 share a window, and so do bins 1 and 2, and 3 and 4.
    let windows = output(Sequences::Window { size: [2, 2], shift: [1, 1] });
    near(windows[6], mean(&[6, 7, 11, 12]));
    near(windows[9], mean(&[8, 9, 13, 14]));
    // The shift moves the first frame and bin to the end, where they share a window only with padding.
    near(windows[0], 0.0);
    near(windows[3], mean(&[3, 4]));
}

#[test]
fn a_tone_is_in_its_bin_and_the_inverse_restores_the_waveform() {
    let transform = Transform { n_fft: 256, hop: 64, samples: 900 };
    let tone: Vec<f64> = (0..900).map(|i| (std::f64::consts::TAU * 10.0 * i as f64 / 256.0).cos()).collect();
    let spectrum = transform.stft(&tone);
    let magnitude = |t: usize, k: usize| {
        let at = (t * transform.bins() + k) * 2;
        spectrum[at].hypot(spectrum[at + 1])
    };
    // With a Hann window of length n, a tone gives n/4 in its bin, n/8 in the neighbouring bins, and 0 elsewhere.
    for (bin, expected) in [(10, 64.0), (9, 32.0), (11, 32.0), (12, 0.0), (40, 0.0)] {
        assert!((magnitude(7, bin) - expected).abs() < 1e-9, "{bin}: {}", magnitude(7, bin));
    }
    let noise = random("round trip", 900);
    let back = transform.istft(&transform.stft(&noise));
    let worst = noise.iter().zip(&back).fold(0f64, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(worst < 1e-10, "{worst}");
}

#[test]
fn names_of_cases_are_unique_and_every_layout_has_every_kind_of_case() {
    let cases = cases::all();
    let mut names: Vec<String> = cases.iter().map(Case::name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), cases.len());
    let attention: Vec<_> = cases
        .iter()
        .filter_map(|case| match case {
            Case::Attention(case) => Some(case),
            Case::Stft(_) | Case::Token(_) | Case::Linear(_) | Case::Sum(_) => None,
        })
        .collect();
    for kind in ["time", "frequency", "window"] {
        let of_kind = attention.iter().filter(|case| case.name().starts_with(&format!("attention {kind}")));
        let count = |what: &dyn Fn(&cases::attention::AttentionCase) -> bool| {
            of_kind.clone().filter(|case| what(case)).count()
        };
        assert!(count(&|case| case.chunks) > 0, "{kind}");
        assert!(count(&|case| case.differences) > 0, "{kind}");
        assert!(count(&|case| case.logits > 1.0) > 0, "{kind}");
        assert!(count(&|case| case.precision == Precision::F16) > 0, "{kind}");
    }
    let longest = attention.iter().map(|case| case.plane.into_iter().max().unwrap()).max().unwrap();
    assert!(longest > 256, "{longest}");
}

/// Compares Φ with a table, and the slope of GELU and the gradient of the normalisation with finite differences.
#[test]
fn gradients_of_token_operations_are_their_slopes() {
    for (x, phi) in [(0.0, 0.5), (1.0, 0.841_344_746_068_543), (-3.0, 0.001_349_898_031_630_1), (9.0, 1.0)] {
        assert!((tokenwise::distribution(x) - phi).abs() < 1e-14, "Φ({x})");
    }
    let step = 1e-5;
    let (x, gamma, beta) = (random("x", 7), random("gamma", 7), random("beta", 7));
    let gradient = random("gradient", 7);
    for &x in &x {
        let slope = (tokenwise::gelu(x + step) - tokenwise::gelu(x - step)) / (2.0 * step);
        assert!((slope - tokenwise::gelu_slope(x)).abs() < 1e-9, "at {x}");
    }
    let exact = tokenwise::layer_norm_backward(&x, &gamma, &gradient);
    for i in 0..7 {
        let at = |offset: f64| {
            let mut moved = x.clone();
            moved[i] += offset;
            dot(&tokenwise::layer_norm(&moved, &gamma, &beta), &gradient)
        };
        let slope = (at(step) - at(-step)) / (2.0 * step);
        assert!((slope - exact[i]).abs() < 1e-8, "channel {i}");
    }
}
