//! The transforms on the CPU: frames in parallel with `realfft`, and an overlap-add that gathers block by block.

use std::borrow::Cow;

use rayon::prelude::*;
use realfft::num_complex::Complex;

use super::mode::{Analysis, Synthesis, bin_weights};
use super::plan::Stft;
use crate::runtime::flex::cpu_output;

/// A thread's buffers for one frame.
struct FrameBuffers {
    samples: Vec<f32>,
    bins: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
}

impl FrameBuffers {
    fn new(plan: &Stft) -> Self {
        let (forward, inverse) = (&plan.tables.forward, &plan.tables.inverse);
        let scratch = forward.get_scratch_len().max(inverse.get_scratch_len());
        Self {
            samples: forward.make_input_vec(),
            bins: forward.make_output_vec(),
            scratch: vec![Complex::default(); scratch],
        }
    }
}

/// `waveform [batch, samples]` → `[batch, t, f, 2]`.
pub(crate) fn analyse(
    waveform: &[f32],
    batch: usize,
    samples: usize,
    plan: &Stft,
    mode: Analysis,
) -> Vec<f32> {
    let (frames, bins) = (plan.frames(samples), plan.bins());
    let mut spectrogram = cpu_output(batch * frames * bins * 2);
    if samples == 0 {
        spectrogram.fill(0.0);
        return spectrogram;
    }
    let waveform = match mode {
        Analysis::Forward => Cow::Borrowed(waveform),
        Analysis::InverseAdjoint => {
            let gains = plan.gains(samples);
            Cow::Owned(
                waveform.iter().zip(gains.iter().cycle()).map(|(x, gain)| x * gain).collect::<Vec<_>>(),
            )
        }
    };
    let (edge, inner) = bin_weights(plan.n_fft(), mode == Analysis::InverseAdjoint, false);
    let one_frame = |frame: &mut FrameBuffers, (index, output): (usize, &mut [f32])| {
        let waveform = &waveform[index / frames * samples..][..samples];
        load(waveform, index % frames * plan.hop(), plan, mode, &mut frame.samples);
        plan.tables
            .forward
            .process_with_scratch(&mut frame.samples, &mut frame.bins, &mut frame.scratch)
            .expect("the buffers have the plan's sizes");
        for (k, (bin, output)) in frame.bins.iter().zip(output.chunks_exact_mut(2)).enumerate() {
            let weight = if k == 0 || k == bins - 1 { edge } else { inner };
            output.copy_from_slice(&[bin.re * weight, bin.im * weight]);
        }
    };
    spectrogram
        .par_chunks_exact_mut(bins * 2)
        .enumerate()
        .for_each_init(|| FrameBuffers::new(plan), one_frame);
    spectrogram
}

/// Loads the windowed samples of the frame that starts at a position.
fn load(waveform: &[f32], position: usize, plan: &Stft, mode: Analysis, frame: &mut [f32]) {
    let last = waveform.len() - 1;
    let pad = plan.n_fft() / 2;
    if position >= pad && position + pad <= last {
        let covered = &waveform[position - pad..];
        for ((x, sample), window) in frame.iter_mut().zip(covered).zip(plan.window()) {
            *x = sample * window;
        }
        return;
    }
    for (j, (x, window)) in frame.iter_mut().zip(plan.window()).enumerate() {
        let distance = (position + j).abs_diff(pad);
        let index = match mode {
            // `abs_diff` reflects positions before the first sample.
            Analysis::Forward if distance <= last => distance,
            Analysis::Forward => 2 * last - distance,
            Analysis::InverseAdjoint if position + j >= pad => distance,
            Analysis::InverseAdjoint => usize::MAX,
        };
        *x = waveform.get(index).map_or(0.0, |sample| sample * window);
    }
}

/// `spectrogram [batch, frames, f, 2]` → `[batch, samples]`.
pub(crate) fn synthesise(
    spectrogram: &[f32],
    batch: usize,
    frames: usize,
    samples: usize,
    plan: &Stft,
    mode: Synthesis,
) -> Vec<f32> {
    let mut waveform = cpu_output(batch * samples);
    if samples == 0 {
        return waveform;
    }
    let gains = plan.gains(samples);
    let mut windowed = cpu_output(frames * plan.n_fft());
    let mut padded = cpu_output(samples + plan.n_fft());
    let (n_fft, pad) = (plan.n_fft(), plan.n_fft() / 2);
    // One item of the batch at a time: the frames of all items would take as much memory as the spectrogram.
    let items = spectrogram.chunks_exact(frames * plan.bins() * 2);
    for (spectrogram, waveform) in items.zip(waveform.chunks_exact_mut(samples)) {
        inverse_frames(spectrogram, plan, mode, &mut windowed);
        overlap_add(&windowed, frames, plan, &mut padded);
        let item = waveform.par_iter_mut().with_min_len(4096).enumerate();
        match mode {
            Synthesis::Inverse => item.for_each(|(m, x)| *x = padded[m + pad] * gains[m]),
            Synthesis::ForwardAdjoint => item.for_each(|(m, x)| {
                // The STFT reads a sample at its position and at the positions where the padding mirrors it.
                let before = pad.checked_sub(m).filter(|_| m > 0);
                let after = Some(pad + 2 * (samples - 1) - m)
                    .filter(|&after| m + 1 < samples && after < samples + n_fft);
                *x = padded[m + pad] + [before, after].into_iter().flatten().map(|p| padded[p]).sum::<f32>();
            }),
        }
    }
    waveform
}

/// `[t, f, 2]` → windowed frames `[t, n_fft]`.
fn inverse_frames(spectrogram: &[f32], plan: &Stft, mode: Synthesis, windowed: &mut [f32]) {
    let last = plan.bins() - 1;
    let (edge, inner) = bin_weights(plan.n_fft(), mode == Synthesis::ForwardAdjoint, true);
    let one_frame = |frame: &mut FrameBuffers, (input, output): (&[f32], &mut [f32])| {
        for (bin, parts) in frame.bins.iter_mut().zip(input.chunks_exact(2)) {
            *bin = Complex::new(parts[0] * inner, parts[1] * inner);
        }
        // The first and the last bin of a real signal are real.
        frame.bins[0] = Complex::new(input[0] * edge, 0.0);
        frame.bins[last] = Complex::new(input[2 * last] * edge, 0.0);
        plan.tables
            .inverse
            .process_with_scratch(&mut frame.bins, &mut frame.samples, &mut frame.scratch)
            .expect("the buffers have the plan's sizes, and the edge bins are real");
        for ((y, x), window) in output.iter_mut().zip(&frame.samples).zip(plan.window()) {
            *y = x * window;
        }
    };
    spectrogram
        .par_chunks_exact(plan.bins() * 2)
        .zip(windowed.par_chunks_exact_mut(plan.n_fft()))
        .for_each_init(|| FrameBuffers::new(plan), one_frame);
}

/// Sums the frames that cover each position. Frames are added in their order, for any number of threads.
fn overlap_add(windowed: &[f32], frames: usize, plan: &Stft, padded: &mut [f32]) {
    // Long enough that few frames are read twice, and short enough to stay in a first-level cache.
    const BLOCK: usize = 4096;
    padded.par_chunks_mut(BLOCK).enumerate().for_each(|(index, block)| {
        let (start, end) = (index * BLOCK, index * BLOCK + block.len());
        block.fill(0.0);
        for frame in plan.covering(start, frames).start..plan.covering(end - 1, frames).end {
            let first = frame * plan.hop();
            let (from, to) = (start.max(first), end.min(first + plan.n_fft()));
            let source = &windowed[frame * plan.n_fft() + from - first..];
            for (sum, x) in block[from - start..to - start].iter_mut().zip(source) {
                *sum += x;
            }
        }
    });
}
