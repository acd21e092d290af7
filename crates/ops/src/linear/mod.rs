//! A linear map of the last axis.
//!
//! burn's matrix product compiles a kernel of a thousand lines for each combination of shapes, and a network has thirty
//! combinations. Ours are three kernels for all shapes, in two sizes of tile. They read weights in f32 for tokens of
//! either precision, add the bias in the same pass, and keep the gradients of weights in f32. On the CPU the products
//! are burn's.

mod burn;
mod cpu;
mod gpu;
mod op;
mod output;

pub use gpu::{Access, LinearKernel, LinearPass};
pub use op::{linear, linear_add, linear_add_for_gradients, linear_for_gradients};
