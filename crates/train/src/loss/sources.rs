//! Sources of which only the sum is known: the estimates are added, and a sum counts like a stem.

use crate::data::grouping::Grouping;
use burn::tensor::{Tensor, TensorData};

/// The estimates of the sources of each item, `[b, s, c, n]` from those of the stems, `[b, s, c, n]`. A sum is at the
/// first of its stems, and the places of its other stems are 0, as in the references.
pub(super) fn sums(estimate: &Tensor<4>, groupings: &[Grouping]) -> Tensor<4> {
    let [b, s, _, _] = estimate.dims();
    let device = estimate.device();
    let place = |stem: usize| estimate.clone().narrow(1, stem, 1);
    // Selects the items in which `stem` belongs to the source `first`.
    let belongs = |stem: usize, first: usize| {
        let values: Vec<f32> = groupings.iter().map(|g| f32::from(g.first(stem) == first)).collect();
        Tensor::<4>::from_data(TensorData::new(values, [b, 1, 1, 1]), &device)
    };
    let ever = |stem: usize, first: usize| groupings.iter().any(|g| g.first(stem) == first);
    let row = |first: usize| {
        let joined = groupings.iter().any(|g| g.first(first) != first);
        let own = if joined { place(first) * belongs(first, first) } else { place(first) };
        let others = (first + 1..s).filter(|&stem| ever(stem, first));
        others.fold(own, |sum, stem| sum + place(stem) * belongs(stem, first))
    };
    Tensor::cat((0..s).map(row).collect(), 1)
}

/// The factors `[b, s]` of the sources' values, for which the mean over items and stems is the mean over items of the
/// mean over an item's sources. A sum has the mean of its stems' weights. `weights` are those of the stems; `None`: 1.
pub(super) fn factors(groupings: &[Grouping], weights: Option<&[f64]>) -> Vec<f32> {
    let of_item = |grouping: &Grouping| {
        let stems = grouping.stems();
        let scale = stems as f64 / grouping.sources().count() as f64;
        let weight = |stem: usize| weights.map_or(1.0, |weights| weights[stem]);
        let mut factors = vec![0.0; stems];
        for first in grouping.sources() {
            let members: Vec<usize> = grouping.members(first).collect();
            let mean = members.iter().map(|&stem| weight(stem)).sum::<f64>() / members.len() as f64;
            factors[first] = (scale * mean) as f32;
        }
        factors
    };
    groupings.iter().flat_map(of_item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Loss;
    use crate::settings::config::TrainConfig;
    use burn::tensor::Device;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::collections::BTreeMap;

    const N: usize = 400;
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];

    /// Noise `[b][s][2 n]`.
    fn noise(seed: u64, items: usize) -> Vec<Vec<Vec<f32>>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut signal = || (0..2 * N).map(|_| rng.random_range(-0.5..0.5f32)).collect::<Vec<f32>>();
        (0..items).map(|_| (0..4).map(|_| signal()).collect()).collect()
    }

    fn tensor(signals: &[Vec<Vec<f32>>]) -> Tensor<4> {
        let values: Vec<f32> = signals.iter().flatten().flatten().copied().collect();
        let shape = [signals.len(), signals[0].len(), 2, N];
        Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff())
    }

    fn added(a: &[f32], b: &[f32]) -> Vec<f32> {
        a.iter().zip(b).map(|(a, b)| a + b).collect()
    }

    fn loss(terms: &[&str], weights: &[(&str, f64)], names: &[&str]) -> Loss {
        let map = |(name, weight): &(&str, f64)| ((*name).to_owned(), *weight);
        let config = TrainConfig {
            loss: terms.iter().map(|term| ((*term).to_owned(), 1.0)).collect(),
            stem_weights: weights.iter().map(map).collect::<BTreeMap<_, _>>(),
            loss_resolutions: vec![256],
            ..Default::default()
        };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Loss::new(&config).unwrap().for_stems(&config, &names).unwrap()
    }

    /// One item with a sum of two stems, and one whose stems are all known: every term is the mean of those of the two
    /// items, of which the first is that of a network with three stems.
    #[test]
    fn a_sum_is_compared_with_the_sum_of_the_estimates() {
        let (estimates, mut targets) = (noise(1, 2), noise(2, 2));
        let weights = [0.5, 2.0, 3.0, 1.0];
        let given: Vec<(&str, f64)> = NAMES.into_iter().zip(weights).collect();
        let three = |item: &[Vec<f32>]| vec![item[0].clone(), added(&item[1], &item[3]), item[2].clone()];
        let joined_estimate = three(&estimates[0]);
        let joined_target = three(&targets[0]);
        targets[0] = vec![
            joined_target[0].clone(),
            joined_target[1].clone(),
            joined_target[2].clone(),
            vec![0.0; 2 * N],
        ];
        let groupings = [Grouping::joined(4, &[vec![1, 3]]), Grouping::separate(4)];
        for term in ["waveform", "spectral", "magnitude", "mse", "si_sdr", "mixture"] {
            let whole = loss(&[term], &given, &NAMES);
            let estimate = tensor(&estimates).require_grad();
            let values = whole.forward_sources(estimate.clone(), tensor(&targets), Some(&groupings));
            let value: f32 = values.total.clone().inner().into_scalar();

            let of_three = loss(&[term], &[("a", 0.5), ("bd", 1.5), ("c", 3.0)], &["a", "bd", "c"]);
            let one = std::slice::from_ref;
            let first = of_three.forward(tensor(one(&joined_estimate)), tensor(one(&joined_target)));
            let second = whole.forward(tensor(&estimates[1..]), tensor(&targets[1..]));
            let [first, second]: [f32; 2] = [first, second].map(|v| v.total.inner().into_scalar());
            let expected = 0.5 * (first + second);
            assert!((value - expected).abs() < 2e-5 * expected.abs(), "{term}: {value}, not {expected}");

            // Both estimates of the sum get the same gradient.
            let gradient = estimate.grad(&values.total.backward()).unwrap().into_data_as::<f32>();
            let gradient = gradient.as_slice::<f32>().unwrap();
            let of = |stem: usize| &gradient[stem * 2 * N..(stem + 1) * 2 * N];
            assert!(of(1).iter().any(|g| *g != 0.0) && of(1) == of(3), "{term}");
            assert!(gradient.iter().all(|g| g.is_finite()), "{term}");
        }
    }

    #[test]
    fn without_sums_nothing_changes() {
        let (estimate, target) = (tensor(&noise(3, 2)), tensor(&noise(4, 2)));
        let loss = loss(&["waveform", "si_sdr"], &[], &NAMES);
        let value = |groupings: Option<&[Grouping]>| -> f32 {
            loss.forward_sources(estimate.clone(), target.clone(), groupings).total.inner().into_scalar()
        };
        let separate = [Grouping::separate(4), Grouping::separate(4)];
        assert!((value(None) - value(Some(&separate))).abs() < 1e-5 * value(None).abs());
        assert_eq!(factors(&separate, Some(&[1.0, 2.0, 3.0, 4.0]))[..4], [1.0, 2.0, 3.0, 4.0]);
    }
}
