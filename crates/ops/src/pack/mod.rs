//! Concatenation of many small tensors in few launches.
//!
//! burn's concatenation launches two kernels per tensor. A network has hundreds of parameters.

mod burn;
mod cpu;
mod gpu;
mod layout;
mod op;

pub use gpu::PackKernel;
pub use layout::PACK_ALIGNMENT;
pub use op::pack;
