//! Training segments: a pure function from (seed, index) to audio, and the threads that prepare batches ahead.
//!
//! All random choices of segment `k` come from stream `k` of one ChaCha generator. The data therefore do not depend on
//! the number of workers, and a resumed run needs no saved random state: it starts at its index.

use crate::data::augment::Augment;
use crate::data::dataset::{DataError, Dataset};
use crate::settings::config::TrainConfig;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use unbraid_base::Stereo;

/// Number of quiet excerpts that are drawn for one segment before the loudest of them is used.
const DRAWS: usize = 8;

/// The source of training segments: the tracks, and the settings by which segments are cut and augmented.
#[derive(Clone)]
pub(crate) struct Segments {
    dataset: Arc<dyn Dataset>,
    /// Indices of the tracks that segments come from.
    tracks: Vec<usize>,
    /// `ends[i]`: sum of the lengths of the first `i + 1` of `tracks`, which makes every second equally likely.
    ends: Vec<u64>,
    samples: usize,
    config: TrainConfig,
}

impl Segments {
    /// Segments of `samples`, drawn from `tracks` (at least one) of `dataset` according to `config`.
    pub(crate) fn new(
        dataset: Arc<dyn Dataset>,
        tracks: Vec<usize>,
        samples: usize,
        config: &TrainConfig,
    ) -> Self {
        let sum = |total: &mut u64, &track: &usize| {
            *total += dataset.tracks()[track].frames.max(1);
            Some(*total)
        };
        let ends = tracks.iter().scan(0, sum).collect();
        Self { dataset, tracks, ends, samples, config: config.clone() }
    }

    /// Segment `k`: one stereo signal per stem. Their sum is the mixture.
    pub(crate) fn segment(&self, k: u64) -> Result<Vec<Stereo>, DataError> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed);
        rng.set_stream(k);
        let stems = self.dataset.stems();
        let mut segment = if rng.random_bool(self.config.remix_probability) {
            let mut segment = Vec::with_capacity(stems);
            for stem in 0..stems {
                segment.extend(self.excerpt_of(&mut rng, stem..stem + 1)?);
            }
            segment
        } else {
            self.excerpt_of(&mut rng, 0..stems)?
        };
        let augment = self.augment();
        for (index, stem) in segment.iter_mut().enumerate() {
            for place in 0..2 {
                let Some(gain) = augment.mixup(&mut rng, place) else { continue };
                let other = self.excerpt_of(&mut rng, index..index + 1)?;
                let samples = stem.iter_mut().flatten();
                samples.zip(other[0].iter().flatten()).for_each(|(sample, other)| *sample += gain * other);
            }
            augment.stem(&mut rng, stem);
        }
        augment.drop_stems(&mut rng, &mut segment);
        Ok(segment)
    }

    fn augment(&self) -> Augment<'_> {
        Augment::new(&self.config, self.samples)
    }

    /// A random excerpt of the given stems of one track, with a speed and shifts.
    fn excerpt_of(
        &self,
        rng: &mut ChaCha8Rng,
        stems: std::ops::Range<usize>,
    ) -> Result<Vec<Stereo>, DataError> {
        let excerpt = self.augment().excerpt(rng);
        let stems = self.audible(rng, stems, excerpt.read())?;
        Ok(excerpt.cut(rng, stems))
    }

    /// `samples` of the given stems from a random place, whose sum is at least as loud as `min_mean_abs`.
    ///
    /// A single stem may be silent there: the model also has to learn that a stem is absent.
    fn audible(
        &self,
        rng: &mut ChaCha8Rng,
        stems: std::ops::Range<usize>,
        samples: usize,
    ) -> Result<Vec<Stereo>, DataError> {
        let mut best: Option<(f32, Vec<Stereo>)> = None;
        for _ in 0..DRAWS {
            let at = rng.random_range(0..*self.ends.last().expect("at least one track"));
            let track = self.tracks[self.ends.partition_point(|&end| end <= at)];
            let frames = self.dataset.tracks()[track].frames;
            let start = rng.random_range(0..=frames.saturating_sub(samples as u64));
            let read = |stem| self.dataset.read(track, stem, start, samples);
            let audio = stems.clone().map(read).collect::<Result<Vec<_>, _>>()?;
            let loudness = mean_abs(&audio);
            let loud_enough = loudness >= self.config.min_mean_abs;
            if best.as_ref().is_none_or(|(loudest, _)| loudness > *loudest) {
                best = Some((loudness, audio));
            }
            if loud_enough {
                break;
            }
        }
        Ok(best.expect("at least one excerpt is drawn").1)
    }

    /// Batch `k`: segments `k·b … (k+1)·b`, as one plane `[b, s, 2, n]`.
    fn batch(&self, k: u64) -> Result<Vec<f32>, DataError> {
        let size = self.config.batch_size as u64;
        let mut plane = Vec::new();
        for item in k * size..(k + 1) * size {
            for stem in self.segment(item)? {
                plane.extend_from_slice(&stem[0]);
                plane.extend_from_slice(&stem[1]);
            }
        }
        Ok(plane)
    }
}

fn mean_abs(stems: &[Stereo]) -> f32 {
    let samples = stems[0][0].len();
    let mut sum = 0.0;
    for channel in 0..2 {
        for n in 0..samples {
            sum += stems.iter().map(|stem| stem[channel][n]).sum::<f32>().abs();
        }
    }
    sum / (2 * samples).max(1) as f32
}

/// Batches in order, prepared ahead by threads.
///
/// Worker `w` of `W` makes the batches `w, w + W, …` and sends them through its own channel with room for `prefetch`
/// batches. This fixes the order without sorting and bounds the memory.
pub(crate) struct Loader {
    channels: Vec<Receiver<Result<Vec<f32>, DataError>>>,
    threads: Vec<JoinHandle<()>>,
    next: u64,
}

impl Loader {
    /// Starts the workers at batch `first`.
    pub(crate) fn start(segments: &Arc<Segments>, first: u64) -> Self {
        let workers = segments.config.workers as u64;
        let mut channels = Vec::new();
        let mut threads = Vec::new();
        for worker in 0..workers {
            let (sender, receiver) = sync_channel(segments.config.prefetch);
            let segments = Arc::clone(segments);
            // The first batch from `first` on that belongs to this worker.
            let begin = first + (worker + workers - first % workers) % workers;
            threads.push(std::thread::spawn(move || {
                for k in (begin..).step_by(workers as usize) {
                    let batch = segments.batch(k);
                    let last = batch.is_err();
                    // A closed channel means that training has ended.
                    if sender.send(batch).is_err() || last {
                        break;
                    }
                }
            }));
            channels.push(receiver);
        }
        Self { channels, threads, next: first }
    }

    /// The next batch, `[b, s, 2, n]` in row-major order.
    pub(crate) fn batch(&mut self) -> Result<Vec<f32>, DataError> {
        let worker = (self.next % self.channels.len() as u64) as usize;
        self.next += 1;
        self.channels[worker].recv().expect("a worker ends only after it has sent an error")
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.channels.clear(); // wakes workers that wait for room in their channel
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::formats::open_dataset;
    use crate::data::testing as data;

    fn segments(root: &std::path::Path, edit: impl FnOnce(&mut TrainConfig)) -> Segments {
        let mut config = TrainConfig { batch_size: 2, ..Default::default() };
        edit(&mut config);
        let dataset = open_dataset(root, "train", &data::stems(), 8000).unwrap();
        let tracks = (0..dataset.tracks().len()).collect();
        Segments::new(dataset, tracks, 500, &config)
    }

    fn first_batches(segments: &Segments, workers: usize, first: u64, count: usize) -> Vec<Vec<f32>> {
        let mut segments = segments.clone();
        segments.config.workers = workers;
        let mut loader = Loader::start(&Arc::new(segments), first);
        (0..count).map(|_| loader.batch().unwrap()).collect()
    }

    #[test]
    fn data_depend_on_seed_and_index_alone() {
        let dir = tempfile::tempdir().unwrap();
        data::data_set(dir.path(), 3, 8000, 4000);
        let source = segments(dir.path(), |_| {});
        let one = first_batches(&source, 1, 0, 7);
        assert_eq!(one, first_batches(&source, 3, 0, 7), "the number of workers changes nothing");
        assert_eq!(one[3..], first_batches(&source, 2, 3, 4)[..], "a resumed run gets the same batches");
        assert_ne!(one[0], one[1]);
        let other = segments(dir.path(), |c| c.seed = 1);
        assert_ne!(one[0], first_batches(&other, 1, 0, 1)[0]);
        assert_eq!(one[0].len(), 2 * 2 * 2 * 500);
    }

    /// Without augmentation and remixing, a segment is a piece of one track, the same for all stems.
    #[test]
    fn plain_segments_are_aligned_pieces_of_a_track() {
        let dir = tempfile::tempdir().unwrap();
        for (stem, scale) in [("drums", 1e-4), ("vocals", -2e-4)] {
            data::write(&dir.path().join(format!("train/a/{stem}.wav")), 8000, 3000, |n| n as f32 * scale);
        }
        let source = segments(dir.path(), |c| {
            c.remix_probability = 0.0;
            c.gain_range = [1.0, 1.0];
            c.channel_swap_probability = 0.0;
            c.sign_flip_probability = 0.0;
        });
        let mut starts = Vec::new();
        for k in 0..20 {
            let segment = source.segment(k).unwrap();
            let start = (segment[0][0][0] / 1e-4).round();
            for n in 0..500 {
                assert!((segment[0][0][n] - (start + n as f32) * 1e-4).abs() < 1e-6);
                assert!((segment[1][0][n] + 2.0 * segment[0][0][n]).abs() < 1e-6);
                assert!((segment[0][1][n] - 0.5 * segment[0][0][n]).abs() < 1e-6);
            }
            starts.push(start as i64);
        }
        starts.sort_unstable();
        starts.dedup();
        assert!(starts.len() > 15, "{starts:?}");
    }

    #[test]
    fn augmentation_flips_swaps_and_scales() {
        let dir = tempfile::tempdir().unwrap();
        for stem in data::STEMS {
            data::write(&dir.path().join(format!("train/a/{stem}.wav")), 8000, 3000, |_| 0.5);
        }
        let source = segments(dir.path(), |_| {});
        let (mut flipped, mut swapped, mut gains) = (0, 0, Vec::new());
        for k in 0..50 {
            for [left, right] in source.segment(k).unwrap() {
                flipped += usize::from(left[0] < 0.0);
                swapped += usize::from(left[0].abs() < right[0].abs());
                gains.push(left[0].abs().max(right[0].abs()) / 0.5);
            }
        }
        assert!((30..70).contains(&flipped) && (30..70).contains(&swapped), "{flipped} {swapped}");
        assert!(gains.iter().all(|g| (0.2499..1.2501).contains(g)));
        assert!(gains.iter().any(|g| *g < 0.5) && gains.iter().any(|g| *g > 1.0));
    }

    #[test]
    fn quiet_excerpts_are_drawn_again_a_bounded_number_of_times() {
        let dir = tempfile::tempdir().unwrap();
        for stem in data::STEMS {
            // One tenth of the track is not silent.
            let file = dir.path().join(format!("train/a/{stem}.wav"));
            data::write(&file, 8000, 20_000, |n| if n < 2000 { 0.5 } else { 0.0 });
        }
        let silent =
            |source: &Segments| (0..40).filter(|&k| mean_abs(&source.segment(k).unwrap()) == 0.0).count();
        let with = silent(&segments(dir.path(), |c| c.remix_probability = 1.0));
        let without = silent(&segments(dir.path(), |c| {
            c.remix_probability = 1.0;
            c.min_mean_abs = 0.0;
        }));
        assert!(without > 20 && with < without / 2, "{with} with the filter, {without} without");
    }

    #[test]
    fn a_short_track_is_padded_and_a_missing_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        data::data_set(dir.path(), 1, 8000, 300);
        let source = segments(dir.path(), |_| {});
        let segment = source.segment(0).unwrap();
        assert!(segment.iter().all(|s| s[0].len() == 500 && s[0][300..].iter().all(|x| *x == 0.0)));
        std::fs::remove_file(dir.path().join("train/song-0/drums.wav")).unwrap();
        let mut loader = Loader::start(&Arc::new(source), 0);
        let error = loader.batch().unwrap_err().to_string();
        assert!(error.contains("drums.wav"), "{error}");
    }
}
