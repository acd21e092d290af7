//! Training segments: a pure function from (seed, index) to audio, and the threads that prepare batches ahead.
//!
//! All random choices of segment `k` come from stream `k` of one ChaCha generator. The data therefore do not depend on
//! the number of workers, and a resumed run needs no saved random state: it starts at its index.

use crate::data::augment::Augment;
use crate::data::dataset::{DataError, Dataset};
use crate::data::excerpts::Excerpts;
use crate::data::grouping::Grouping;
use crate::data::index::Levels;
use crate::data::items::Items;
use crate::data::places::Wanted;
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

/// The source of training segments: the excerpts, and the settings by which segments are mixed and augmented.
#[derive(Clone)]
pub(crate) struct Segments {
    excerpts: Excerpts,
    samples: usize,
    config: TrainConfig,
    /// The part of every batch that is made, counted from 0, and the number of parts.
    part: [u64; 2],
}

impl Segments {
    /// Segments of `samples` at `rate`, drawn from `tracks` of `dataset`, and from its series, according to `config`. With
    /// the `levels` of the tracks, quiet places are avoided. There is a track or a series.
    pub(crate) fn new(
        dataset: Arc<dyn Dataset>,
        tracks: &[usize],
        (samples, rate): (usize, u32),
        config: &TrainConfig,
        levels: &Levels,
    ) -> Self {
        let wanted = Wanted { samples, rate, level: config.min_mean_abs };
        Self {
            excerpts: Excerpts::new(dataset, tracks, levels, wanted),
            samples,
            config: config.clone(),
            part: [0, 1],
        }
    }

    /// The same source, but of every batch only the part `index` of `count` equal ones.
    pub(crate) fn of_part(&self, index: usize, count: usize) -> Self {
        Self { part: [index as u64, count as u64], ..self.clone() }
    }

    /// Segment `k`: one stereo signal per stem, and the stems of which only the sum is known. The sum is at the first of
    /// them, and the others are silent. All signals together are the mixture.
    pub(crate) fn segment(&self, k: u64) -> Result<(Vec<Stereo>, Grouping), DataError> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed);
        rng.set_stream(k);
        let rng = &mut rng;
        let augment = Augment::new(&self.config, self.samples);
        let (mut grouping, mut sources) = if rng.random_bool(self.config.remix_probability) {
            let grouping = self.excerpts.grouping(rng);
            let mut sources = Vec::new();
            for first in grouping.sources() {
                sources.push(self.excerpt_of(rng, k, &grouping.members(first).collect::<Vec<_>>())?);
            }
            (grouping, sources)
        } else {
            let excerpt = augment.excerpt(rng);
            let (grouping, sources) = self.excerpts.of_song(rng, k, excerpt.read())?;
            (grouping, excerpt.cut(rng, sources))
        };
        let firsts: Vec<usize> = grouping.sources().collect();
        for (&first, source) in firsts.iter().zip(&mut sources) {
            for place in 0..2 {
                let Some(gain) = augment.mixup(rng, place) else { continue };
                let other = self.excerpt_of(rng, k, &grouping.members(first).collect::<Vec<_>>())?;
                let samples = source.iter_mut().flatten().zip(other.iter().flatten());
                samples.for_each(|(sample, other)| *sample += gain * other);
            }
            augment.stem(rng, source);
        }
        augment.drop_stems(rng, &mut sources);
        augment.code(rng, &mut sources);
        let mut stems = vec![[vec![0.0; self.samples], vec![0.0; self.samples]]; grouping.stems()];
        for (first, source) in firsts.into_iter().zip(sources) {
            // Stems whose sum is digital silence are silent.
            if source.iter().flatten().all(|x| *x == 0.0) {
                grouping.separate_source(first);
            }
            stems[first] = source;
        }
        Ok((stems, grouping))
    }

    /// A random excerpt of the source with these stems, with a speed and a shift, for segment `k`.
    fn excerpt_of(&self, rng: &mut ChaCha8Rng, k: u64, stems: &[usize]) -> Result<Stereo, DataError> {
        let excerpt = Augment::new(&self.config, self.samples).excerpt(rng);
        let source = self.excerpts.of_source(rng, k, stems, excerpt.read())?;
        Ok(excerpt.cut(rng, vec![source]).swap_remove(0))
    }

    /// Batch `k`, segments `k·b … (k+1)·b`, or the part of it.
    pub(crate) fn batch(&self, k: u64) -> Result<Items, DataError> {
        let [part, parts] = self.part;
        let size = self.config.batch_size as u64 / parts;
        let first = (k * parts + part) * size;
        let mut items = Items::default();
        for item in first..first + size {
            let (stems, grouping) = self.segment(item)?;
            items.push(&stems, grouping);
        }
        Ok(items)
    }
}

/// Batches in order, prepared ahead by threads.
///
/// Worker `w` of `W` makes the batches `w, w + W, …` and sends them through its own channel with room for `prefetch`
/// batches. This fixes the order without sorting and bounds the memory.
pub(crate) struct Loader {
    channels: Vec<Receiver<Result<Items, DataError>>>,
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

    /// The next batch.
    pub(crate) fn batch(&mut self) -> Result<Items, DataError> {
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
mod cost;
#[cfg(test)]
mod tests;
