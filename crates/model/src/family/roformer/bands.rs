//! The bins of the bands of a RoFormer.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// How the bins are divided into bands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "the number of bins of each band (bs_roformer) or the number of bands (mel_band_roformer)"
)]
pub enum Bands {
    /// The number of bins of each band, lowest band first. Together they are all n_fft / 2 + 1 bins.
    Bins(Vec<usize>),
    /// The number of overlapping bands of a mel scale.
    Mel(usize),
}

/// Frequencies up to this one, in Hz, are a linear part of the mel scale, and those above a logarithmic one (Slaney's
/// Auditory Toolbox, as in librosa).
const LINEAR_END: f64 = 1000.0;

/// Hz per mel in the linear part.
const LINEAR_STEP: f64 = 200.0 / 3.0;

/// Logarithm of the ratio of frequencies one mel apart in the logarithmic part: 27 mel for a factor of 6.4.
const LOG_RATIO: f64 = 1.856_297_990_365_626_3 / 27.0;

/// The bins of each band, lowest band first. The bins of a band are consecutive.
pub(crate) fn band_bins(bands: &Bands, n_fft: usize, sample_rate: u32) -> Vec<Range<usize>> {
    match bands {
        Bands::Bins(widths) => {
            let mut end = 0;
            let next = |&width: &usize| {
                let start = end;
                end += width;
                start..end
            };
            widths.iter().map(next).collect()
        }
        Bands::Mel(count) => mel_bands(*count, n_fft, f64::from(sample_rate)),
    }
}

/// The bins where the triangular filters of a mel filter bank (librosa's default) are positive. The first band also has
/// the lowest bin, and the last band the highest, where the filters are 0.
fn mel_bands(count: usize, n_fft: usize, sample_rate: f64) -> Vec<Range<usize>> {
    let bins = n_fft / 2 + 1;
    let top = mel_from_hz(sample_rate / 2.0);
    let edge = |index: usize| hz_from_mel(top * index as f64 / (count + 1) as f64);
    let hz = |bin: usize| bin as f64 * sample_rate / n_fft as f64;
    let first_above = |limit: f64| (0..bins).position(|bin| hz(bin) > limit).unwrap_or(bins);
    let first_from = |limit: f64| (0..bins).position(|bin| hz(bin) >= limit).unwrap_or(bins);
    (0..count)
        .map(|band| {
            let start = if band == 0 { 0 } else { first_above(edge(band)) };
            let end = if band + 1 == count { bins } else { first_from(edge(band + 2)) };
            start..end.max(start)
        })
        .collect()
}

fn mel_from_hz(hz: f64) -> f64 {
    if hz < LINEAR_END {
        hz / LINEAR_STEP
    } else {
        LINEAR_END / LINEAR_STEP + (hz / LINEAR_END).ln() / LOG_RATIO
    }
}

fn hz_from_mel(mel: f64) -> f64 {
    let linear_end = LINEAR_END / LINEAR_STEP;
    if mel < linear_end { mel * LINEAR_STEP } else { LINEAR_END * ((mel - linear_end) * LOG_RATIO).exp() }
}

/// A lane for each band, so that the bands of a lane do not overlap, and the number of lanes.
pub(crate) fn lanes(bands: &[Range<usize>]) -> (Vec<usize>, usize) {
    let mut ends: Vec<usize> = Vec::new();
    let lane_of = |band: &Range<usize>| {
        let free = ends.iter().position(|&end| end <= band.start);
        let lane = free.unwrap_or(ends.len());
        if free.is_none() {
            ends.push(0);
        }
        ends[lane] = band.end;
        lane
    };
    let lanes = bands.iter().map(lane_of).collect();
    (lanes, ends.len())
}

/// The number of bands that hold each of `bins` bins.
pub(crate) fn bands_per_bin(bands: &[Range<usize>], bins: usize) -> Vec<usize> {
    (0..bins).map(|bin| bands.iter().filter(|band| band.contains(&bin)).count()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_bands_follow_each_other() {
        let bands = band_bins(&Bands::Bins(vec![2, 3, 4]), 16, 44_100);
        assert_eq!(bands, [0..2, 2..5, 5..9]);
        assert_eq!(lanes(&bands), (vec![0, 0, 0], 1));
        assert_eq!(bands_per_bin(&bands, 9), [1; 9]);
    }

    /// Every bin is in one or two bands, and the bands of a lane do not overlap.
    #[test]
    fn mel_bands_overlap_their_neighbours() {
        for (count, n_fft, rate) in
            [(60, 2048, 44_100), (60, 2048, 48_000), (24, 512, 16_000), (2, 256, 44_100)]
        {
            let bands = band_bins(&Bands::Mel(count), n_fft, rate);
            assert_eq!(bands.len(), count);
            let per_bin = bands_per_bin(&bands, n_fft / 2 + 1);
            assert!(per_bin.iter().all(|number| (1..=2).contains(number)), "{per_bin:?}");
            let (lane_of, number) = lanes(&bands);
            assert_eq!(number, 2);
            for lane in 0..number {
                let own: Vec<_> = bands.iter().zip(&lane_of).filter(|(_, of)| **of == lane).collect();
                assert!(own.windows(2).all(|pair| pair[0].0.end <= pair[1].0.start));
            }
        }
    }

    #[test]
    fn the_mel_scale_is_continuous_and_inverted() {
        for hz in [0.0, 440.0, 999.999, 1000.0, 1000.001, 22_050.0] {
            assert!((hz_from_mel(mel_from_hz(hz)) - hz).abs() < 1e-6);
        }
        assert!((mel_from_hz(6400.0) - 42.0).abs() < 1e-12);
    }
}
