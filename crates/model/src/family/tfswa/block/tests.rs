use super::*;
use crate::family::ModelConfig;
use burn::tensor::Distribution;

fn config() -> TfswaConfig {
    let tiny = ModelConfig::standard("tfswa_unet_tiny").expect("a standard network");
    tiny.family.tfswa().expect("a TFSWA network").clone()
}

#[test]
fn chunks_cover_everything_in_whole_windows() {
    assert_eq!((chunks(0, 0, 5).len(), chunks(4, 32, 22).len()), (1, 1));
    assert_eq!(chunks(0, usize::MAX, 5), chunks(0, 0, 5));
    assert_eq!(chunks(0, 2, 5), [0..2, 2..4, 4..5]);
    assert_eq!(chunks(4, 8, 22), [0..4, 4..12, 12..20, 20..22]);
    assert_eq!(chunks(0, 64, 65).len(), 1);
    assert_eq!(chunks(4, 64, 134), [0..4, 4..68, 68..134]);
}

/// The result under every chunk size is the same, bit for bit.
#[test]
fn chunks_change_nothing() {
    let device = Device::flex();
    device.seed(7);
    let x = Tensor::<4>::random([2, 19, 23, 32], Distribution::Normal(0.0, 2.0), &device);
    let window = |shift| Sequences::Window { size: [8, 8], shift };
    for sequences in [Sequences::Time, Sequences::Frequency, window([0, 0]), window([4, 4])] {
        let layer = SubLayer::new(&config(), 32, sequences, &device);
        let expected = layer.forward(x.clone(), &Execution::default()).into_data();
        for chunk in [1, 2, 5, 17, 64, usize::MAX] {
            let execution =
                Execution { tsa_chunk_size: chunk, fsa_chunk_size: chunk, ..Execution::default() };
            let result = layer.forward(x.clone(), &execution).into_data();
            assert_eq!(result, expected, "{sequences:?}, chunk {chunk}");
        }
    }
}

/// A time sub-layer attends over the frames of a bin, and a frequency sub-layer over the bins of a frame. A token
/// affects exactly its own sequence.
#[test]
fn a_token_affects_its_sequence_only() {
    let device = Device::flex();
    device.seed(3);
    let x = Tensor::<4>::random([1, 6, 7, 32], Distribution::Normal(0.0, 1.0), &device);
    let at = [0..1, 2..3, 4..5, 0..32];
    let poke = Tensor::<4>::random([1, 1, 1, 32], Distribution::Normal(0.0, 1.0), &device);
    let poked = x.clone().slice_assign(at, poke);
    for (sequences, expected) in [(Sequences::Time, [6, 1]), (Sequences::Frequency, [1, 7])] {
        let layer = SubLayer::new(&config(), 32, sequences, &device);
        let forward = |x: &Tensor<4>| layer.forward(x.clone(), &Execution::default());
        let change = (forward(&x) - forward(&poked)).abs().sum_dim(3);
        let change = change.into_data().try_to_vec::<f32>().expect("f32");
        let moved = |t: usize, f: usize| change[t * 7 + f] > 0.0;
        assert!(moved(2, 4));
        let frames = (0..6).filter(|&t| moved(t, 4)).count();
        let bins = (0..7).filter(|&f| moved(2, f)).count();
        assert_eq!([frames, bins], expected, "{sequences:?}");
        assert_eq!(change.iter().filter(|&&c| c > 0.0).count(), expected[0] * expected[1]);
    }
}
