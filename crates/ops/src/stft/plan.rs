//! A transform's sizes and tables.

use std::f64::consts::TAU;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

/// The reason why the sizes of a transform are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StftError {
    /// n_fft is odd, out of range, or has a prime factor above 5.
    #[error("n_fft {0} must be even, from 256 to 4096, with no prime factor above 5, such as 2048 or 1920")]
    Size(usize),
    /// hop is zero, or so large that the last samples could not be recovered.
    #[error("hop {hop} must be from 1 to n_fft / 4 = {}", n_fft / 4)]
    Hop {
        /// Samples from frame to frame.
        hop: usize,
        /// Samples of a frame.
        n_fft: usize,
    },
}

/// A short-time Fourier transform: periodic Hann window, centred frames, reflect padding.
///
/// It is a handle to shared tables, so cloning is cheap.
///
/// The inverse divides by the envelope, the sum of the squared windows at a sample. Inside the signal the envelope is
/// about `3/8 · n_fft / hop`. Past the centre of the last frame there is no next frame, so the envelope decays as
/// `cos⁴(π · distance / n_fft)` for up to `hop − 2` samples. At `hop = n_fft / 2` it would reach 1e-10, and the last
/// sample would be noise. At `hop ≤ n_fft / 4` it is at least 1/4 at every sample, for every length. This is the reason
/// for the limit on `hop`.
#[derive(Clone)]
pub struct Stft {
    n_fft: usize,
    hop: usize,
    pub(super) tables: Arc<StftTables>,
}

/// Values that the sizes determine, computed once, in f64.
pub(super) struct StftTables {
    /// `0.5 − 0.5 cos(2πj / n_fft)`.
    window: Vec<f32>,
    /// `Σ_{k ≥ 0} window[j − k · hop]²`. The sum over any run of frames is a difference of two entries.
    energy: Vec<f64>,
    pub(super) forward: Arc<dyn RealToComplex<f32>>,
    pub(super) inverse: Arc<dyn ComplexToReal<f32>>,
    pub(super) shader: ShaderTables,
}

/// The tables that the shaders read. They are computed in f64 on the host, because the error of WGSL's sine may be
/// 2⁻¹¹.
pub(super) struct ShaderTables {
    /// `(window, energy)` of every sample of a frame.
    pub(super) weights: Vec<f32>,
    /// `exp(−2πi k / n_fft)`, as (re, im).
    pub(super) twiddles: Vec<f32>,
}

impl ShaderTables {
    fn new(window: &[f64], energy: &[f64]) -> Self {
        let twiddle = |k: usize| (-TAU * k as f64 / window.len() as f64).sin_cos();
        Self {
            weights: window.iter().zip(energy).flat_map(|(&w, &e)| [w as f32, e as f32]).collect(),
            twiddles: (0..window.len())
                .map(twiddle)
                .flat_map(|(sin, cos)| [cos as f32, sin as f32])
                .collect(),
        }
    }
}

impl Stft {
    /// A transform of `n_fft` samples every `hop` samples.
    ///
    /// # Errors
    /// If `n_fft` is odd, outside 256..=4096 or has a prime factor above 5, or if `hop` is not in 1..=n_fft / 4.
    pub fn new(n_fft: usize, hop: usize) -> Result<Self, StftError> {
        if !(256..=4096).contains(&n_fft) || n_fft % 2 == 1 || without_factors(n_fft, &[2, 3, 5]) != 1 {
            return Err(StftError::Size(n_fft));
        }
        if !(1..=n_fft / 4).contains(&hop) {
            return Err(StftError::Hop { hop, n_fft });
        }
        let window: Vec<f64> =
            (0..n_fft).map(|j| 0.5 - 0.5 * (TAU * j as f64 / n_fft as f64).cos()).collect();
        let mut energy: Vec<f64> = window.iter().map(|w| w * w).collect();
        for j in hop..n_fft {
            energy[j] += energy[j - hop];
        }
        let mut planner = RealFftPlanner::new();
        let tables = StftTables {
            forward: planner.plan_fft_forward(n_fft),
            inverse: planner.plan_fft_inverse(n_fft),
            shader: ShaderTables::new(&window, &energy),
            window: window.iter().map(|&w| w as f32).collect(),
            energy,
        };
        Ok(Self { n_fft, hop, tables: Arc::new(tables) })
    }

    /// Samples of a frame.
    pub fn n_fft(&self) -> usize {
        self.n_fft
    }

    /// Samples from frame to frame.
    pub fn hop(&self) -> usize {
        self.hop
    }

    /// The window of both analysis and synthesis, `[n_fft]`.
    pub fn window(&self) -> &[f32] {
        &self.tables.window
    }

    /// Number of bins: `n_fft / 2 + 1`.
    pub fn bins(&self) -> usize {
        self.n_fft / 2 + 1
    }

    /// Number of frames of a waveform of `samples`: `samples / hop + 1`.
    pub fn frames(&self, samples: usize) -> usize {
        samples / self.hop + 1
    }

    /// The frames that cover a position in a signal of `frames` frames.
    pub(super) fn covering(&self, position: usize, frames: usize) -> Range<usize> {
        let first = if position < self.n_fft { 0 } else { (position - self.n_fft) / self.hop + 1 };
        first..(position / self.hop + 1).min(frames)
    }

    /// `1 / Σ_t window[position − t · hop]²` for every sample.
    pub(super) fn gains(&self, samples: usize) -> Vec<f32> {
        let energy = &self.tables.energy;
        let gain = |sample: usize| {
            let position = sample + self.n_fft / 2;
            let covering = self.covering(position, self.frames(samples));
            let missing = position - (covering.end - 1) * self.hop;
            let after = if missing < self.hop { 0.0 } else { energy[missing - self.hop] };
            (1.0 / (energy[position - covering.start * self.hop] - after)) as f32
        };
        (0..samples).map(gain).collect()
    }
}

impl PartialEq for Stft {
    fn eq(&self, other: &Self) -> bool {
        (self.n_fft, self.hop) == (other.n_fft, other.hop)
    }
}

impl fmt::Debug for Stft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stft").field("n_fft", &self.n_fft).field("hop", &self.hop).finish_non_exhaustive()
    }
}

/// `number` divided by each of `factors` as often as possible.
pub(super) fn without_factors(number: usize, factors: &[usize]) -> usize {
    factors.iter().fold(number, |mut rest, factor| {
        while rest.is_multiple_of(*factor) {
            rest /= factor;
        }
        rest
    })
}
