//! One training step: loss, gradient, update, and the memory that they take.

pub(crate) mod learner;
pub mod loss_scale;
pub mod measure;
pub mod memory;
mod muon;
pub mod optimizer;
pub mod parameters;
