//! The STFT and its inverse as gathers and products with DFT matrices.

use std::f64::consts::TAU;

use burn::tensor::{Device, Int, Tensor, TensorData};
use unbraid_ops::Stft;

/// The counterpart of [`unbraid_ops::stft`].
pub fn stft(waveform: &Tensor<2>, plan: &Stft) -> Tensor<4> {
    let [batch, samples] = waveform.dims();
    let (n_fft, frames, bins) = (plan.n_fft(), plan.frames(samples), plan.bins());
    let last = samples - 1;
    let reflected = |i: usize| {
        let distance = (i / n_fft * plan.hop() + i % n_fft).abs_diff(n_fft / 2);
        if distance > last { 2 * last - distance } else { distance }
    };
    let gathered =
        waveform.clone().select(1, indices((0..frames * n_fft).map(reflected), &waveform.device()));
    let windowed = gathered.reshape([batch * frames, n_fft]) * window(plan, waveform);
    let coefficient = |j: usize, column: usize| {
        let angle = TAU * (j * (column / 2) % n_fft) as f64 / n_fft as f64;
        if column.is_multiple_of(2) { angle.cos() } else { -angle.sin() }
    };
    product(windowed, 2 * bins, coefficient).reshape([batch, frames, bins, 2])
}

/// The counterpart of [`unbraid_ops::istft`].
pub fn istft(spectrogram: &Tensor<4>, plan: &Stft, samples: usize) -> Tensor<2> {
    let [batch, frames, bins, _] = spectrogram.dims();
    let (n_fft, hop) = (plan.n_fft(), plan.hop());
    let coefficient = |row: usize, j: usize| {
        let bin = row / 2;
        let angle = TAU * (j * bin % n_fft) as f64 / n_fft as f64;
        let times = if bin == 0 || bin == n_fft / 2 { 1.0 } else { 2.0 };
        let turn = if row.is_multiple_of(2) {
            angle.cos()
        } else if times == 1.0 {
            0.0
        } else {
            -angle.sin()
        };
        times * turn / n_fft as f64
    };
    let rows = spectrogram.clone().reshape([batch * frames, 2 * bins]);
    let windowed = product(rows, n_fft, coefficient) * window(plan, spectrogram);

    // Every sample gathers its values from the frames that cover it. Where fewer frames cover a sample, it gathers the
    // zero after the last frame.
    let overlap = n_fft.div_ceil(hop);
    let covering = |i: usize| {
        let (position, t) = (i / overlap + n_fft / 2, i % overlap);
        let t = (position / hop).checked_sub(t).filter(|&t| t < frames && position - t * hop < n_fft);
        t.map_or(frames * n_fft, |t| t * n_fft + position - t * hop)
    };
    let window = plan.window();
    let gain = |m: usize| {
        let places = (m * overlap..(m + 1) * overlap).map(covering).filter(|&place| place < frames * n_fft);
        1.0 / places.map(|place| f64::from(window[place % n_fft]).powi(2)).sum::<f64>()
    };
    let gains = row((0..samples).map(gain), spectrogram);
    let places = indices((0..samples * overlap).map(covering), &spectrogram.device());
    let lines = windowed.reshape([batch, frames * n_fft]).pad([(0, 1)], 0.0);
    let gathered: Tensor<3> = lines.select(1, places).reshape([batch, samples, overlap]);
    gathered.sum_dim(2).reshape([batch, samples]) * gains
}

fn indices(values: impl Iterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.map(|value| value as i32).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// `[1, count]`, on the device and in the precision of another tensor.
fn row<const D: usize>(values: impl Iterator<Item = f64>, like: &Tensor<D>) -> Tensor<2> {
    let values: Vec<f32> = values.map(|value| value as f32).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [1, count]), (&like.device(), like.dtype()))
}

fn window<const D: usize>(plan: &Stft, like: &Tensor<D>) -> Tensor<2> {
    row(plan.window().iter().map(|&w| f64::from(w)), like)
}

/// `x [rows, inner]` times a matrix `[inner, columns]`, as products and sums over blocks of columns.
fn product(x: Tensor<2>, columns: usize, coefficient: impl Fn(usize, usize) -> f64) -> Tensor<2> {
    // Limits the temporary tensor to 8 MiB.
    const BLOCK: usize = 1 << 21;
    let [rows, inner] = x.dims();
    let step = (BLOCK / (rows * inner)).max(1);
    let x: Tensor<3> = x.reshape([rows, 1, inner]);
    let blocks = (0..columns).step_by(step).map(|first| {
        let count = step.min(columns - first);
        let values = (0..count * inner).map(|i| coefficient(i % inner, first + i / inner));
        let matrix: Tensor<3> = row(values, &x).reshape([1, count, inner]);
        (x.clone() * matrix).sum_dim(2).reshape([rows, count])
    });
    Tensor::cat(blocks.collect(), 1)
}
