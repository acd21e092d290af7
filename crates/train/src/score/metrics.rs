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

/// Sums over a song for one stem.
#[derive(Debug, Clone, Default)]
struct Sums {
    reference: f64,
    estimate: f64,
    error: f64,
    reference_estimate: f64,
    reference_mixture: f64,
    mixture: f64,
}

/// Energies of one window: reference, estimate, error.
type Window = [f64; 3];

/// Accumulates the scores of one song block by block. Memory grows by three numbers per stem and second.
#[derive(Debug, Clone)]
pub(crate) struct SongScore {
    window: usize,
    sums: Vec<Sums>,
    windows: Vec<Vec<Window>>,
    open: Vec<Window>,
    position: usize,
}

impl SongScore {
    /// For `stems` stems at `rate` samples per second.
    pub(crate) fn new(stems: usize, rate: u32) -> Self {
        Self {
            window: rate as usize,
            sums: vec![Sums::default(); stems],
            windows: vec![Vec::new(); stems],
            open: vec![Window::default(); stems],
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
        for n in 0..frames {
            for (stem, sums) in self.sums.iter_mut().enumerate() {
                let open = &mut self.open[stem];
                for channel in 0..2 {
                    let s = f64::from(references[stem][channel][n]);
                    let e = f64::from(estimates[stem][channel][n]);
                    let x = f64::from(mixture[channel][n]);
                    let error = (s - e) * (s - e);
                    sums.reference += s * s;
                    sums.estimate += e * e;
                    sums.error += error;
                    sums.reference_estimate += s * e;
                    sums.reference_mixture += s * x;
                    sums.mixture += x * x;
                    open[0] += s * s;
                    open[1] += e * e;
                    open[2] += error;
                }
            }
            self.position += 1;
            // A partial window at the end is dropped, as museval does.
            if self.position.is_multiple_of(self.window) {
                for (windows, open) in self.windows.iter_mut().zip(&mut self.open) {
                    windows.push(std::mem::take(open));
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
        let scores = self.sums.iter().enumerate().map(|(stem, sums)| {
            if sounding[stem] {
                Score::Sounding(sums.scores(self.csdr(stem, &sounding)))
            } else {
                Score::Silent { leak: sums.leak(self.position) }
            }
        });
        scores.collect()
    }

    /// Whether the reference is loud enough in some window, the partial one at the end included.
    fn sounds(&self, stem: usize) -> bool {
        let rest = self.position % self.window;
        let loud = |window: &Window, frames: usize| window[0] > silence(frames);
        self.windows[stem].iter().any(|window| loud(window, self.window)) || loud(&self.open[stem], rest)
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

impl Sums {
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
