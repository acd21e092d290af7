//! The foundation of all operations: WGSL kernels and their launch, arrays of the CPU backend, and helpers for
//! autodiff.

pub(crate) mod autodiff;
pub(crate) mod exponential;
pub(crate) mod flex;
pub mod kernel;
pub(crate) mod launch;
pub(crate) mod launches;
pub(crate) mod poison;
pub(crate) mod tables;
