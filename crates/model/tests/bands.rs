//! Networks with bands of unequal width, masks on left and right, and stems that sum to the mixture.

mod common;

use burn::tensor::{Device, Tensor, TensorData};
use common::{by_name, noise, own, small, values};
use unbraid_base::snr_db;
use unbraid_model::family::tfswa::{MaskedChannels, TfswaConfig};
use unbraid_model::{
    Execution, FamilyConfig, ModelConfig, Network, Recompute, named_shapes, named_tensors, with_tensors,
};

/// Bands of one, three and ten bins. The last row of the tokens is padding.
fn banded() -> ModelConfig {
    changed(small(), |own| {
        own.subbands = 1;
        own.bands = vec![[4, 1], [2, 3], [17, 10]];
        own.masks = MaskedChannels::LeftRight;
        own.consistent = true;
    })
}

fn changed(config: ModelConfig, change: impl FnOnce(&mut TfswaConfig)) -> ModelConfig {
    let mut own = own(&config).clone();
    change(&mut own);
    ModelConfig { family: FamilyConfig::TfswaUnet(own), ..config }
}

/// The network with random values for all parameters, also those that begin at zero.
fn random(config: &ModelConfig) -> Network {
    let model = config.init(&Device::flex());
    let mut seed = 1u32;
    let mut next = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut tensors = named_tensors(&model).expect("read back");
    for tensor in tensors.values_mut() {
        let shape = tensor.shape().clone();
        let values: Vec<f32> = (0..shape.num_elements()).map(|_| 0.3 * next()).collect();
        *tensor = TensorData::new(values, shape);
    }
    with_tensors(model, tensors).expect("its own tensors")
}

fn snr(expected: &[f32], got: &[f32]) -> f64 {
    snr_db(expected.iter().map(|x| f64::from(*x)), got.iter().map(|x| f64::from(*x)))
}

#[test]
fn the_parameters_are_counted() {
    let config = banded();
    let built: usize =
        named_shapes(&config.init(&Device::flex())).values().map(|s| s.iter().product::<usize>()).sum();
    assert_eq!(config.parameters(), built);
}

#[test]
fn consistent_stems_sum_to_the_mixture() {
    let device = Device::flex();
    for masks in [MaskedChannels::LeftRight, MaskedChannels::MidSide] {
        let config = changed(banded(), |own| own.masks = masks);
        let mixture = noise([2, 2, 1000], &device);
        let stems = random(&config).forward(mixture.clone());
        let sum = values(stems.sum_dim(1));
        let ratio = snr(&values(mixture.clone()), &sum);
        assert!(ratio > 110.0, "{ratio}");
        let config = changed(config, |own| own.consistent = false);
        let sum = values(random(&config).forward(mixture.clone()).sum_dim(1));
        assert!(snr(&values(mixture.clone()), &sum) < 40.0, "the masks alone sum to 1");
    }
}

#[test]
fn masks_on_left_and_right_leave_a_silent_channel_silent() {
    let device = Device::flex();
    let mixture = noise([1, 2, 1000], &device);
    let left = mixture.slice_assign([0..1, 1..2, 0..1000], Tensor::zeros([1, 1, 1000], &device));
    let right = |masks| {
        let config = changed(banded(), |own| own.masks = masks);
        let stems = random(&config).forward(left.clone());
        stems.narrow(2, 1, 1).abs().max().into_scalar::<f32>()
    };
    assert_eq!(right(MaskedChannels::LeftRight), 0.0);
    assert!(right(MaskedChannels::MidSide) > 1e-3);
}

/// A change of the mixture at one frequency changes the masks of all bands, but a change of the map of one band's head
/// changes only the bins of the bands of its width.
#[test]
fn each_width_has_its_bins_in_order() {
    let device = Device::flex();
    let config = banded();
    let network = random(&config);
    let mixture = noise([1, 2, 1000], &device);
    let before = network.forward(mixture.clone());
    let mut first = 0;
    for (index, &[tokens, width]) in own(&config).bands.iter().enumerate() {
        let mut tensors = named_tensors(&network).expect("read back");
        let name = format!("head.{index}.bias");
        let bias = tensors[&name].iter::<f32>().enumerate().map(|(i, x)| if i == 0 { x + 1.0 } else { x });
        let bias: Vec<f32> = bias.collect();
        let length = bias.len();
        tensors.insert(name, TensorData::new(bias, [length]));
        let after = with_tensors(network.clone(), tensors).expect("its own tensors").forward(mixture.clone());
        let change = values((after - before.clone()).narrow(1, 0, 1).narrow(2, 0, 1));
        // The power of the change by bin, in the middle of the segment.
        let n = config.n_fft;
        let power = |bin: usize| {
            let angle = |i: usize| 2.0 * std::f64::consts::PI * (bin * i) as f64 / n as f64;
            let hann = |i: usize| 0.5 - 0.5 * (2.0 * std::f64::consts::PI * i as f64 / n as f64).cos();
            let part = |wave: fn(f64) -> f64| -> f64 {
                (0..n).map(|i| hann(i) * wave(angle(i)) * f64::from(change[400 + i])).sum()
            };
            part(f64::cos).powi(2) + part(f64::sin).powi(2)
        };
        // The first output of a band is the real part of its first bin.
        let expected: Vec<usize> = (0..tokens).map(|token| first + token * width).collect();
        first += tokens * width;
        let near = |bin: usize| expected.iter().any(|own| own.abs_diff(bin) <= 2);
        let (mut inside, mut outside) = (0.0, 0.0);
        for bin in 0..n / 2 {
            *(if near(bin) { &mut inside } else { &mut outside }) += power(bin);
        }
        assert!(inside > 100.0 * outside, "width {width}: {inside} {outside}");
    }
}

#[test]
fn chunks_and_recomputation_do_not_change_the_stems() {
    let device = Device::flex();
    let network = random(&banded());
    let mixture = noise([1, 2, 1000], &device);
    let whole = values(network.forward(mixture.clone()));
    for recompute in [Recompute::None, Recompute::Sublayer, Recompute::Block] {
        let execution = Execution { tsa_chunk_size: 3, fsa_chunk_size: 2, recompute, ..Execution::default() };
        let chunked = values(network.clone().with_execution(execution).forward(mixture.clone()));
        assert!(snr(&whole, &chunked) > 100.0, "{recompute:?}");
    }
}

#[test]
fn every_parameter_learns() {
    let device = Device::flex().autodiff();
    device.seed(2);
    let model = banded().init(&device);
    let mixture = noise([1, 2, 3000], &device);
    let target = noise([1, 2, 3000], &device).unsqueeze_dim::<4>(1);
    let loss = (model.forward(mixture) - target * 0.3).abs().mean();
    let gradients = by_name(&model, &loss.backward());
    let learns = |values: &[f32]| values.iter().all(|x| x.is_finite()) && values.iter().any(|&x| x != 0.0);
    assert_eq!(gradients.len(), named_shapes(&model).len());
    for (name, values) in gradients {
        assert!(learns(&values), "{name}");
    }
}

#[test]
fn bands_must_hold_all_bins() {
    banded().validate().expect("valid");
    let refused =
        |change: fn(&mut TfswaConfig)| changed(banded(), change).validate().unwrap_err().to_string();
    assert!(refused(|own| own.bands[0][0] += 1).contains("hold 181 bins, n_fft / 2 is 180"));
    assert!(refused(|own| own.subbands = 2).contains("subbands"));
}
