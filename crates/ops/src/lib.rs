//! The differentiable tensor operations of a TFSWA network, and the choice of a device for them.
//!
//! burn has these operations in other forms. The reasons for ours:
//! - STFT and inverse STFT: burn's take power-of-two sizes and materialise the frames. Ours take any size with factors
//!   2, 3 and 5, and compute window and FFT of a frame in one kernel.
//! - Attention: burn's materialises the scores under autodiff. Ours recomputes them tile by tile, and reads sequences
//!   and windows in place.
//! - Layer normalisation and GELU: burn's are chains of elementwise operations whose intermediate results autodiff
//!   keeps.
//! - Sums: burn's reduction adds the values of an output on one GPU thread, or in an order that varies.
//! - Linear maps: burn's matrix product compiles a large kernel for each combination of shapes.
//!
//! Each operation is a public function over [`burn::tensor::Tensor`], with WGSL kernels for wgpu devices and a
//! multi-threaded path for the CPU backend (Flex). [`checkpointed`] adds gradient checkpointing. The crate does no
//! file I/O and contains no model.
//!
//! Axis letters, here and everywhere: `b` batch · `s` stems · `c` channels · `n` samples · `t` frames ·
//! `f` bins · `h` heads · `d` head width · `w` window area. Tokens are channels-last: `[b, t, f, c]`.
//!
//! Layers: `runtime` (kernel launch, CPU arrays) ← `cpu` and `gpu` of an operation ← its `burn` binding ← `op`, its
//! public functions. Every operation has a folder with these files.

mod attention;
mod checkpointing;
pub mod device;
mod linear;
mod pack;
mod precision;
mod runtime;
mod stft;
mod sums;
mod tokens;

pub use attention::{Attention, AttentionKernel, MAX_HEAD_WIDTH, Pass, Sequences, attention};
pub use checkpointing::{CheckpointedOp, Piece, PlaneFn, PlanePart, checkpointed};
pub use linear::{
    Access, LinearKernel, LinearPass, linear, linear_add, linear_add_for_gradients, linear_for_gradients,
};
pub use pack::{PACK_ALIGNMENT, PackKernel, pack};
pub use precision::Precision;
pub use runtime::kernel;
pub use runtime::launch::limit_row;
pub use runtime::launches::{Launch, Launches, Shader, record_launches};
pub use runtime::poison::poison_outputs;
pub use stft::{Stft, StftError, StftKernel, StftPass, istft, stft};
pub use sums::{SumKernel, SumPass, Summand, sum_rows};
pub use tokens::{TokenKernel, TokenPass, Width, gelu, layer_norm};
