//! The short-time Fourier transform, its least-squares inverse, and the adjoints of both.
//!
//! Frame `t` is centred on sample `t · hop`, so `t = n / hop + 1` frames cover `n` samples. A position is the index of
//! a sample in the signal padded by `n_fft / 2` on both sides: sample `m` is at position `m + n_fft / 2`, and frame `t`
//! covers the positions `t · hop .. t · hop + n_fft`.

mod burn;
mod cpu;
mod gpu;
mod mode;
mod op;
mod plan;

pub use gpu::{StftKernel, StftPass};
pub use op::{istft, stft};
pub use plan::{Stft, StftError};
