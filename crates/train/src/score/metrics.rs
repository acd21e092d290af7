//! The quality of a separation: uSDR, cSDR and SI-SDR in double precision, computed from blocks of any size.
//!
//! ```text
//! uSDR   = 10 log₁₀ ((Σ s² + δ) / (Σ (s − ŝ)² + δ)),  δ = 1e-7, over the whole song     (MDX 2021, "new SDR")
//! cSDR   = median over windows of 1 s of 10 log₁₀ (Σ s² / Σ (ŝ − s)²)                    (museval, BSSEval v4)
//! SI-SDR = 10 log₁₀ (‖αs‖² / ‖αs − ŝ‖²),  α = ⟨ŝ, s⟩ / ‖s‖², mean not removed            (Le Roux et al. 2019)
//! ```
//! All sums run over both channels. The baseline is the uSDR of a·x, where x is the mixture and a = ⟨s, x⟩ / ‖x‖² is
//! the constant that fits the stem best. It is the score that is reached without separating anything.

use serde::{Deserialize, Serialize};
use unbraid_base::Stereo;

/// The δ of uSDR. It keeps the score of a silent song finite.
const DELTA: f64 = 1e-7;

/// Scores of a stem in dB. `None` (null in JSON) if a score is not defined, for example for a silent stem.
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
    pub(crate) fn finish(&self) -> Vec<StemScores> {
        self.sums.iter().enumerate().map(|(stem, sums)| sums.scores(self.csdr(stem))).collect()
    }

    /// As in museval, a window in which the reference or estimate of any stem is silent is omitted for all stems.
    fn csdr(&self, stem: usize) -> Option<f64> {
        let ratios = (0..self.windows[stem].len()).filter_map(|w| {
            let sounding = self.windows.iter().all(|windows| windows[w][0] > 0.0 && windows[w][1] > 0.0);
            let [reference, _, error] = self.windows[stem][w];
            sounding.then(|| decibel(reference / error))
        });
        median(ratios.collect())
    }
}

impl Sums {
    fn scores(&self, csdr: Option<f64>) -> StemScores {
        // ‖αs‖² and ‖αs − ŝ‖², expanded into the accumulated sums.
        let target = self.reference_estimate * self.reference_estimate / self.reference;
        let si_sdr = (self.reference > 0.0 && self.estimate > 0.0)
            .then(|| decibel(target / (self.estimate - target).max(0.0)));
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
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// uSDR of one stem: `10·log₁₀((Σ s² + δ) / (Σ (s − ŝ)² + δ))`.
    fn usdr(reference: &Stereo, estimate: &Stereo) -> f64 {
        single(reference, estimate).usdr
    }

    /// SI-SDR of one stem; `None` if either is silent.
    fn si_sdr(reference: &Stereo, estimate: &Stereo) -> Option<f64> {
        single(reference, estimate).si_sdr
    }

    /// cSDR of every stem of a song: museval's median of one-second ratios.
    fn csdr(references: &[Stereo], estimates: &[Stereo], rate: u32) -> Vec<Option<f64>> {
        let Some(first) = references.first() else { return Vec::new() };
        let mut score = SongScore::new(references.len(), rate);
        score.push(references, estimates, first);
        score.finish().iter().map(|scores| scores.csdr).collect()
    }

    fn single(reference: &Stereo, estimate: &Stereo) -> StemScores {
        let mut score = SongScore::new(1, u32::MAX);
        score.push(std::slice::from_ref(reference), std::slice::from_ref(estimate), reference);
        score.finish()[0]
    }

    fn noise(seed: u64, frames: usize, scale: f32) -> Stereo {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        [(); 2].map(|()| (0..frames).map(|_| scale * rng.random_range(-1.0..1.0f32)).collect())
    }

    fn mix(a: &Stereo, b: &Stereo, gain: f32) -> Stereo {
        [0, 1].map(|c| a[c].iter().zip(&b[c]).map(|(x, y)| x + gain * y).collect())
    }

    fn close(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() < tolerance, "{a} against {b}");
    }

    #[test]
    fn usdr_of_a_known_error() {
        let s = noise(1, 1000, 0.5);
        // An estimate of 0.9 s has an error of 0.1 s: 20 dB.
        let estimate = mix(&s, &s, -0.1);
        close(usdr(&s, &estimate), 20.0, 1e-3);
        // Silence against silence is 0 dB, not NaN.
        let silent = noise(1, 1000, 0.0);
        close(usdr(&silent, &silent), 0.0, 1e-12);
        // δ = 1e-7 equals the energy of a reference that the estimate misses completely.
        let quiet: Stereo = [vec![(1e-7f32).sqrt()], vec![0.0]];
        close(usdr(&quiet, &[vec![0.0], vec![0.0]]), 0.0, 1e-6);
        close(usdr(&[vec![0.0], vec![0.0]], &quiet), -10.0 * 2f64.log10(), 1e-6);
    }

    #[test]
    fn si_sdr_ignores_scale_and_is_the_angle_to_the_reference() {
        let (s, n) = (noise(1, 4000, 0.5), noise(2, 4000, 0.5));
        let estimate = mix(&s, &n, 0.1);
        let plain = si_sdr(&s, &estimate).unwrap();
        let scaled: Stereo = [0, 1].map(|c| estimate[c].iter().map(|x| 0.25 * x).collect());
        close(si_sdr(&s, &scaled).unwrap(), plain, 1e-4);
        // The definition.
        let all = |x: &Stereo| -> Vec<f64> { x.iter().flatten().map(|v| f64::from(*v)).collect() };
        let (s64, e64) = (all(&s), all(&estimate));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        let alpha = dot(&e64, &s64) / dot(&s64, &s64);
        let target: Vec<f64> = s64.iter().map(|x| alpha * x).collect();
        let rest: Vec<f64> = target.iter().zip(&e64).map(|(t, e)| t - e).collect();
        close(plain, 10.0 * (dot(&target, &target) / dot(&rest, &rest)).log10(), 1e-8);
        assert_eq!(si_sdr(&noise(1, 10, 0.0), &noise(2, 10, 1.0)), None);
    }

    /// As museval: one-second windows, without partial ones and those in which a stem is silent, then the median.
    #[test]
    fn csdr_is_the_median_over_the_windows_without_silence() {
        let rate = 100;
        let s = noise(3, 550, 0.5);
        let mut estimate = s.clone();
        // Errors of 1/10, 1/100, 1/1000, silence, 1/10. The last half second is dropped.
        for (second, part) in [0.1, 0.01, 0.001, 1.0, 0.1].iter().enumerate() {
            for channel in &mut estimate {
                for n in second * 100..(second + 1) * 100 {
                    channel[n] *= 1.0 - part;
                }
            }
        }
        for channel in &mut estimate {
            channel[500..].fill(9.0);
        }
        let other = (noise(4, 550, 0.5), noise(5, 550, 0.5));
        let got = csdr(&[s.clone(), other.0.clone()], &[estimate.clone(), other.1.clone()], rate);
        close(got[0].unwrap(), 30.0, 1e-3); // median of 20, 40, 60, 20
        let ratios: Vec<f64> = [0, 1, 2, 4]
            .map(|w| {
                let cut = |x: &Stereo| [0, 1].map(|c: usize| x[c][w * 100..(w + 1) * 100].to_vec());
                usdr(&cut(&other.0), &cut(&other.1))
            })
            .to_vec();
        close(got[1].unwrap(), median(ratios).unwrap(), 1e-6);
        assert_eq!(csdr(&[noise(0, 99, 1.0)], &[noise(1, 99, 1.0)], 100), vec![None]);
    }

    #[test]
    fn block_size_does_not_matter_and_the_baseline_is_the_best_constant() {
        let (a, b) = (noise(6, 900, 0.5), noise(7, 900, 0.2));
        let mixture = mix(&a, &b, 1.0);
        let estimates = [mix(&a, &b, 0.3), mix(&b, &a, 0.1)];
        let references = [a.clone(), b.clone()];
        let cut =
            |x: &Stereo, range: std::ops::Range<usize>| [0, 1].map(|c: usize| x[c][range.clone()].to_vec());
        let with_blocks = |size: usize| {
            let mut score = SongScore::new(2, 250);
            for start in (0..900).step_by(size) {
                let range = start..(start + size).min(900);
                let of = |x: &[Stereo; 2]| x.each_ref().map(|x| cut(x, range.clone()));
                score.push(&of(&references), &of(&estimates), &cut(&mixture, range.clone()));
            }
            score.finish()
        };
        assert_eq!(with_blocks(900), with_blocks(7));
        let baseline = with_blocks(900)[0].baseline_usdr;
        let best = (0..=2000)
            .map(|k| {
                usdr(&a, &[0, 1].map(|c: usize| mixture[c].iter().map(|x| x * k as f32 / 1000.0).collect()))
            })
            .fold(f64::MIN, f64::max);
        close(baseline, best, 1e-4);
        assert!(baseline >= best - 1e-6);
    }
}
