//! The STFT and its inverse as matrices, with every coefficient by definition. A transform is the product with its
//! matrix, and its backward pass the product with the transposed matrix.

use std::f64::consts::TAU;

/// Frame length, hop and length of the waveform.
#[derive(Debug, Clone, Copy)]
pub struct Transform {
    /// Samples of a frame, an even number.
    pub n_fft: usize,
    /// Samples between the starts of successive frames.
    pub hop: usize,
    /// Samples of the waveform, more than `n_fft / 2`.
    pub samples: usize,
}

/// Receives every `(row, column, coefficient)` of a matrix. Repeated entries of one place are added.
type Entries<'a> = &'a mut dyn FnMut(usize, usize, f64);

impl Transform {
    /// Number of frames. One is centred on every `hop`-th sample.
    pub fn frames(&self) -> usize {
        self.samples / self.hop + 1
    }

    /// Number of bins from 0 to the Nyquist frequency.
    pub fn bins(&self) -> usize {
        self.n_fft / 2 + 1
    }

    /// `waveform [n]` → `[t, f, 2]`.
    pub fn stft(&self, waveform: &[f64]) -> Vec<f64> {
        self.apply(Self::stft_entries, waveform, self.frames() * self.bins() * 2, false)
    }

    /// Gradient of the spectrogram `[t, f, 2]` → gradient of the waveform `[n]`.
    pub fn stft_backward(&self, gradient: &[f64]) -> Vec<f64> {
        self.apply(Self::stft_entries, gradient, self.samples, true)
    }

    /// `spectrogram [t, f, 2]` → `[n]`.
    pub fn istft(&self, spectrogram: &[f64]) -> Vec<f64> {
        self.apply(Self::istft_entries, spectrogram, self.samples, false)
    }

    /// Gradient of the waveform `[n]` → gradient of the spectrogram `[t, f, 2]`.
    pub fn istft_backward(&self, gradient: &[f64]) -> Vec<f64> {
        self.apply(Self::istft_entries, gradient, self.frames() * self.bins() * 2, true)
    }

    fn apply(&self, entries: fn(&Self, Entries<'_>), x: &[f64], rows: usize, transposed: bool) -> Vec<f64> {
        let mut y = vec![0.0; rows];
        entries(self, &mut |row, column, coefficient| {
            let (row, column) = if transposed { (column, row) } else { (row, column) };
            y[row] += coefficient * x[column];
        });
        y
    }

    /// Periodic Hann.
    fn window(&self, j: usize) -> f64 {
        0.5 - 0.5 * (TAU * j as f64 / self.n_fft as f64).cos()
    }

    /// `cos` and `sin` of `2π jk / n_fft`, for every product jk modulo n_fft.
    fn turns(&self) -> Vec<(f64, f64)> {
        (0..self.n_fft)
            .map(|i| TAU * i as f64 / self.n_fft as f64)
            .map(|angle| (angle.cos(), angle.sin()))
            .collect()
    }

    /// The index in the waveform of sample `j` of frame `t`. Indices outside the waveform are padding.
    fn position(&self, t: usize, j: usize) -> isize {
        (t * self.hop + j) as isize - (self.n_fft / 2) as isize
    }

    fn index(&self, t: usize, k: usize, part: usize) -> usize {
        (t * self.bins() + k) * 2 + part
    }

    /// `X[t, k] = Σ_j window[j] · x[reflected] · exp(−2πi jk / N)`
    fn stft_entries(&self, entry: Entries<'_>) {
        let turns = self.turns();
        let last = self.samples as isize - 1;
        for t in 0..self.frames() {
            for j in 0..self.n_fft {
                let position = self.position(t, j);
                let reflected = match position {
                    before if before < 0 => -before,
                    after if after > last => 2 * last - after,
                    inside => inside,
                } as usize;
                for k in 0..self.bins() {
                    let (cos, sin) = turns[j * k % self.n_fft];
                    entry(self.index(t, k, 0), reflected, self.window(j) * cos);
                    entry(self.index(t, k, 1), reflected, self.window(j) * -sin);
                }
            }
        }
    }

    /// `x[m] = Σ_t window[j] · y_t[j] / Σ_t window[j]²` where `j` is the place of m in frame t, and
    /// `y_t[j] = 1/N Σ_k X[t, k] · exp(+2πi jk / N)` over all N bins. The bins above the Nyquist frequency are the
    /// conjugates of the bins below it.
    fn istft_entries(&self, entry: Entries<'_>) {
        let turns = self.turns();
        let n = self.n_fft as f64;
        let mut envelope = vec![0.0; self.samples];
        let mut covers = Vec::new();
        for t in 0..self.frames() {
            for j in 0..self.n_fft {
                let position = self.position(t, j);
                if (0..self.samples as isize).contains(&position) {
                    envelope[position as usize] += self.window(j).powi(2);
                    covers.push((t, j, position as usize));
                }
            }
        }
        for (t, j, m) in covers {
            let weight = self.window(j) / envelope[m] / n;
            for k in 0..self.n_fft {
                let (cos, sin) = turns[j * k % self.n_fft];
                if k == 0 || k == self.n_fft / 2 {
                    // A real signal has real bins here, so an imaginary part is ignored.
                    entry(m, self.index(t, k, 0), weight * cos);
                } else if k < self.n_fft / 2 {
                    entry(m, self.index(t, k, 0), weight * cos);
                    entry(m, self.index(t, k, 1), weight * -sin);
                } else {
                    entry(m, self.index(t, self.n_fft - k, 0), weight * cos);
                    entry(m, self.index(t, self.n_fft - k, 1), weight * sin);
                }
            }
        }
    }
}
