//! The distribution of scores over songs: mean, median, and their confidence intervals.
//!
//! The intervals are percentiles of a bootstrap over songs: songs are drawn with replacement, as many as there are, and
//! every stem uses the same draws. The interval of the average over stems therefore respects that a hard song is hard
//! for all of its stems. The draws have a fixed seed, so that the same scores have the same intervals.

use crate::score::evaluation::{Evaluation, SongScores, counted};
use crate::score::metrics::{StemScores, mean, median};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::collections::BTreeMap;

/// Draws of the bootstrap.
const RESAMPLES: usize = 2000;

/// The probability that an interval is meant to cover.
pub const CONFIDENCE: f64 = 0.95;

/// A metric over songs, dB.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Statistic {
    /// Number of songs with a score.
    pub songs: usize,
    /// Mean over the songs.
    pub mean: f64,
    /// Confidence interval of the mean. `None` for a single song.
    pub mean_interval: Option<[f64; 2]>,
    /// Median over the songs.
    pub median: f64,
    /// Confidence interval of the median. `None` for a single song.
    pub median_interval: Option<[f64; 2]>,
}

/// The metrics of a stem, or averaged over stems. `None`: no song has a score.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MetricStatistics {
    /// Whole-song signal-to-distortion ratio.
    pub usdr: Option<Statistic>,
    /// Median of the one-second signal-to-distortion ratios.
    pub csdr: Option<Statistic>,
    /// Scale-invariant signal-to-distortion ratio.
    pub si_sdr: Option<Statistic>,
}

/// The distribution of the scores of an [`Evaluation`] over its songs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Statistics {
    /// Per stem, over the songs in which it sounds.
    pub stems: BTreeMap<String, MetricStatistics>,
    /// The stems' means and medians, averaged over the stems. Sums of stems count as in [`Evaluation::usdr`].
    pub average: MetricStatistics,
    /// The probability that an interval is meant to cover.
    pub confidence: f64,
}

impl Statistics {
    /// The statistics of `evaluation`.
    pub fn of(evaluation: &Evaluation) -> Self {
        let songs = &evaluation.songs;
        // The names that count in the average come first.
        let mut names = counted(&evaluation.stems);
        let count = names.len();
        names.extend(evaluation.stems.keys().filter(|name| !names.contains(name)).collect::<Vec<_>>());
        let draws = draws(songs.len());
        let metric = |score: &dyn Fn(&StemScores) -> Option<f64>| {
            let of = |name: &&String| values(songs, name, score);
            statistics(&names.iter().map(of).collect::<Vec<_>>(), count, &draws)
        };
        let usdr = metric(&|scores| Some(scores.usdr));
        let csdr = metric(&|scores| scores.csdr);
        let si_sdr = metric(&|scores| scores.si_sdr);
        let of = |index: usize| MetricStatistics {
            usdr: usdr[index].clone(),
            csdr: csdr[index].clone(),
            si_sdr: si_sdr[index].clone(),
        };
        let stems = names.iter().enumerate().map(|(index, &name)| (name.clone(), of(index))).collect();
        Self { stems, average: of(names.len()), confidence: CONFIDENCE }
    }
}

/// A stem's scores. `None` where the song has none.
fn values(songs: &[SongScores], stem: &str, score: &dyn Fn(&StemScores) -> Option<f64>) -> Vec<Option<f64>> {
    songs.iter().map(|song| song.stems.get(stem).and_then(score)).collect()
}

/// The drawn songs of each resample. None for a single song, whose resamples are all equal.
fn draws(songs: usize) -> Vec<Vec<usize>> {
    if songs < 2 {
        return Vec::new();
    }
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    (0..RESAMPLES).map(|_| (0..songs).map(|_| rng.random_range(0..songs)).collect()).collect()
}

/// The statistic of each stem, then that of the average over the first `count` stems.
fn statistics(stems: &[Vec<Option<f64>>], count: usize, draws: &[Vec<usize>]) -> Vec<Option<Statistic>> {
    let mut distributions = vec![[Vec::new(), Vec::new()]; stems.len() + 1];
    for draw in draws {
        let mut of_stems = [Vec::new(), Vec::new()];
        for (stem, values) in stems.iter().enumerate() {
            let drawn: Vec<f64> = draw.iter().filter_map(|&song| values[song]).collect();
            let centres = [mean(drawn.iter().copied()), median(drawn)];
            for ((centre, distribution), all) in
                centres.into_iter().zip(&mut distributions[stem]).zip(&mut of_stems)
            {
                distribution.extend(centre);
                all.extend(centre.filter(|_| stem < count));
            }
        }
        for (distribution, centres) in distributions[stems.len()].iter_mut().zip(of_stems) {
            distribution.extend(mean(centres));
        }
    }
    let known: Vec<Vec<f64>> =
        stems.iter().map(|values| values.iter().flatten().copied().collect()).collect();
    let mut centres: Vec<Option<[f64; 2]>> =
        known.iter().map(|values| Some([mean(values.iter().copied())?, median(values.clone())?])).collect();
    let average = |which: usize| mean(centres[..count].iter().flatten().map(|centre| centre[which]));
    centres.push(average(0).zip(average(1)).map(|(mean, median)| [mean, median]));
    let counted = &stems[..count];
    let songs =
        (0..stems.first().map_or(0, Vec::len)).filter(|&song| counted.iter().any(|s| s[song].is_some()));
    let counts = known.iter().map(Vec::len).chain([songs.count()]);
    let all = centres.into_iter().zip(counts).zip(distributions);
    all.map(|((centre, songs), [means, medians])| {
        let [mean, median] = centre?;
        let interval = |distribution| if songs < 2 { None } else { interval(distribution) };
        let (mean_interval, median_interval) = (interval(means), interval(medians));
        Some(Statistic { songs, mean, mean_interval, median, median_interval })
    })
    .collect()
}

/// The percentiles that enclose [`CONFIDENCE`]. `None` without values.
fn interval(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let tail = (1.0 - CONFIDENCE) / 2.0;
    Some([tail, 1.0 - tail].map(|share| values[(share * last as f64).round() as usize]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn song(stems: &[(&str, f64)]) -> SongScores {
        let scores = |usdr| StemScores { usdr, csdr: Some(2.0 * usdr), si_sdr: None, baseline_usdr: 0.0 };
        SongScores {
            stems: stems.iter().map(|&(name, usdr)| (name.into(), scores(usdr))).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn mean_and_median_are_over_the_songs_in_which_a_stem_sounds() {
        let songs = [[1.0, 10.0], [2.0, 20.0], [6.0, 60.0]];
        let mut songs: Vec<_> = songs.iter().map(|[a, b]| song(&[("a", *a), ("b", *b)])).collect();
        songs.push(song(&[("b", 30.0)]));
        let statistics = Statistics::of(&Evaluation::of(songs));
        let a = statistics.stems["a"].usdr.as_ref().unwrap();
        assert_eq!((a.songs, a.mean, a.median), (3, 3.0, 2.0));
        let b = statistics.stems["b"].csdr.as_ref().unwrap();
        assert_eq!((b.songs, b.mean, b.median), (4, 60.0, 50.0));
        assert_eq!(statistics.stems["a"].si_sdr, None);
        let average = statistics.average.usdr.as_ref().unwrap();
        assert_eq!((average.songs, average.mean, average.median), (4, 16.5, 13.5));
        assert_eq!(statistics.average.si_sdr, None);
    }

    #[test]
    fn a_sum_has_statistics_and_no_part_in_the_average() {
        let joined = song(&[("a+b", 9.0), ("c", 1.0)]);
        let statistics =
            Statistics::of(&Evaluation::of(vec![joined, song(&[("a", 2.0), ("b", 3.0), ("c", 7.0)])]));
        assert_eq!(statistics.stems["a+b"].usdr.as_ref().unwrap().mean, 9.0);
        assert_eq!(statistics.stems["c"].usdr.as_ref().unwrap().mean, 4.0);
        assert_eq!(statistics.average.usdr.as_ref().unwrap().mean, 3.0);
    }

    /// The interval of a mean of n values is close to the normal approximation, and the same for the same scores.
    #[test]
    fn intervals_are_those_of_the_bootstrap() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let scores: Vec<f64> = (0..200).map(|_| rng.random_range(0.0..12.0)).collect();
        let of = |scores: &[f64]| {
            let songs = scores.iter().map(|score| song(&[("a", *score)])).collect();
            Statistics::of(&Evaluation::of(songs))
        };
        let statistics = of(&scores);
        let usdr = statistics.stems["a"].usdr.clone().unwrap();
        let deviation = mean(scores.iter().map(|score| (score - usdr.mean).powi(2))).unwrap().sqrt();
        let half = 1.96 * deviation / (scores.len() as f64).sqrt();
        let [low, high] = usdr.mean_interval.unwrap();
        assert!((low - (usdr.mean - half)).abs() < 0.1 * half, "{low} against {}", usdr.mean - half);
        assert!((high - (usdr.mean + half)).abs() < 0.1 * half, "{high} against {}", usdr.mean + half);
        let [low, high] = usdr.median_interval.unwrap();
        assert!(low < usdr.median && usdr.median < high);
        assert_eq!(of(&scores), statistics);
        let single = of(&scores[..1]).stems["a"].usdr.clone().unwrap();
        assert_eq!((single.mean_interval, single.median_interval), (None, None));
    }
}
