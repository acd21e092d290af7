//! The transforms on wgpu: the specialisations of their kernels and their dispatch. `shaders/stft/` has the formulas.

use super::mode::{Analysis, Synthesis};
use super::plan::{Stft, without_factors};
use crate::precision::Precision;
use crate::runtime::kernel::Kernel;
use crate::runtime::launch::{GpuArray, dispatch, spread};
use crate::runtime::tables::{Table, cached_table};

/// The passes of the transforms, one shader each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StftPass {
    /// From samples to bins: window and FFT.
    Forward,
    /// From bins to windowed frames: inverse FFT and window.
    Inverse,
    /// From windowed frames to samples.
    OverlapAdd,
}

/// A specialised STFT kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StftKernel {
    /// The pass, which selects the shader.
    pub pass: StftPass,
    /// Samples of a frame.
    pub n_fft: u32,
    /// Samples from frame to frame.
    pub hop: u32,
    /// Whether the pass computes the adjoint of the other direction instead of the transform.
    pub adjoint: bool,
    /// Storage type of waveforms and spectrograms. Frames between two passes are f32.
    pub precision: Precision,
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

    fn precision(&self) -> Precision {
        self.precision
    }

    /// At least an eighth of the FFT's points: `common/fft.wgsl` holds at most eight points per invocation in
    /// registers.
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

fn specialise(plan: &Stft, pass: StftPass, adjoint: bool, precision: Precision) -> StftKernel {
    StftKernel { pass, n_fft: plan.n_fft() as u32, hop: plan.hop() as u32, adjoint, precision }
}

/// The window with its energy, and the twiddle factors, on the device of `like`.
fn tables(plan: &Stft, like: &GpuArray) -> [GpuArray; 2] {
    let sizes = [plan.n_fft(), plan.hop()];
    let shader = &plan.tables.shader;
    [
        cached_table(Table::StftWeights(sizes), like, || shader.weights.clone()),
        cached_table(Table::StftTwiddles(sizes), like, || shader.twiddles.clone()),
    ]
}

/// `waveform [b, n]` → `[b, t, f, 2]`.
pub(crate) fn analyse(waveform: &GpuArray, plan: &Stft, mode: Analysis) -> GpuArray {
    let [batch, samples] = waveform.shape().dims::<2>();
    let frames = plan.frames(samples);
    let spectrogram = waveform.empty_like([batch, frames, plan.bins(), 2], waveform.precision());
    if batch > 0 {
        let kernel =
            specialise(plan, StftPass::Forward, mode == Analysis::InverseAdjoint, waveform.precision());
        let [weights, twiddles] = tables(plan, waveform);
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
    // The frames between the passes take at most half of WebGPU's default limit of a binding (128 MiB).
    const FRAMES_BYTES: usize = 64 << 20;
    let [batch, frames, _, _] = spectrogram.shape().dims::<4>();
    let waveform = spectrogram.empty_like([batch, samples], spectrogram.precision());
    if batch == 0 || samples == 0 {
        return waveform;
    }
    let adjoint = mode == Synthesis::ForwardAdjoint;
    let inverse = specialise(plan, StftPass::Inverse, adjoint, spectrogram.precision());
    let overlap_add = specialise(plan, StftPass::OverlapAdd, adjoint, spectrogram.precision());
    let [weights, twiddles] = tables(plan, spectrogram);

    let items = (FRAMES_BYTES / (frames * plan.n_fft() * 4)).clamp(1, batch);
    let windowed = spectrogram.empty_like([items, frames, plan.n_fft()], Precision::F32);
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
