//! The noise of a lossy codec.

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use std::f64::consts::PI;
use std::sync::Arc;
use unbraid_base::Stereo;

/// Coefficients of a block. A block has twice as many samples, like the long blocks of AAC.
const BLOCK: usize = 1024;

/// The least width of a band in coefficients, and its width relative to its centre frequency: about a critical band.
const LEAST: usize = 4;
const WIDTH: f64 = 0.17;

/// A lossy coding without a bit stream: the coefficients of a modified discrete cosine transform are rounded, with one
/// step per band and block, and those above a cutoff become 0.
///
/// There is no psychoacoustic model, no choice of block lengths and no joint stereo. The noise therefore has the
/// spectrum and the temporal spread of a codec's noise, but not its exact distribution over the bands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coding {
    /// Coefficients above this frequency in Hz are lost.
    pub cutoff: f64,
    /// The level of a band relative to its noise in dB, on average. Below about 6 dB most coefficients become 0.
    pub snr: f64,
}

impl Coding {
    /// Codes and decodes samples `[c][n]` in place, at a rate in Hz. The channels are coded separately, without delay.
    pub fn apply(&self, sound: &mut Stereo, rate: f64) {
        let mut transform = Mdct::new();
        for side in sound {
            self.code(side, rate, &mut transform);
        }
    }

    fn code(&self, side: &mut [f32], rate: f64, transform: &mut Mdct) {
        let kept = ((self.cutoff / rate * (2 * BLOCK) as f64) as usize).min(BLOCK);
        // The noise of rounding to multiples of a step is step² / 12.
        let ratio = (12.0 * 10f64.powf(-self.snr / 10.0)) as f32;
        let mut padded = vec![0.0; BLOCK];
        padded.extend_from_slice(side);
        padded.resize((side.len().div_ceil(BLOCK) + 2) * BLOCK, 0.0);
        let mut decoded = vec![0.0; padded.len()];
        let mut coefficients = vec![0.0; BLOCK];
        for start in (0..=padded.len() - 2 * BLOCK).step_by(BLOCK) {
            transform.forward(&padded[start..start + 2 * BLOCK], &mut coefficients);
            coefficients[kept..].fill(0.0);
            let mut first = 0;
            while first < kept {
                let last = kept.min(first + LEAST.max((WIDTH * first as f64) as usize));
                let band = &mut coefficients[first..last];
                let energy = band.iter().map(|x| x * x).sum::<f32>() / band.len() as f32;
                let step = (ratio * energy).sqrt();
                // The squares of tiny coefficients underflow. Such a band is inaudible.
                if step > 0.0 {
                    band.iter_mut().for_each(|x| *x = step * (*x / step).round());
                }
                first = last;
            }
            transform.inverse(&coefficients, &mut decoded[start..start + 2 * BLOCK]);
        }
        side.copy_from_slice(&decoded[BLOCK..BLOCK + side.len()]);
    }
}

/// The modified discrete cosine transform with a sine window, through a real FFT of twice the block's samples: its odd
/// bins are the frequencies of the transform.
struct Mdct {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    window: Vec<f32>,
    /// `e^(i φ_k)`, where `φ_k` is the phase of coefficient `k` at the first sample.
    phases: Vec<Complex<f32>>,
    samples: Vec<f32>,
    bins: Vec<Complex<f32>>,
}

impl Mdct {
    fn new() -> Self {
        let mut planner = RealFftPlanner::new();
        let length = 4 * BLOCK;
        let (forward, inverse) = (planner.plan_fft_forward(length), planner.plan_fft_inverse(length));
        let window = |n: usize| (PI * (n as f64 + 0.5) / (2 * BLOCK) as f64).sin() as f32;
        let delay = (1.0 + BLOCK as f64) / 2.0;
        let phase = |k: usize| {
            let (sin, cos) = (PI / BLOCK as f64 * delay * (k as f64 + 0.5)).sin_cos();
            Complex::new(cos as f32, sin as f32)
        };
        Self {
            samples: forward.make_input_vec(),
            bins: forward.make_output_vec(),
            forward,
            inverse,
            window: (0..2 * BLOCK).map(window).collect(),
            phases: (0..BLOCK).map(phase).collect(),
        }
    }

    /// The coefficients of the two blocks `samples`.
    fn forward(&mut self, samples: &[f32], coefficients: &mut [f32]) {
        for ((slot, x), w) in self.samples.iter_mut().zip(samples).zip(&self.window) {
            *slot = x * w;
        }
        self.samples[2 * BLOCK..].fill(0.0);
        self.forward.process(&mut self.samples, &mut self.bins).expect("the buffers are the plan's");
        for (k, coefficient) in coefficients.iter_mut().enumerate() {
            *coefficient = (self.bins[2 * k + 1] * self.phases[k].conj()).re;
        }
    }

    /// Adds the two blocks of samples of `coefficients` to `sum`. The overlapping blocks of a signal add up to it.
    fn inverse(&mut self, coefficients: &[f32], sum: &mut [f32]) {
        self.bins.fill(Complex::default());
        for (k, coefficient) in coefficients.iter().enumerate() {
            self.bins[2 * k + 1] = self.phases[k] * *coefficient;
        }
        self.inverse.process(&mut self.bins, &mut self.samples).expect("the buffers are the plan's");
        // The real FFT adds each bin and its conjugate, twice the transform's sum. Its norm is 2 / BLOCK.
        for ((sum, x), w) in sum.iter_mut().zip(&self.samples).zip(&self.window) {
            *sum += x * w / BLOCK as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const RATE: f64 = 44_100.0;

    /// Noise that falls by 6 dB per octave above 1 kHz.
    fn noise(samples: usize) -> Stereo {
        let mut random = Random::new(1, 2, 3);
        [(); 2].map(|()| {
            let mut low = 0.0;
            (0..samples)
                .map(|_| {
                    low += 0.13 * (random.noise() - low);
                    low
                })
                .collect()
        })
    }

    fn energy(samples: impl Iterator<Item = f32>) -> f64 {
        samples.map(|x| f64::from(x).powi(2)).sum()
    }

    fn snr(before: &Stereo, after: &Stereo) -> f64 {
        let pairs = || before.iter().flatten().zip(after.iter().flatten());
        10.0 * (energy(pairs().map(|(x, _)| *x)) / energy(pairs().map(|(x, y)| x - y))).log10()
    }

    fn coded(sound: &Stereo, cutoff: f64, snr: f64) -> Stereo {
        let mut sound = sound.clone();
        Coding { cutoff, snr }.apply(&mut sound, RATE);
        sound
    }

    /// Of any length. The rest is rounding in f32.
    #[test]
    fn without_rounding_and_cutoff_the_signal_returns() {
        for samples in [1, 1023, 1024, 5000] {
            let sound = noise(samples);
            let after = coded(&sound, RATE, 200.0);
            assert_eq!(after.each_ref().map(Vec::len), [samples; 2]);
            assert!(snr(&sound, &after) > 100.0, "{samples}: {} dB", snr(&sound, &after));
        }
        let silence = [vec![0.0; 3000], vec![0.0; 3000]];
        assert_eq!(coded(&silence, 16_000.0, 10.0), silence);
        assert_eq!(coded(&[vec![], vec![]], 16_000.0, 10.0), [vec![], vec![]]);
    }

    #[test]
    fn the_noise_has_its_level() {
        let sound = noise(50_000);
        for wanted in [12.0, 20.0, 30.0] {
            let measured = snr(&sound, &coded(&sound, RATE, wanted));
            assert!((measured - wanted).abs() < 1.0, "{measured} dB, not {wanted}");
        }
        // Coarse steps leave holes.
        assert!(snr(&sound, &coded(&sound, RATE, 3.0)) < 8.0);
    }

    /// A loud tone does not add noise to a quiet one far away, as white noise of the same energy would.
    #[test]
    fn noise_stays_in_its_band_and_nothing_is_left_above_the_cutoff() {
        let tone = |hertz: f64, level: f64| {
            let wave = move |n: usize| (level * (2.0 * PI * hertz * n as f64 / RATE).sin()) as f32;
            (0..40_000).map(wave).collect::<Vec<f32>>()
        };
        let (loud, quiet) = (tone(300.0, 0.5), tone(9000.0, 0.001));
        let both: Vec<f32> = loud.iter().zip(&quiet).map(|(a, b)| a + b).collect();
        let one = coded(&[loud.clone(), loud], RATE, 15.0);
        let two = coded(&[both.clone(), both], RATE, 15.0);
        let heard: Vec<f32> = two[0].iter().zip(&one[0]).map(|(a, b)| a - b).collect();
        let error = heard.iter().zip(&quiet).skip(4096).take(30_000).map(|(a, b)| a - b);
        let level = energy(quiet.iter().skip(4096).take(30_000).copied());
        assert!(energy(error) < 0.1 * level, "the quiet tone is lost");
        let high = tone(17_000.0, 0.5);
        let gone = coded(&[high.clone(), high.clone()], 12_000.0, 40.0);
        let middle = |x: &[f32]| energy(x.iter().skip(4096).take(30_000).copied());
        assert!(middle(&gone[0]) < 1e-6 * middle(&high));
    }
}
