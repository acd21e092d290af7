//! The RoFormers against their public PyTorch implementations, on every device: the stems, and the gradient of every
//! parameter. `tests/peer/roformer_fixtures.py` wrote the results of PyTorch. Without a trusted GPU (llvmpipe is trusted)
//! its tests are reported as ignored, with the reason.

#[expect(dead_code, reason = "the networks of other tests")]
mod common;

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use burn::tensor::{Device, Tensor, TensorData};
use common::{by_name, values};
use libtest_mimic::{Arguments, Completion, Trial};
use safetensors::SafeTensors;
use unbraid_base::snr_db;
use unbraid_model::{Execution, ModelConfig, Recompute, named_shapes, with_tensors};
use unbraid_ops::device::{self, Choice, DeviceError};

/// Numbers that stand for the gradient of a parameter, as in the Python program.
const PROJECTIONS: usize = 16;

/// A case: its configuration, and what PyTorch computed.
struct Case {
    config: ModelConfig,
    /// `[batch, stems, channels, samples]`
    stems: Vec<f32>,
    shape: [usize; 4],
    /// Of all parameters, in the order of their names in PyTorch.
    gradients: Vec<f32>,
}

static CASES: LazyLock<BTreeMap<String, Case>> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/roformer.safetensors");
    let bytes = std::fs::read(path).expect("the fixtures");
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("a safetensors file");
    let tensors = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let configs: &HashMap<String, String> = header.metadata().as_ref().expect("metadata");
    let case = |(name, config): (&String, &String)| {
        let tensor = |part| tensors.tensor(&format!("{name}/{part}")).expect("a tensor of the case");
        let floats =
            |part| tensor(part).data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        let case = Case {
            config: serde_json::from_str(config).expect("a configuration"),
            stems: floats("stems"),
            shape: tensor("stems").shape().try_into().expect("four axes"),
            gradients: floats("gradients"),
        };
        case.config.validate().expect("a valid configuration");
        (name.clone(), case)
    };
    configs.iter().map(case).collect()
});

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for (name, case) in CASES.iter() {
        for choice in [Choice::Cpu, Choice::Gpu(None)] {
            let run = move || match device::select(choice) {
                Ok((device, _)) => {
                    agrees_with_pytorch(&device, name, case);
                    Ok(Completion::Completed)
                }
                Err(error @ DeviceError::Unavailable { .. }) => Err(error.into()),
                Err(error) => Ok(Completion::ignored_with(error)),
            };
            let trial = Trial::ignorable_test(format!("{choice}::{name}_agrees_with_pytorch"), run);
            // llvmpipe takes a minute to compile the kernels of a case. `--include-ignored` runs all cases.
            let slow = choice != Choice::Cpu && !["bs", "mel_skip_mono"].contains(&name.as_str());
            trials.push(trial.with_ignored_flag(slow));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn agrees_with_pytorch(device: &Device, name: &str, case: &Case) {
    let [batch, stems, channels, samples] = case.shape;
    let mono = channels == 1;
    let device = device.clone().autodiff();
    // Everything is recomputed in chunks in half of the cases: this is another order of the same operations.
    let chunked = Execution {
        tsa_chunk_size: 3,
        fsa_chunk_size: 7,
        recompute: Recompute::Block,
        ..Execution::default()
    };
    let execution = if name.contains("hop") { chunked } else { Execution::default() };
    let model = case.config.init(&device).with_execution(execution);
    let shapes = named_shapes(&model);
    let parameters = shapes.iter().map(|(path, shape)| (path.clone(), initial(path, shape)));
    let model = with_tensors(model, parameters.collect()).expect("every parameter");

    let floats = |part: &str, count| uniform(&format!("{name}/{part}"), count, 0.0, 1.0);
    let mixture: Vec<f32> = uniform(&format!("{name}/mixture"), batch * channels * samples, 0.0, 0.3);
    // The two items of a mono batch are the channels of one stereo mixture.
    let items = if mono { batch / 2 } else { batch };
    let mixture = Tensor::<3>::from_data(TensorData::new(mixture, [items, 2, samples]), &device);
    let output = model.forward(mixture);
    assert_eq!(output.dims(), [items, stems, 2, samples]);
    let output = if mono { output.swap_dims(1, 2).reshape(case.shape) } else { output };
    let snr = snr(&case.stems, &values(output.clone().inner()));
    assert!(snr >= 90.0, "the stems are {snr:.1} dB from those of PyTorch");

    let weights =
        Tensor::<4>::from_data(TensorData::new(floats("loss", case.stems.len()), case.shape), &device);
    let gradients = by_name(&model, &(output * weights).sum().backward());
    let by_key: BTreeMap<String, Vec<f64>> = (gradients.iter())
        .map(|(path, gradient)| {
            let key = key_of(path);
            let gradient = transposed(gradient, &shapes[path]);
            let numbers = projections(&key, &gradient);
            (key, numbers)
        })
        .collect();
    assert_eq!(by_key.len(), shapes.len(), "no two parameters have the same name in PyTorch");
    let (mut rest, mut least) = (case.gradients.as_slice(), f64::INFINITY);
    for (key, got) in &by_key {
        let (expected, others) = rest.split_at_checked(got.len()).expect("as many parameters in PyTorch");
        rest = others;
        let snr = snr_db(expected.iter().map(|&x| f64::from(x)), got.iter().copied());
        assert!(snr >= 60.0, "the gradient of {key} is {snr:.1} dB from that of PyTorch");
        least = least.min(snr);
    }
    assert!(rest.is_empty(), "PyTorch has more parameters");
    println!("{name} on {device:?}: stems {snr:.1} dB, gradients at least {least:.1} dB");
}

fn snr(expected: &[f32], got: &[f32]) -> f64 {
    snr_db(expected.iter().map(|&x| f64::from(x)), got.iter().map(|&x| f64::from(x)))
}

/// The name in PyTorch of a parameter.
fn key_of(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    match parts.as_slice() {
        ["norm", "gamma"] => "final_norm.gamma".to_owned(),
        ["band_split", band, "norm", "gamma"] => format!("band_split.to_features.{band}.0.gamma"),
        ["band_split", band, "map", part] => format!("band_split.to_features.{band}.1.{part}"),
        ["mask_estimators", stem, "bands", band, "maps", map, part] => {
            let place = 2 * map.parse::<usize>().expect("a number");
            format!("mask_estimators.{stem}.to_freqs.{band}.0.{place}.{part}")
        }
        ["layers", layer, axis, rest @ ..] => {
            let axis = usize::from(*axis == "frequency");
            let rest = match rest {
                ["norm", "gamma"] => "norm.gamma".to_owned(),
                ["blocks", block, layer, part] => {
                    let place = match *layer {
                        "norm_attention" => "0.norm",
                        "qkv" => "0.to_qkv",
                        "gates" => "0.to_gates",
                        "projection" => "0.to_out.0",
                        "norm_mlp" => "1.net.0",
                        "expand" => "1.net.1",
                        "contract" => "1.net.4",
                        other => panic!("{other} of {path}"),
                    };
                    format!("layers.{block}.{place}.{part}")
                }
                _ => panic!("{path}"),
            };
            format!("layers.{layer}.{axis}.{rest}")
        }
        _ => panic!("{path}"),
    }
}

/// The initial value of a parameter. PyTorch stores a matrix as `[outputs, inputs]`.
fn initial(path: &str, shape: &[usize]) -> TensorData {
    let key = key_of(path);
    let count = shape.iter().product();
    let values = if key.ends_with("gamma") {
        uniform(&key, count, 1.0, 0.3)
    } else if key.ends_with("bias") {
        uniform(&key, count, 0.0, 0.2)
    } else {
        uniform(&key, count, 0.0, (3.0 / shape[0] as f64).sqrt())
    };
    let stored: Vec<usize> = shape.iter().rev().copied().collect();
    TensorData::new(transposed(&values, &stored), shape.to_vec())
}

/// The transpose of a matrix of this shape. A vector is unchanged.
fn transposed(values: &[f32], shape: &[usize]) -> Vec<f32> {
    match *shape {
        [rows, columns] => (0..columns * rows).map(|i| values[i % rows * columns + i / rows]).collect(),
        _ => values.to_vec(),
    }
}

/// SplitMix64 from the seed of a name (FNV-1a).
fn bits(name: &str) -> impl Iterator<Item = u64> + use<> {
    let fnv = |state: u64, byte| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
    std::iter::from_fn(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(z ^ (z >> 31))
    })
}

/// `count` numbers from `offset − scale` to `offset + scale`.
fn uniform(name: &str, count: usize, offset: f64, scale: f64) -> Vec<f32> {
    let unit = |bits: u64| (bits >> 40) as f64 / f64::from(1 << 23) - 1.0;
    bits(name).take(count).map(|bits| (offset + scale * unit(bits)) as f32).collect()
}

/// All elements of a gradient, or sums of all elements with pseudo-random signs.
fn projections(key: &str, gradient: &[f32]) -> Vec<f64> {
    if gradient.len() <= PROJECTIONS {
        return gradient.iter().map(|&x| f64::from(x)).collect();
    }
    let sum = |k| {
        let signs = bits(&format!("{key}/{k}")).map(|bits| if bits >> 63 == 1 { -1.0 } else { 1.0 });
        gradient.iter().zip(signs).map(|(&x, sign)| f64::from(x) * sign).sum()
    };
    (0..PROJECTIONS).map(sum).collect()
}
