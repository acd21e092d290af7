//! The quality of a separation: uSDR, cSDR and SI-SDR in double precision, computed from blocks of any size.
//!
//! ```text
//! uSDR   = 10 log₁₀ ((Σ s² + δ) / (Σ (s − ŝ)² + δ)),  δ = 1e-7, over the whole song     (MDX 2021, "new SDR")
//! cSDR   = median over windows of 1 s of 10 log₁₀ (Σ s² / Σ (ŝ − s)²)                    (museval, BSSEval v4)
//! SI-SDR = 10 log₁₀ (‖αs‖² / ‖αs − ŝ‖²),  α = ⟨ŝ, s⟩ / ‖s‖², mean not removed            (Le Roux et al. 2019)
//! ```
//! All sums run over both channels. A stem that is silent in a song has none of these scores there: every ratio would
//! measure the δ or be undefined. A stem is silent if its level is below [`SILENCE_DBFS`] in every second. Its leak is
//! scored instead, the energy of the estimate relative to that of the mixture:
//!
//! ```text
//! leak   = 10 log₁₀ ((Σ ŝ² + δ) / Σ x²)
//! ```
//! cSDR omits the windows that museval omits, so that its figures compare with museval's: those in which the reference
//! or the estimate of any stem is exactly 0. Stems that are silent in the whole song do not count there. museval refuses
//! such a song.
//!
//! The baseline is the uSDR of a·x, where x is the mixture and a = ⟨s, x⟩ / ‖x‖² is
//! the constant that fits the stem best. It is the score that is reached without separating anything.

use serde::{Deserialize, Serialize};
use unbraid_base::Stereo;

/// The δ of uSDR. It keeps the score of a silent song finite.
const DELTA: f64 = 1e-7;

/// The level in dBFS below which a second of a stem counts as silent: 10 log₁₀ of the mean square over both channels.
///
/// Dither of 16 bits lies below −93 dBFS. Audible music lies above −70 dBFS.
const SILENCE_DBFS: f64 = -80.0;

/// The scores of one stem of a song.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Score {
    /// The stem sounds in the song.
    Sounding(StemScores),
    /// The stem is silent in the song.
    Silent {
        /// Energy of the estimate relative to that of the mixture, dB. `None` if the mixture is silent too.
        leak: Option<f64>,
    },
}

/// Scores in dB of a stem that sounds. `None` (null in JSON) if a score is not defined, for example for a song shorter
/// than a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StemScores {
    /// Whole-song signal-to-distortion ratio.
    pub usdr: f64,
    /// Median of the one-second signal-to-distortion ratios.
    pub csdr: Option<f64>,
    /// Scale-invariant signal-to-distortion ratio.
    pub si_sdr: Option<f64>,
    /// uSDR of the mixture scaled by its best constant.
    pub baseline_usdr: f64,
}

/// Sums over samples of one stem, of each channel.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    reference: [f64; 2],
    estimate: [f64; 2],
    error: [f64; 2],
    reference_estimate: [f64; 2],
    reference_mixture: [f64; 2],
    mixture: [f64; 2],
}

impl Sums {
    /// Adds the samples of `range` one by one, so that the result does not depend on the size of the blocks.
    fn add_samples(
        &mut self,
        reference: &Stereo,
        estimate: &Stereo,
        mixture: &Stereo,
        range: &std::ops::Range<usize>,
    ) {
        let cut = |signal| -> [&[f32]; 2] { Stereo::each_ref(signal).map(|channel| &channel[range.clone()]) };
        let (reference, estimate, mixture) = (cut(reference), cut(estimate), cut(mixture));
        let mut sums = *self;
        for n in 0..range.len() {
            for channel in 0..2 {
                let s = f64::from(reference[channel][n]);
                let e = f64::from(estimate[channel][n]);
                let x = f64::from(mixture[channel][n]);
                sums.reference[channel] += s * s;
                sums.estimate[channel] += e * e;
                sums.error[channel] += (s - e) * (s - e);
                sums.reference_estimate[channel] += s * e;
                sums.reference_mixture[channel] += s * x;
                sums.mixture[channel] += x * x;
            }
        }
        *self = sums;
    }

    fn add(&mut self, other: &Self) {
        for channel in 0..2 {
            self.reference[channel] += other.reference[channel];
            self.estimate[channel] += other.estimate[channel];
            self.error[channel] += other.error[channel];
            self.reference_estimate[channel] += other.reference_estimate[channel];
            self.reference_mixture[channel] += other.reference_mixture[channel];
            self.mixture[channel] += other.mixture[channel];
        }
    }

    fn window(&self) -> Window {
        [self.reference, self.estimate, self.error].map(|[left, right]| left + right)
    }
}

/// Energies of one window: reference, estimate, error.
type Window = [f64; 3];

/// Accumulates the scores of one song block by block. Memory grows by three numbers per stem and second.
#[derive(Debug, Clone)]
pub(crate) struct SongScore {
    window: usize,
    /// Per stem, over the complete windows.
    sums: Vec<Sums>,
    windows: Vec<Vec<Window>>,
    /// Per stem, over the window that is not complete.
    open: Vec<Sums>,
    position: usize,
}

impl SongScore {
    /// For `stems` stems at `rate` samples per second.
    pub(crate) fn new(stems: usize, rate: u32) -> Self {
        Self {
            window: rate as usize,
            sums: vec![Sums::default(); stems],
            windows: vec![Vec::new(); stems],
            open: vec![Sums::default(); stems],
            position: 0,
        }
    }

    /// Adds a block: references and estimates (one per stem) and the mixture, all of the same length.
    pub(crate) fn push(&mut self, references: &[Stereo], estimates: &[Stereo], mixture: &Stereo) {
        let frames = mixture[0].len();
        assert!(
            references.len() == self.sums.len() && estimates.len() == self.sums.len(),
            "one signal per stem"
        );
        let mut start = 0;
        while start < frames {
            let range = start..frames.min(start + self.window - self.position % self.window);
            for (stem, open) in self.open.iter_mut().enumerate() {
                open.add_samples(&references[stem], &estimates[stem], mixture, &range);
            }
            self.position += range.len();
            start = range.end;
            // A partial window at the end is dropped, as museval does.
            if self.position.is_multiple_of(self.window) {
                for (stem, open) in self.open.iter_mut().enumerate() {
                    self.sums[stem].add(open);
                    self.windows[stem].push(open.window());
                    *open = Sums::default();
                }
            }
        }
    }

    /// Samples per channel received so far.
    pub(crate) fn frames(&self) -> usize {
        self.position
    }

    /// The scores, one per stem.
    pub(crate) fn finish(&self) -> Vec<Score> {
        let sounding: Vec<bool> = (0..self.sums.len()).map(|stem| self.sounds(stem)).collect();
        let scores = self.sums.iter().zip(&self.open).enumerate().map(|(stem, (complete, open))| {
            let mut sums = *complete;
            sums.add(open);
            let totals = Totals::of(&sums);
            if sounding[stem] {
                Score::Sounding(totals.scores(self.csdr(stem, &sounding)))
            } else {
                Score::Silent { leak: totals.leak(self.position) }
            }
        });
        scores.collect()
    }

    /// Whether the reference is loud enough in some window, the partial one at the end included.
    fn sounds(&self, stem: usize) -> bool {
        let rest = self.position % self.window;
        let loud = |window: &Window, frames: usize| window[0] > silence(frames);
        self.windows[stem].iter().any(|window| loud(window, self.window))
            || loud(&self.open[stem].window(), rest)
    }

    /// As in museval, a window in which the reference or estimate of any stem is silent is omitted for all stems. Only
    /// the stems that are `sounding` in the song count.
    fn csdr(&self, stem: usize, sounding: &[bool]) -> Option<f64> {
        let counted = || self.windows.iter().zip(sounding).filter(|(_, sounding)| **sounding);
        let ratios = (0..self.windows[stem].len()).filter_map(|w| {
            let complete = counted().all(|(windows, _)| windows[w][0] > 0.0 && windows[w][1] > 0.0);
            let [reference, _, error] = self.windows[stem][w];
            complete.then(|| decibel(reference / error))
        });
        median(ratios.collect())
    }
}

/// The energy of `frames` stereo samples at the level of silence.
fn silence(frames: usize) -> f64 {
    2.0 * frames as f64 * 10f64.powf(SILENCE_DBFS / 10.0)
}

/// Sums over both channels of a song.
struct Totals {
    reference: f64,
    estimate: f64,
    error: f64,
    reference_estimate: f64,
    reference_mixture: f64,
    mixture: f64,
}

impl Totals {
    fn of(sums: &Sums) -> Self {
        let both = |[left, right]: [f64; 2]| left + right;
        Self {
            reference: both(sums.reference),
            estimate: both(sums.estimate),
            error: both(sums.error),
            reference_estimate: both(sums.reference_estimate),
            reference_mixture: both(sums.reference_mixture),
            mixture: both(sums.mixture),
        }
    }

    /// The leak of a silent stem over `frames`.
    fn leak(&self, frames: usize) -> Option<f64> {
        (self.mixture > silence(frames)).then(|| decibel((self.estimate + DELTA) / self.mixture))
    }

    fn scores(&self, csdr: Option<f64>) -> StemScores {
        // ‖αs‖² and ‖αs − ŝ‖², expanded into the accumulated sums.
        let target = self.reference_estimate * self.reference_estimate / self.reference;
        let si_sdr = (self.estimate > 0.0).then(|| decibel(target / (self.estimate - target).max(0.0)));
        let explained = if self.mixture > 0.0 { self.reference_mixture.powi(2) / self.mixture } else { 0.0 };
        let rest = (self.reference - explained).max(0.0);
        StemScores {
            usdr: decibel((self.reference + DELTA) / (self.error + DELTA)),
            csdr,
            si_sdr,
            baseline_usdr: decibel((self.reference + DELTA) / (rest + DELTA)),
        }
    }
}

/// The middle value, or the mean of the two middle values. `None` if there is no value.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// The mean. `None` if there is no value.
pub(crate) fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.into_iter().fold((0.0, 0u32), |(sum, count), v| (sum + v, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

fn decibel(ratio: f64) -> f64 {
    10.0 * ratio.log10()
}

#[cfg(test)]
mod tests;
