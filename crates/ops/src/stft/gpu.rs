//! The transforms on wgpu: the kernels' specialisations and their launches. The formulas are in `shaders/stft/`.

use std::f64::consts::TAU;

use super::{Analysis, Stft, Synthesis, without_factors};
use crate::backend::{GpuArray, dispatch, spread};
use crate::kernel::{Element, Kernel};

/// The passes of the transforms, a shader each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StftPass {
    /// Samples to bins: window and FFT.
    Forward,
    /// Bins to windowed frames: inverse FFT and window.
    Inverse,
    /// Windowed frames to samples.
    OverlapAdd,
}

/// A specialised STFT kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StftKernel {
    /// Which shader.
    pub pass: StftPass,
    /// Samples of a frame.
    pub n_fft: u32,
    /// Samples from frame to frame.
    pub hop: u32,
    /// The adjoint of the other direction, instead of the transform.
    pub adjoint: bool,
    /// Storage type of waveforms and spectrograms; frames between two passes are f32.
    pub element: Element,
}

impl Kernel for StftKernel {
    fn file(&self) -> &'static str {
        match self.pass {
            StftPass::Forward => "stft/forward.wgsl",
            StftPass::Inverse => "stft/inverse.wgsl",
            StftPass::OverlapAdd => "stft/overlap_add.wgsl",
        }
    }

    fn constants(&self) -> Vec<(&'static str, u32)> {
        let mut constants =
            vec![("N_FFT", self.n_fft), ("HOP", self.hop), ("ADJOINT", u32::from(self.adjoint))];
        if self.pass != StftPass::OverlapAdd {
            let points = self.n_fft / 2;
            let twos = exponent(points, 2);
            constants.extend([
                ("POINTS", points),
                ("TWOS", twos % 2),
                ("THREES", exponent(points, 3)),
                ("FOURS", twos / 2),
                ("FIVES", exponent(points, 5)),
            ]);
        }
        constants
    }

    fn element(&self) -> Element {
        self.element
    }

    /// At least an eighth of an FFT's points: what `common/fft.wgsl` holds in registers at most.
    fn workgroup(&self) -> u32 {
        match self.pass {
            StftPass::OverlapAdd => 256,
            _ => (self.n_fft / 16).next_power_of_two().clamp(64, 256),
        }
    }

    fn bindings(&self) -> usize {
        match self.pass {
            StftPass::Forward | StftPass::Inverse => 5,
            StftPass::OverlapAdd => 4,
        }
    }
}

fn exponent(number: u32, prime: u32) -> u32 {
    let power = number / without_factors(number as usize, &[prime as usize]) as u32;
    power.ilog(prime)
}

/// The tables the shaders read: from f64, as WGSL's own sine may be off by 2⁻¹¹.
pub(super) struct Tables {
    /// `(window, energy)` of every sample of a frame.
    weights: Vec<f32>,
    /// `exp(−2πi k / n_fft)`, as (re, im).
    twiddles: Vec<f32>,
}

impl Tables {
    pub(super) fn new(window: &[f64], energy: &[f64]) -> Self {
        let turn = |k: usize| (-TAU * k as f64 / window.len() as f64).sin_cos();
        Self {
            weights: window.iter().zip(energy).flat_map(|(&w, &e)| [w as f32, e as f32]).collect(),
            twiddles: (0..window.len()).map(turn).flat_map(|(sin, cos)| [cos as f32, sin as f32]).collect(),
        }
    }
}

impl Stft {
    fn kernel(&self, pass: StftPass, adjoint: bool, element: Element) -> StftKernel {
        StftKernel { pass, n_fft: self.n_fft as u32, hop: self.hop as u32, adjoint, element }
    }
}

/// `waveform [b, n]` → `[b, t, f, 2]`.
pub(crate) fn analyse(waveform: &GpuArray, plan: &Stft, mode: Analysis) -> GpuArray {
    let [batch, samples] = waveform.shape().dims::<2>();
    let frames = plan.frames(samples);
    let spectrogram = waveform.empty_like([batch, frames, plan.bins(), 2], waveform.element());
    if batch > 0 {
        let kernel = plan.kernel(StftPass::Forward, mode == Analysis::InverseAdjoint, waveform.element());
        let weights = waveform.upload_like(&plan.tables.gpu.weights);
        let twiddles = waveform.upload_like(&plan.tables.gpu.twiddles);
        dispatch(
            kernel,
            spread(batch * frames),
            &[waveform, &spectrogram, &weights, &twiddles],
            &[samples, frames, batch * frames].map(|value| value as u32),
        );
    }
    spectrogram
}

/// `spectrogram [b, t, f, 2]` → `[b, samples]`.
pub(crate) fn synthesise(spectrogram: &GpuArray, samples: usize, plan: &Stft, mode: Synthesis) -> GpuArray {
    // The frames between the passes stay at half of the smallest binding there is (128 MiB).
    const FRAMES_BYTES: usize = 64 << 20;
    let [batch, frames, _, _] = spectrogram.shape().dims::<4>();
    let waveform = spectrogram.empty_like([batch, samples], spectrogram.element());
    if batch == 0 || samples == 0 {
        return waveform;
    }
    let adjoint = mode == Synthesis::ForwardAdjoint;
    let inverse = plan.kernel(StftPass::Inverse, adjoint, spectrogram.element());
    let overlap_add = plan.kernel(StftPass::OverlapAdd, adjoint, spectrogram.element());
    let weights = spectrogram.upload_like(&plan.tables.gpu.weights);
    let twiddles = spectrogram.upload_like(&plan.tables.gpu.twiddles);

    let items = (FRAMES_BYTES / (frames * plan.n_fft * 4)).clamp(1, batch);
    let windowed = spectrogram.empty_like([items, frames, plan.n_fft], Element::F32);
    for first in (0..batch).step_by(items) {
        let items = items.min(batch - first);
        dispatch(
            inverse,
            spread(items * frames),
            &[spectrogram, &windowed, &weights, &twiddles],
            &[first * frames, items * frames].map(|value| value as u32),
        );
        dispatch(
            overlap_add,
            spread((items * samples).div_ceil(overlap_add.workgroup() as usize)),
            &[&windowed, &waveform, &weights],
            &[samples, frames, first * samples, items * samples].map(|value| value as u32),
        );
    }
    waveform
}
