mod silent;

use super::*;
use std::cell::{Cell, RefCell};

const LEAST: usize = 33;

/// A model whose stems are the segment times a gain. It can be made to return a bad value.
struct Gains<'a> {
    gains: &'a [f32],
    /// Lengths of all segments run.
    lengths: &'a RefCell<Vec<usize>>,
    /// The runs (of one batch each) whose output is spoiled.
    spoil: &'a dyn Fn(usize) -> bool,
    runs: Cell<usize>,
}

impl SegmentModel for Gains<'_> {
    type Running = Vec<Vec<Stereo>>;

    fn stems(&self) -> usize {
        self.gains.len()
    }

    fn sample_rate(&self) -> u32 {
        1000
    }

    fn least_samples(&self) -> usize {
        LEAST
    }

    fn start(&self, segments: Vec<Stereo>) -> Vec<Vec<Stereo>> {
        let run = self.runs.replace(self.runs.get() + 1);
        self.lengths.borrow_mut().extend(segments.iter().map(|segment| segment[0].len()));
        let scale =
            |segment: &Stereo, gain: f32| segment.each_ref().map(|c| c.iter().map(|x| x * gain).collect());
        let mut results: Vec<Vec<Stereo>> = segments
            .iter()
            .map(|segment| self.gains.iter().map(|&gain| scale(segment, gain)).collect())
            .collect();
        if (self.spoil)(run) {
            results[0][0][1][7] = f32::NAN;
        }
        results
    }

    async fn finish(&self, results: Vec<Vec<Stereo>>) -> Result<Vec<Vec<Stereo>>, ExecutionError> {
        Ok(results)
    }
}

fn song(samples: usize) -> Stereo {
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    [0, 1].map(|_| (0..samples).map(|_| noise()).collect())
}

/// Samples held of the song and of its stems, per channel.
fn buffered<N: SegmentModel>(separator: &Separator<N>) -> usize {
    let Separator { input, weights, sums, .. } = separator;
    input[0].len() + weights.len() + sums.iter().map(|sum| sum[0].len()).sum::<usize>()
}

/// Separates `song` in blocks, whose lengths are `blocks` in turn. Returns the stems, and the largest number of samples
/// that was buffered.
fn separate<N: SegmentModel>(
    network: N,
    options: SeparatorOptions,
    song: &Stereo,
    blocks: &[usize],
) -> Result<(Vec<Stereo>, usize), SeparateError> {
    drain(Separator::new(network, options)?, song, blocks)
}

fn drain<N: SegmentModel>(
    mut separator: Separator<N>,
    song: &Stereo,
    blocks: &[usize],
) -> Result<(Vec<Stereo>, usize), SeparateError> {
    pollster::block_on(async {
        let mut stems = vec![Stereo::default(); separator.network.stems()];
        let mut append = |new: Vec<Stereo>| {
            for (stem, new) in stems.iter_mut().flatten().zip(new.into_iter().flatten()) {
                stem.extend(new);
            }
        };
        let (mut start, mut most) = (0, 0);
        for length in blocks.iter().cycle() {
            let end = song[0].len().min(start + length);
            append(separator.push(&song.each_ref().map(|c| c[start..end].to_vec())).await?);
            most = most.max(buffered(&separator));
            start = end;
            if start == song[0].len() {
                break;
            }
        }
        append(separator.finish().await?);
        Ok((stems, most))
    })
}

#[test]
fn gains_return_the_scaled_song_for_every_length_block_overlap_and_batch() {
    let gains = [1.0, -0.5, 0.0];
    for samples in [0, 1, 2, 32, 33, 99, 100, 101, 175, 399, 400, 1777] {
        let song = song(samples);
        for (overlap, batch) in [(0.0, 1), (0.25, 1), (0.25, 3), (0.5, 2), (0.75, 1), (0.75, 4), (0.33, 2)] {
            for blocks in [&[1][..], &[7, 150, 3], &[100_000]] {
                let lengths = RefCell::new(Vec::new());
                let network =
                    Gains { gains: &gains, lengths: &lengths, spoil: &|_| false, runs: Cell::new(0) };
                let options = SeparatorOptions { segment: 100, overlap, batch };
                let (stems, _) = separate(network, options, &song, blocks).unwrap();
                let case = format!("{samples} samples, {options:?}, blocks {blocks:?}");
                for (stem, gain) in stems.iter().zip(gains) {
                    for (stem, song) in stem.iter().zip(&song) {
                        assert_eq!(stem.len(), samples, "{case}");
                        // Two f32 roundings per sample: 134 dB below it, also for the first and the last.
                        let error = |(y, x): (&f32, &f32)| (y - gain * x).abs() <= 2e-7 * x.abs();
                        assert!(stem.iter().zip(song).all(error), "{case}");
                    }
                }
                // If the song is as long as a segment, every segment has full length, without padding.
                let expected = samples.clamp(LEAST, 100);
                assert!(lengths.borrow().iter().all(|&length| length == expected), "{case}: {lengths:?}");
            }
        }
    }
}

#[test]
fn a_batch_changes_no_bit_and_the_last_segment_runs_with_the_waiting_ones() {
    for samples in [1, 99, 100, 101, 175, 176, 399, 400, 1777] {
        let song = song(samples);
        for overlap in [0.0, 0.25, 0.75] {
            let separated = |batch| {
                let (lengths, runs) = (RefCell::new(Vec::new()), Cell::new(0));
                let spoil = |run| {
                    runs.set(run + 1);
                    false
                };
                let network =
                    Gains { gains: &[0.3, -0.7], lengths: &lengths, spoil: &spoil, runs: Cell::new(0) };
                let options = SeparatorOptions { segment: 100, overlap, batch };
                let (stems, _) = separate(network, options, &song, &[64]).unwrap();
                (stems, lengths.into_inner(), runs.get())
            };
            let (alone, segments, _) = separated(1);
            for batch in [2, 3, 8] {
                let (stems, lengths, runs) = separated(batch);
                let case = format!("{samples} samples, overlap {overlap}, batch {batch}");
                assert_eq!(stems, alone, "{case}");
                assert_eq!(lengths, segments, "{case}");
                assert_eq!(runs, segments.len().div_ceil(batch), "{case}");
            }
        }
    }
}

/// Counts the batches that are computed at the same time.
struct Ahead<'a> {
    running: &'a Cell<usize>,
    most: &'a Cell<usize>,
}

impl SegmentModel for Ahead<'_> {
    type Running = Vec<Stereo>;

    fn stems(&self) -> usize {
        1
    }

    fn sample_rate(&self) -> u32 {
        1000
    }

    fn least_samples(&self) -> usize {
        LEAST
    }

    fn start(&self, segments: Vec<Stereo>) -> Vec<Stereo> {
        self.running.set(self.running.get() + 1);
        self.most.set(self.most.get().max(self.running.get()));
        segments
    }

    async fn finish(&self, segments: Vec<Stereo>) -> Result<Vec<Vec<Stereo>>, ExecutionError> {
        self.running.set(self.running.get() - 1);
        Ok(segments.into_iter().map(|segment| vec![segment]).collect())
    }
}

#[test]
fn batches_that_are_computed_ahead_change_no_bit() {
    for samples in [0, 40, 100, 175, 400, 1777] {
        let song = song(samples);
        for (overlap, batch) in [(0.0, 1), (0.25, 1), (0.75, 3)] {
            let options = SeparatorOptions { segment: 100, overlap, batch };
            let [running, most] = [Cell::new(0), Cell::new(0)];
            let separated = |ahead| {
                let network = Ahead { running: &running, most: &most };
                drain(Separator::new(network, options).unwrap().with_ahead(ahead), &song, &[64]).unwrap().0
            };
            let expected = separated(0);
            assert_eq!(most.get(), usize::from(samples > 0));
            for ahead in [1, 2, 5, 100] {
                most.set(0);
                assert_eq!(separated(ahead), expected, "{samples} samples, {options:?}, {ahead} ahead");
                assert_eq!(running.get(), 0);
                // The song's last segments are one batch more.
                assert!(most.get() <= ahead + 1, "{} at once, {ahead} ahead", most.get());
                assert!(samples < 1777 || most.get() > ahead.min(5));
            }
        }
    }
}

#[test]
fn memory_does_not_grow_with_the_song() {
    let lengths = RefCell::new(Vec::new());
    let options = SeparatorOptions { segment: 200, overlap: 0.25, batch: 2 };
    let most = [10_000, 100_000].map(|samples| {
        let network = Gains { gains: &[1.0; 4], lengths: &lengths, spoil: &|_| false, runs: Cell::new(0) };
        separate(network, options, &song(samples), &[64]).unwrap().1
    });
    assert_eq!(most[0], most[1]);
    // The input of a batch and of the segment before it. The weights and four stems of one overlap.
    assert!(most[1] <= 200 + 2 * 150 + 150 + 5 * 50, "{}", most[1]);
    let [running, most] = [Cell::new(0), Cell::new(0)];
    let separator = Separator::new(Ahead { running: &running, most: &most }, options).unwrap().with_ahead(3);
    let (_, most) = drain(separator, &song(100_000), &[64]).unwrap();
    // The input of three batches more. The weights and one stem of one overlap.
    assert!(most <= 200 + 5 * 2 * 150 + 2 * 50, "{most}");
}

/// The model returns the number of the segment. The output must fade from one number to the next.
#[test]
fn segments_fade_into_each_other() {
    struct Count(Cell<f32>);
    impl SegmentModel for Count {
        type Running = Vec<Stereo>;

        fn stems(&self) -> usize {
            1
        }
        fn sample_rate(&self) -> u32 {
            1000
        }
        fn least_samples(&self) -> usize {
            1
        }
        fn start(&self, segments: Vec<Stereo>) -> Vec<Stereo> {
            segments
        }
        async fn finish(&self, segments: Vec<Stereo>) -> Result<Vec<Vec<Stereo>>, ExecutionError> {
            let value = self.0.replace(self.0.get() + 1.0);
            Ok(vec![vec![segments[0].each_ref().map(|channel| vec![value; channel.len()])]])
        }
    }
    let options = SeparatorOptions { segment: 100, overlap: 0.4, batch: 1 };
    // The last segment is moved back for every length except the first and the last.
    for samples in 400..=460 {
        let (stems, _) = separate(Count(Cell::new(0.0)), options, &song(samples), &[50]).unwrap();
        let stem = &stems[0][0];
        assert_eq!((stem[0], stem[59], stem[100]), (0.0, 0.0, 1.0));
        let mut steps = stem.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(steps.all(|step| (-1e-6..=1.01 / 41.0).contains(&step)), "{samples}: {stem:?}");
    }
}

#[test]
fn a_bad_segment_is_run_a_second_time_then_reported_with_its_position() {
    let lengths = RefCell::new(Vec::new());
    let options = SeparatorOptions { segment: 100, overlap: 0.0, batch: 1 };
    let network = |spoil| Gains { gains: &[1.0], lengths: &lengths, spoil, runs: Cell::new(0) };
    let (stems, _) = separate(network(&|run| run == 2), options, &song(300), &[300]).unwrap();
    assert_eq!(stems[0], song(300));
    let error = separate(network(&|run| run >= 2), options, &song(300), &[300]).unwrap_err();
    assert!(
        matches!(error, SeparateError::NotFinite { seconds } if (seconds - 0.207).abs() < 1e-9),
        "{error}"
    );
}

#[test]
fn bad_blocks_and_options_are_refused() {
    let lengths = RefCell::new(Vec::new());
    let network = || Gains { gains: &[1.0], lengths: &lengths, spoil: &|_| false, runs: Cell::new(0) };
    let options = SeparatorOptions { segment: 100, overlap: 0.25, batch: 1 };
    for bad in [
        SeparatorOptions { segment: LEAST - 1, ..options },
        SeparatorOptions { segment: usize::MAX, ..options },
        SeparatorOptions { overlap: 0.9, ..options },
        SeparatorOptions { overlap: f32::NAN, ..options },
        SeparatorOptions { batch: 0, ..options },
    ] {
        assert!(matches!(Separator::new(network(), bad), Err(SeparateError::Options(_))), "{bad:?}");
    }
    let mut song = song(150);
    song[1][120] = f32::INFINITY;
    let error = separate(network(), options, &song, &[50]).unwrap_err();
    assert!(matches!(error, SeparateError::Input { seconds } if (seconds - 0.120).abs() < 1e-9), "{error}");
    let mut separator = Separator::new(network(), options).unwrap();
    let error = pollster::block_on(separator.push(&[vec![0.0; 3], vec![0.0; 2]])).unwrap_err();
    assert!(matches!(error, SeparateError::Block { left: 3, right: 2 }), "{error}");
    assert!(lengths.borrow().is_empty() || lengths.borrow().iter().all(|&length| length == 100));
}
