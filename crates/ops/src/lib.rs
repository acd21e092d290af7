//! The three operations of a TFSWA network that burn does not have: the short-time Fourier transform, its
//! inverse, and attention over sequences laid on the time-frequency plane; and three that burn has, leaner and
//! faster: layer normalisation, GELU and linear maps.
//!
//! Each is one public function over [`burn::tensor::Tensor`], differentiable, with WGSL kernels for wgpu
//! devices and a multi-threaded path for the CPU backend (Flex). No I/O, no model.
//!
//! Axis letters, here and everywhere: `b` batch · `s` stems · `c` channels · `n` samples · `t` frames ·
//! `f` bins · `h` heads · `d` head width · `w` window area. Tokens are channels-last: `[b, t, f, c]`.

mod attention;
mod backend;
pub mod device;
mod exponential;
pub mod kernel;
mod linear;
mod recompute;
mod stft;
mod tokenwise;

pub use attention::{Attention, AttentionKernel, MAX_HEAD_WIDTH, Pass, Sequences, attention};
pub use backend::{limit_row, poison_outputs};
pub use linear::{LinearKernel, LinearPass, linear, linear_for_gradients};
pub use recompute::{Link, Map, recompute};
pub use stft::{Stft, StftError, StftKernel, StftPass, istft, stft};
pub use tokenwise::{TokenKernel, TokenPass, gelu, layer_norm};
