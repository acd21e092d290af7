//! Copies: the concatenation of many small tensors in few launches, and the copy of a slice.
//!
//! burn's concatenation launches a kernel per tensor, and a network has hundreds of parameters.

mod burn;
mod cpu;
mod gpu;
mod layout;
mod op;

pub use gpu::PackKernel;
pub use layout::PACK_ALIGNMENT;
pub(crate) use op::contiguous;
pub use op::pack;
