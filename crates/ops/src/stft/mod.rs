//! The short-time Fourier transform, its least-squares inverse, and the adjoints of both.
//!
//! Frame `t` is centred on sample `t · hop`, so `t = n / hop + 1` frames cover `n` samples. Positions count
//! samples of the signal padded by `n_fft / 2` on both sides: frame `t` covers the positions
//! `t · hop .. t · hop + n_fft`, and sample `m` is position `m + n_fft / 2`.

pub(crate) mod cpu;
pub(crate) mod gpu;

use std::f64::consts::TAU;
use std::fmt;
use std::sync::Arc;

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use crate::backend::SeparationOps;

pub use gpu::{StftKernel, StftPass};

/// Why a transform cannot be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StftError {
    /// n_fft is odd, out of range, or has a prime factor above 5.
    #[error("n_fft {0} must be even, from 256 to 4096, with no prime factor above 5, as 2048 or 1920")]
    Size(usize),
    /// hop is zero, or so long that the last samples could not be recovered.
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
/// A handle on shared tables: cloning is free.
///
/// The inverse divides by the envelope, the summed squared windows over a sample. Inside the signal that sum
/// is about `3/8 · n_fft / hop`, but after the last frame's centre no frame rises to meet the one that falls:
/// up to `hop − 2` samples past it, `cos⁴(π · distance / n_fft)` is all there is. At `hop = n_fft / 2` that
/// reaches 1e-10, and the last sample would be noise. With `hop ≤ n_fft / 4` the envelope is at least 1/4 on
/// every sample of every length, hence the limit on `hop`.
#[derive(Clone)]
pub struct Stft {
    n_fft: usize,
    hop: usize,
    tables: Arc<Tables>,
}

/// What the sizes determine, computed once, in f64.
struct Tables {
    /// `0.5 − 0.5 cos(2πj / n_fft)`.
    window: Vec<f32>,
    /// `Σ_{k ≥ 0} window[j − k · hop]²`: any run of covering frames is a difference of two entries.
    energy: Vec<f64>,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    gpu: gpu::Tables,
}

impl Stft {
    /// A transform of `n_fft` samples every `hop` samples.
    ///
    /// # Errors
    /// Where `n_fft` is odd, outside 256..=4096 or has a prime factor above 5, and where `hop` is not in
    /// 1..=n_fft / 4.
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
        let tables = Tables {
            forward: planner.plan_fft_forward(n_fft),
            inverse: planner.plan_fft_inverse(n_fft),
            gpu: gpu::Tables::new(&window, &energy),
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

    /// The window, of analysis and synthesis alike, `[n_fft]`.
    pub fn window(&self) -> &[f32] {
        &self.tables.window
    }

    /// `n_fft / 2 + 1`.
    pub fn bins(&self) -> usize {
        self.n_fft / 2 + 1
    }

    /// Frames of a waveform of `samples`: `samples / hop + 1`.
    pub fn frames(&self, samples: usize) -> usize {
        samples / self.hop + 1
    }

    /// The frames of a signal of `frames` that cover a position.
    fn covering(&self, position: usize, frames: usize) -> std::ops::Range<usize> {
        let first = if position < self.n_fft { 0 } else { (position - self.n_fft) / self.hop + 1 };
        first..(position / self.hop + 1).min(frames)
    }

    /// `1 / Σ_t window[position − t · hop]²` for every sample.
    fn gains(&self, samples: usize) -> Vec<f32> {
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

/// `number` divided by each of `factors` as often as it goes.
fn without_factors(number: usize, factors: &[usize]) -> usize {
    factors.iter().fold(number, |mut rest, factor| {
        while rest.is_multiple_of(*factor) {
            rest /= factor;
        }
        rest
    })
}

/// What a pass from samples to bins computes: a transform, or the adjoint of the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Analysis {
    /// STFT: reflect padding, window, real FFT.
    Forward,
    /// Adjoint of the inverse STFT: zero padding, division by the summed squared windows, window, real FFT,
    /// bins weighted 1/N (first and last) or 2/N.
    InverseAdjoint,
}

impl Analysis {
    pub(crate) fn adjoint(self) -> Synthesis {
        match self {
            Self::Forward => Synthesis::ForwardAdjoint,
            Self::InverseAdjoint => Synthesis::Inverse,
        }
    }
}

/// What a pass from bins to samples computes: a transform, or the adjoint of the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Synthesis {
    /// Inverse STFT: inverse real FFT, window, overlap-add, division by the summed squared windows.
    Inverse,
    /// Adjoint of the STFT: bins unweighted, window, overlap-add, padding folded back by reflection.
    ForwardAdjoint,
}

impl Synthesis {
    pub(crate) fn adjoint(self) -> Analysis {
        match self {
            Self::Inverse => Analysis::InverseAdjoint,
            Self::ForwardAdjoint => Analysis::Forward,
        }
    }
}

/// The weights a one-sided spectrum's bins need to count as a whole one: `(first and last, all between)`.
///
/// Forward: on the result of a real FFT. Inverse: on the input of an unnormalised inverse real FFT, which
/// itself counts the bins between twice.
fn bin_weights(n_fft: usize, adjoint: bool, inverse: bool) -> (f32, f32) {
    let n = n_fft as f32;
    match (inverse, adjoint) {
        (false, false) => (1.0, 1.0),
        (false, true) => (1.0 / n, 2.0 / n),
        (true, false) => (1.0 / n, 1.0 / n),
        (true, true) => (1.0, 0.5),
    }
}

/// `waveform [b, n]` (n > n_fft / 2, as reflect padding needs) → `[b, t, f, 2]`, t = n / hop + 1.
///
/// `X[t, k] = Σ_j window[j] · x[t · hop + j − n_fft / 2] · exp(−2πi jk / n_fft)`, unnormalised; the last axis
/// holds the real and the imaginary part.
///
/// # Panics
/// Where the waveform is too short to reflect.
pub fn stft(waveform: Tensor<2>, plan: &Stft) -> Tensor<4> {
    let [_, samples] = waveform.dims();
    assert!(samples > plan.n_fft / 2, "{samples} samples are too few to reflect {} of them", plan.n_fft / 2);
    Tensor::from_dispatch(Dispatch::stft_analysis(waveform.into_dispatch(), plan.clone(), Analysis::Forward))
}

/// `spectrogram [b, t, f, 2]` → `[b, samples]`: least-squares inverse. t must be `samples / hop + 1`.
///
/// The signal whose STFT, without padding, is nearest to the spectrogram (Griffin and Lim 1984):
/// `x[m] = Σ_t window · irfft(X_t) / Σ_t window²`. Imaginary parts of the first and last bin are ignored.
///
/// # Panics
/// Where the spectrogram is not of the plan's shape for that many samples.
pub fn istft(spectrogram: Tensor<4>, plan: &Stft, samples: usize) -> Tensor<2> {
    let [_, frames, bins, parts] = spectrogram.dims();
    assert_eq!(
        [frames, bins, parts],
        [plan.frames(samples), plan.bins(), 2],
        "not the STFT of {samples} samples"
    );
    let spectrogram = spectrogram.into_dispatch();
    Tensor::from_dispatch(Dispatch::stft_synthesis(spectrogram, plan.clone(), samples, Synthesis::Inverse))
}
