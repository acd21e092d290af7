//! Training segments: a pure function from (seed, index) to audio, and the threads that prepare batches ahead.
//!
//! All random choices of segment `k` come from stream `k` of one ChaCha generator. The data therefore do not depend on
//! the number of workers, and a resumed run needs no saved random state: it starts at its index.

use crate::data::augment::Augment;
use crate::data::dataset::{DataError, Dataset};
use crate::data::index::Levels;
use crate::data::places::{Places, Wanted};
use crate::settings::config::TrainConfig;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use unbraid_base::Stereo;

/// Batches over which the wait for data is measured.
const WATCHED: u32 = 50;

/// Share of the time that the device may wait for data before people are told.
const MOST_WAITING: f64 = 0.2;

/// The source of training segments: the tracks, and the settings by which segments are cut and augmented.
#[derive(Clone)]
pub(crate) struct Segments {
    dataset: Arc<dyn Dataset>,
    /// Where an excerpt of each stem may begin, and, last, an excerpt of all stems.
    places: Vec<Places>,
    samples: usize,
    config: TrainConfig,
    /// The part of every batch that is made, counted from 0, and the number of parts.
    part: [u64; 2],
}

impl Segments {
    /// Segments of `samples` at `rate`, drawn from `tracks` (at least one) of `dataset` according to `config`. With the
    /// `levels` of the tracks, quiet places are avoided.
    pub(crate) fn new(
        dataset: Arc<dyn Dataset>,
        tracks: &[usize],
        (samples, rate): (usize, u32),
        config: &TrainConfig,
        levels: &Levels,
    ) -> Self {
        let wanted = Wanted { samples, rate, level: config.min_mean_abs };
        let stems = dataset.stems();
        let each = (0..stems).map(|stem| stem..stem + 1).chain(std::iter::once(0..stems));
        let places = each.map(|stems| Places::of(&*dataset, tracks, levels, stems, wanted)).collect();
        Self { dataset, places, samples, config: config.clone(), part: [0, 1] }
    }

    /// The same source, but of every batch only the part `index` of `count` equal ones.
    pub(crate) fn of_part(&self, index: usize, count: usize) -> Self {
        Self { part: [index as u64, count as u64], ..self.clone() }
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
        let stems = self.loud(rng, stems, excerpt.read())?;
        Ok(excerpt.cut(rng, stems))
    }

    /// `samples` of the given stems (one, or all) from a random place at which their sum is loud enough.
    ///
    /// A single stem of several may be silent there: the model also has to learn that a stem is absent.
    fn loud(
        &self,
        rng: &mut ChaCha8Rng,
        stems: std::ops::Range<usize>,
        samples: usize,
    ) -> Result<Vec<Stereo>, DataError> {
        let places = &self.places[if stems.len() == 1 { stems.start } else { self.dataset.stems() }];
        let (track, start) = places.draw(rng);
        // A place is chosen for a segment. With another speed, more samples are read.
        let frames = self.dataset.tracks()[track].frames;
        let start = start.min(frames.saturating_sub(samples as u64));
        stems.map(|stem| self.dataset.read(track, stem, start, samples)).collect()
    }

    /// Batch `k`, segments `k·b … (k+1)·b`, or the part of it, as one plane `[b, s, 2, n]`.
    pub(crate) fn batch(&self, k: u64) -> Result<Vec<f32>, DataError> {
        let [part, parts] = self.part;
        let size = self.config.batch_size as u64 / parts;
        let first = (k * parts + part) * size;
        let mut plane = Vec::new();
        for item in first..first + size {
            for stem in self.segment(item)? {
                plane.extend_from_slice(&stem[0]);
                plane.extend_from_slice(&stem[1]);
            }
        }
        Ok(plane)
    }
}

/// Batches in order, prepared ahead by threads.
///
/// Worker `w` of `W` makes the batches `w, w + W, …` and sends them through its own channel with room for `prefetch`
/// batches. This fixes the order without sorting and bounds the memory.
pub(crate) struct Loader {
    channels: Vec<Receiver<Result<Vec<f32>, DataError>>>,
    threads: Vec<JoinHandle<()>>,
    next: u64,
    /// Time spent waiting, since when, and the batches since then.
    waited: Duration,
    since: Instant,
    batches: u32,
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
        Self { channels, threads, next: first, waited: Duration::ZERO, since: Instant::now(), batches: 0 }
    }

    /// The next batch, `[b, s, 2, n]` in row-major order.
    pub(crate) fn batch(&mut self) -> Result<Vec<f32>, DataError> {
        let worker = (self.next % self.channels.len() as u64) as usize;
        self.next += 1;
        let began = Instant::now();
        let batch = self.channels[worker].recv().expect("a worker ends only after it has sent an error");
        self.waited += began.elapsed();
        self.batches += 1;
        batch
    }

    /// After every [`WATCHED`] batches: the share of the time since the last answer that was spent waiting for data, if
    /// it is more than [`MOST_WAITING`].
    pub(crate) fn starving(&mut self) -> Option<f64> {
        if self.batches < WATCHED {
            return None;
        }
        let share = self.waited.as_secs_f64() / self.since.elapsed().as_secs_f64().max(1e-9);
        (self.waited, self.since, self.batches) = (Duration::ZERO, Instant::now(), 0);
        (share > MOST_WAITING).then_some(share)
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
    use crate::data::index::levels;
    use crate::data::testing as data;

    fn segments(root: &std::path::Path, edit: impl FnOnce(&mut TrainConfig)) -> Segments {
        let mut config = TrainConfig { batch_size: 2, ..Default::default() };
        edit(&mut config);
        let dataset = open_dataset(root, "train", &data::stems(), 8000).unwrap();
        let tracks: Vec<usize> = (0..dataset.tracks().len()).collect();
        let levels = levels(&*dataset, &tracks, |_, _| true, |_| {}).unwrap().unwrap();
        Segments::new(dataset, &tracks, (500, 8000), &config, &levels)
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
    fn quiet_places_are_not_drawn() {
        let dir = tempfile::tempdir().unwrap();
        for (stem, loud) in [("drums", 0..16_000), ("vocals", 72_000..80_000)] {
            let file = dir.path().join(format!("train/a/{stem}.wav"));
            data::write(&file, 8000, 160_000, |n| if loud.contains(&n) { 0.5 } else { 0.0 });
        }
        let is_silent = |stem: &Stereo| stem[0].iter().all(|x| *x == 0.0);
        let silent = |remix, level| {
            let source = segments(dir.path(), |c| (c.remix_probability, c.min_mean_abs) = (remix, level));
            let segments = (0..100).map(|k| source.segment(k).unwrap());
            segments
                .filter(|s| if remix == 1.0 { s.iter().any(is_silent) } else { s.iter().all(is_silent) })
                .count()
        };
        assert_eq!((silent(1.0, 1e-3), silent(0.0, 1e-3)), (0, 0));
        assert!(silent(1.0, 0.0) > 80 && silent(0.0, 0.0) > 60);
    }

    #[test]
    fn a_device_that_waits_for_data_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        data::data_set(dir.path(), 1, 8000, 4000);
        let mut loader = Loader::start(&Arc::new(segments(dir.path(), |_| {})), 0);
        let mut run = |step: Duration| {
            let mut answers = (0..WATCHED).map(|_| {
                loader.batch().unwrap();
                std::thread::sleep(step);
                loader.starving()
            });
            answers.by_ref().take(WATCHED as usize - 1).for_each(|answer| assert_eq!(answer, None));
            answers.next().unwrap()
        };
        // A step that takes no time only waits, and one that takes long finds its batch prepared.
        assert!(run(Duration::ZERO).is_some_and(|share| share > 0.5));
        assert_eq!(run(Duration::from_millis(20)), None);
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
