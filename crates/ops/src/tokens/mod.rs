//! Operations on each token separately: layer normalisation and GELU.
//!
//! burn's versions are chains of elementwise operations and reductions. Each operation that is not fused is a pass over
//! memory, autodiff keeps the intermediate results, and the slope of burn's GELU is not finite for large inputs on some
//! GPUs. Ours take one pass forward and one backward (two for the normalisation's parameters), and keep only the input.

mod burn;
mod cpu;
mod gpu;
mod op;

pub use gpu::{TokenKernel, TokenPass, Width};
pub use op::{gelu, layer_norm};
