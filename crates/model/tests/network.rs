//! The TFSWA network as a whole, on the CPU backend: the meaning of its masks, and a gradient for every parameter.

mod common;

use burn::tensor::{Device, Tensor, TensorData};
use common::{by_name, noise, own, small};
use unbraid_base::Stereo;
use unbraid_model::{
    Execution, ModelConfig, Network, STANDARD_NETWORKS, SegmentModel, named_shapes, named_tensors,
    with_tensors,
};

/// A network whose masks are `bias(part, stem, channel, sub-band)`, the same in every bin.
fn constant_masks(config: &ModelConfig, bias: impl Fn(usize, usize, usize, usize) -> f32) -> Network {
    let device = Device::flex();
    let model = config.init(&device);
    let mut tensors = named_tensors(&model).expect("read back");
    let mut values = Vec::new();
    for part in 0..2 {
        for stem in 0..config.stems.len() {
            for channel in 0..2 {
                values.extend((0..own(config).subbands).map(|subband| bias(part, stem, channel, subband)));
            }
        }
    }
    let outputs = values.len();
    tensors.insert("head.bias".into(), TensorData::new(values, [outputs]));
    let zeros = vec![0f32; own(config).dims[0] * outputs];
    tensors.insert("head.weight".into(), TensorData::new(zeros, [own(config).dims[0], outputs]));
    with_tensors(model, tensors).expect("its own tensors")
}

fn energy(x: Tensor<3>) -> f32 {
    x.square().sum().into_scalar::<f32>()
}

/// `error` below `signal`, in dB.
fn decibels(signal: f32, error: f32) -> f32 {
    10.0 * (signal / error.max(f32::MIN_POSITIVE)).log10()
}

#[test]
fn parameters_are_counted_without_building() {
    let configs = STANDARD_NETWORKS.map(|name| ModelConfig::standard(name).expect("a standard network"));
    for config in configs.into_iter().chain([small()]) {
        let built: usize =
            named_shapes(&config.init(&Device::flex())).values().map(|s| s.iter().product::<usize>()).sum();
        assert_eq!(config.parameters(), built, "{}", config.name);
    }
}

#[test]
fn any_length_gives_stems_of_that_length() {
    let device = Device::flex();
    let model = small().init(&device);
    for samples in [model.least_samples(), 200, 359, 1000, 1441] {
        let stems = model.forward(noise([2, 2, samples], &device));
        assert_eq!(stems.dims(), [2, 3, 2, samples]);
        let data = stems.into_data().try_to_vec::<f32>().expect("f32");
        assert!(data.iter().all(|x| x.is_finite()) && data.iter().any(|&x| x != 0.0));
    }
    let silence = model.forward(Tensor::zeros([1, 2, 1000], &device));
    assert_eq!(silence.abs().max().into_scalar::<f32>(), 0.0);
}

/// White noise is reproduced, including the topmost bin.
#[test]
fn masks_of_one_give_the_mixture() {
    let model = constant_masks(&small(), |part, stem, channel, _| {
        f32::from(part == 0 && (stem, channel) != (1, 0) && stem != 2)
    });
    let mixture = noise([2, 2, 1000], &Device::flex());
    let stems = model.forward(mixture.clone());
    let stem = |index| stems.clone().narrow(1, index, 1).reshape([2, 2, 1000]);
    assert!(decibels(energy(mixture.clone()), energy(stem(0) - mixture.clone())) > 110.0);
    assert_eq!(energy(stem(2)), 0.0);
    // Stem 1 has only the side: its channels are opposite, and their difference is that of the mixture.
    let sides = |x: Tensor<3>| [0, 1].map(|channel| x.clone().narrow(1, channel, 1));
    let ([left, right], [mixture_left, mixture_right]) = (sides(stem(1)), sides(mixture));
    assert_eq!(energy(left.clone() + right.clone()), 0.0);
    let side = mixture_left - mixture_right;
    assert!(decibels(energy(side.clone()), energy(left - right - side)) > 110.0);
}

/// A multiplication of every bin by i shifts all phases by a quarter turn: same power, no correlation with the mixture.
#[test]
fn masks_are_complex() {
    let model = constant_masks(&small(), |part, stem, _, _| f32::from(part == 1 && stem == 0));
    let mixture = noise([1, 2, 12_000], &Device::flex());
    let turned = model.forward(mixture.clone()).narrow(1, 0, 1).reshape([1, 2, 12_000]);
    let (before, after) = (energy(mixture.clone()), energy(turned.clone()));
    let common = (mixture * turned).sum().into_scalar::<f32>();
    assert!((after / before - 1.0).abs() < 0.03, "{before} {after}");
    assert!(common.abs() < 0.03 * before, "{common} of {before}");
}

/// A tone in the lower half of the spectrum passes the lower sub-band's mask only.
#[test]
fn subbands_are_the_parts_of_the_spectrum_in_order() {
    let wave = |cycles_per_sample: f32| {
        let tone = (0..3600).map(|n| (std::f32::consts::TAU * cycles_per_sample * n as f32).sin() * 0.2);
        let tone: Vec<f32> = tone.collect();
        Tensor::<3>::from_data(TensorData::new([tone.clone(), tone].concat(), [1, 2, 3600]), &Device::flex())
    };
    let model = constant_masks(&small(), |part, stem, _, subband| f32::from(part == 0 && stem == subband));
    for (frequency, subband) in [(0.05, 0), (0.2, 0), (0.3, 1), (0.45, 1)] {
        let mixture = wave(frequency);
        let stems = model.forward(mixture.clone());
        // The ends are reflected, which breaks the tone's phase. So the test compares the middle.
        let middle = |x: Tensor<3>| energy(x.narrow(2, 720, 2160));
        let passed = [0, 1].map(|stem| middle(stems.clone().narrow(1, stem, 1).reshape([1, 2, 3600])));
        assert!(decibels(passed[subband], passed[1 - subband]) > 40.0, "{frequency}: {passed:?}");
        assert!((passed[subband] / middle(mixture) - 1.0).abs() < 1e-3);
    }
}

#[test]
fn stems_scale_with_the_mixture() {
    let device = Device::flex();
    device.seed(5);
    let model = small().init(&device);
    let mixture = noise([1, 2, 3000], &device);
    let expected = model.forward(mixture.clone()).reshape([1, 6, 3000]);
    for gain in [0.01, 30.0] {
        let stems = model.forward(mixture.clone() * gain).reshape([1, 6, 3000]) / gain;
        let snr = decibels(energy(expected.clone()), energy(stems - expected.clone()));
        assert!(snr > 60.0, "gain {gain}: {snr} dB");
    }
}

#[test]
fn an_initial_network_gives_each_stem_about_an_equal_share() {
    let device = Device::flex();
    device.seed(6);
    let model = small().init(&device);
    let mixture = noise([1, 2, 3000], &device);
    let stems = model.forward(mixture.clone());
    for index in 0..3 {
        let stem = stems.clone().narrow(1, index, 1).reshape([1, 2, 3000]);
        let share = mixture.clone() / 3.0;
        assert!(decibels(energy(share.clone()), energy(stem - share)) > 6.0);
    }
}

#[test]
fn chunks_do_not_change_the_stems() {
    let device = Device::flex();
    device.seed(9);
    let model = small().init(&device);
    let tensors = named_tensors(&model).expect("read back");
    let mixture = noise([2, 2, 2000], &device);
    let expected = model.forward(mixture.clone()).into_data();
    for (tsa_chunk_size, fsa_chunk_size) in [(1, 1), (7, 3), (32, 0), (0, 5)] {
        let execution = Execution { tsa_chunk_size, fsa_chunk_size, ..Execution::default() };
        let chunked = small().init(&device).with_execution(execution);
        let chunked = with_tensors(chunked, tensors.clone()).expect("the same shapes");
        assert_eq!(
            chunked.forward(mixture.clone()).into_data(),
            expected,
            "{tsa_chunk_size}, {fsa_chunk_size}"
        );
    }
}

/// Every parameter has a gradient that is finite and not all zero.
#[test]
fn every_parameter_learns() {
    let device = Device::flex().autodiff();
    device.seed(2);
    let model = small().init(&device);
    let mixture = noise([1, 2, 3000], &device);
    let target = noise([1, 2, 3000], &device).unsqueeze_dim::<4>(1);
    let loss = (model.forward(mixture) - target * 0.3).abs().mean();
    let gradients = by_name(&model, &loss.backward());
    let learns = |values: &[f32]| values.iter().all(|x| x.is_finite()) && values.iter().any(|&x| x != 0.0);
    let still: Vec<_> = gradients.iter().filter(|(_, values)| !learns(values)).collect();
    assert_eq!(gradients.len(), named_shapes(&model).len());
    assert!(still.is_empty(), "{still:?}");
}

/// Segments that share a batch do not affect each other. On the CPU, parts of a batch run on several threads.
#[test]
fn segments_of_a_batch_are_separated_independently() {
    let network = ModelConfig::standard("tfswa_unet_tiny").unwrap().init(&Device::flex());
    let segment = |seed: usize| -> Stereo {
        [1, 2].map(|c| (0..3000).map(|i| ((i * (seed + 3 * c)) as f32 * 0.01).sin() * 0.3).collect())
    };
    let segments = [segment(1), segment(4), segment(9)];
    let together = pollster::block_on(network.run(segments.to_vec())).unwrap();
    assert_eq!(together.len(), 3);
    for (segment, stems) in segments.iter().zip(&together) {
        let alone = pollster::block_on(network.run(vec![segment.clone()])).unwrap().remove(0);
        assert_eq!(alone.len(), stems.len());
        for (alone, stem) in alone.iter().flatten().flatten().zip(stems.iter().flatten().flatten()) {
            assert!((alone - stem).abs() < 1e-5, "{alone} and {stem}");
        }
    }
    assert_ne!(together[0], together[1]);
}
