//! Where excerpts may begin: the places at which the wanted stems are loud enough, by the index of the data set.

use crate::data::dataset::Dataset;
use crate::data::index::Levels;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The length of an excerpt and the unit of time of the levels, in samples, and the least mean absolute sample.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Samples of an excerpt.
    pub(crate) samples: usize,
    /// Samples of a second.
    pub(crate) rate: u32,
    /// The least mean absolute sample.
    pub(crate) level: f32,
}

/// Neighbouring places of a track.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Run {
    track: usize,
    /// The first start, in samples.
    first: u64,
    /// Number of starts.
    starts: u64,
}

/// The places of some stems.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    runs: Vec<Run>,
    /// `ends[i]`: the weight of the first `i + 1` of `runs`, which makes every second equally likely.
    ends: Vec<f64>,
}

impl Places {
    /// The places of the sum of `stems` in `tracks` (at least one). If it is silent everywhere, all places.
    pub(crate) fn of(
        dataset: &dyn Dataset,
        tracks: &[usize],
        levels: &Levels,
        stems: std::ops::Range<usize>,
        wanted: Wanted,
    ) -> Self {
        let places = Self::loud(dataset, tracks, wanted, |track| {
            let levels = levels.get(track).and_then(Option::as_ref)?;
            Some(loudest(&levels[stems.clone()]))
        });
        if places.runs.is_empty() { Self::loud(dataset, tracks, wanted, |_| None) } else { places }
    }

    fn loud(
        dataset: &dyn Dataset,
        tracks: &[usize],
        wanted: Wanted,
        levels: impl Fn(usize) -> Option<Vec<f32>>,
    ) -> Self {
        let mut places = Self { runs: Vec::new(), ends: Vec::new() };
        let mut total = 0.0;
        for &track in tracks {
            let frames = dataset.tracks()[track].frames;
            let starts = frames.saturating_sub(wanted.samples as u64) + 1;
            // A short track has one start, and counts by its length like the others.
            let weight = dataset.weight(track) * frames.max(1) as f64 / starts as f64;
            for run in runs(track, starts, levels(track).as_deref(), wanted) {
                total += run.starts as f64 * weight;
                places.runs.push(run);
                places.ends.push(total);
            }
        }
        places
    }

    /// A track and the start of an excerpt in it, in samples.
    pub(crate) fn draw(&self, rng: &mut ChaCha8Rng) -> (usize, u64) {
        let total = *self.ends.last().expect("at least one track");
        let at = rng.random_range(0.0..total);
        let index = self.ends.partition_point(|end| *end <= at).min(self.runs.len() - 1);
        let Run { track, first, starts } = self.runs[index];
        (track, first + rng.random_range(0..starts))
    }
}

/// The levels of a sum: those of its loudest part.
fn loudest(stems: &[Vec<f32>]) -> Vec<f32> {
    let seconds = stems.iter().map(Vec::len).max().unwrap_or(0);
    let at = |second: usize| stems.iter().filter_map(|stem| stem.get(second)).fold(0.0_f32, |a, b| a.max(*b));
    (0..seconds).map(at).collect()
}

/// The runs of starts in a track. Without levels, one run of all starts.
fn runs(track: usize, starts: u64, levels: Option<&[f32]>, wanted: Wanted) -> Vec<Run> {
    let Some(levels) = levels else { return vec![Run { track, first: 0, starts }] };
    let rate = u64::from(wanted.rate);
    let mut runs: Vec<Run> = Vec::new();
    for second in 0..starts.div_ceil(rate) {
        let first = second * rate;
        let count = rate.min(starts - first);
        // The excerpt that begins in the middle of these starts stands for all of them.
        if mean_level(levels, (first + count / 2) as f64 / rate as f64, wanted) < wanted.level {
            continue;
        }
        match runs.last_mut() {
            Some(run) if run.first + run.starts == first => run.starts += count,
            _ => runs.push(Run { track, first, starts: count }),
        }
    }
    runs
}

/// The mean of the levels over an excerpt that begins at `start`, in seconds.
fn mean_level(levels: &[f32], start: f64, wanted: Wanted) -> f32 {
    let length = wanted.samples as f64 / f64::from(wanted.rate);
    let end = start + length;
    let mut sum = 0.0;
    for second in start as usize..(end.ceil() as usize).min(levels.len()) {
        let overlap = end.min(second as f64 + 1.0) - start.max(second as f64);
        sum += overlap * f64::from(levels[second]);
    }
    (sum / length) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_the_seconds_that_are_loud_enough() {
        let wanted = Wanted { samples: 20, rate: 10, level: 0.1 };
        let run = |first, starts| Run { track: 3, first, starts };
        // Seconds: silent, silent, silent, loud, silent, silent, silent, silent. Two seconds are heard.
        let levels = [0.0, 0.0, 0.0, 0.4, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(runs(3, 61, Some(&levels), wanted), [run(10, 30)]);
        assert_eq!(runs(3, 61, Some(&[0.2; 8]), wanted), [run(0, 61)]);
        assert_eq!(runs(3, 61, None, wanted), [run(0, 61)]);
        assert_eq!(runs(3, 61, Some(&[0.0; 8]), wanted), []);
        // A track that is shorter than the excerpt.
        assert_eq!(runs(3, 1, Some(&[0.5]), wanted), [run(0, 1)]);
    }
}
