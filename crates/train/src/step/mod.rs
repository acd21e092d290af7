//! One training step: loss, gradient, update, and the memory that they need.
//!
//! `learner.rs` is the step. `parameters.rs` packs a network's parameters into one vector, `optimizer.rs` (AdamW,
//! clipping, average) and `muon.rs` update that vector, `freeze.rs` chooses parameters that stay as they are,
//! `schedule.rs` is the course of the learning rate, `loss_scale.rs` keeps f16 gradients in range, `targets.rs` holds
//! the references of a batch, `memory.rs` records memory, and `measure.rs` runs steps on noise for estimates.

pub(crate) mod freeze;
pub(crate) mod learner;
pub(crate) mod loss_scale;
pub(crate) mod measure;
pub(crate) mod memory;
mod muon;
pub(crate) mod optimizer;
pub(crate) mod parameters;
pub(crate) mod schedule;
pub(crate) mod targets;
