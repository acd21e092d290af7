//! One training step: loss, gradient, update, and the memory that they need.
//!
//! `learner.rs` is the step. `team.rs` computes the gradient of a batch: `replica.rs` is the network on one device,
//! `targets.rs` the references of a batch, `exchange.rs` the seam to others that compute parts of the batch, which
//! `devices.rs` (further devices of the process) and `ranks.rs` (other processes, by MPI) implement. `parameters.rs` packs
//! a network's parameters into one vector, `optimizer.rs` (AdamW, clipping, average) and `muon.rs` update that vector,
//! `freeze.rs` chooses parameters that stay as they are, `schedule.rs` is the course of the learning rate, `loss_scale.rs`
//! keeps f16 gradients in range, `memory.rs` records memory, and `measure.rs` runs steps on noise for estimates.

mod devices;
pub(crate) mod exchange;
pub(crate) mod freeze;
pub(crate) mod learner;
pub(crate) mod loss_scale;
pub(crate) mod measure;
pub(crate) mod memory;
mod muon;
pub(crate) mod optimizer;
pub(crate) mod parameters;
#[cfg(feature = "mpi")]
pub(crate) mod ranks;
pub(crate) mod replica;
pub(crate) mod schedule;
pub(crate) mod targets;
pub(crate) mod team;
