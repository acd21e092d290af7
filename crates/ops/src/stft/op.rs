//! The public functions of the STFT.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::burn::StftOps;
use super::mode::{Analysis, Synthesis};
use super::plan::Stft;

/// `waveform [b, n]` → `[b, t, f, 2]` with t = n / hop + 1. Reflect padding requires n > n_fft / 2.
///
/// `X[t, k] = Σ_j window[j] · x[t · hop + j − n_fft / 2] · exp(−2πi jk / n_fft)`, unnormalised; the last axis
/// holds the real and the imaginary part.
///
/// # Panics
/// If the waveform is too short for reflect padding.
pub fn stft(waveform: Tensor<2>, plan: &Stft) -> Tensor<4> {
    let [_, samples] = waveform.dims();
    assert!(
        samples > plan.n_fft() / 2,
        "{samples} samples are too few for reflect padding of {}",
        plan.n_fft() / 2
    );
    Tensor::from_dispatch(Dispatch::stft_analysis(waveform.into_dispatch(), plan.clone(), Analysis::Forward))
}

/// Least-squares inverse: `spectrogram [b, t, f, 2]` → `[b, samples]`. t must be `samples / hop + 1`.
///
/// The result is the signal whose STFT without padding is nearest to the spectrogram (Griffin and Lim 1984):
/// `x[m] = Σ_t window · irfft(X_t) / Σ_t window²`. The imaginary parts of the first and the last bin are ignored.
///
/// # Panics
/// If the spectrogram does not have the plan's shape for `samples`.
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
