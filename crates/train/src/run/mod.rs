//! A training run from its first step to its exported model.
//!
//! `start.rs` prepares a run and `init.rs` reads the weights that it starts with, `trainer.rs` is the loop, and
//! `validation.rs` scores the validation songs. `watch.rs` notices that a run no longer improves, and `guard.rs` saves a
//! batch that breaks it. `folder.rs` knows the files of a run and locks it,
//! `checkpoint.rs` writes and reads its state, `checkpoints.rs` knows which states are kept, `resume.rs` decides
//! whether and from where a run continues, `export.rs` describes the finished model, and `events.rs` defines the events
//! that a listener receives. `tensorboard.rs` repeats `metrics.jsonl` as event files of TensorBoard. `follow.rs` is what
//! the other processes of an MPI job do.

pub(crate) mod checkpoint;
pub(crate) mod checkpoints;
pub(crate) mod events;
mod export;
pub(crate) mod folder;
#[cfg(feature = "mpi")]
pub(crate) mod follow;
mod guard;
mod init;
mod resume;
pub(crate) mod start;
mod tensorboard;
pub(crate) mod trainer;
mod validation;
pub(crate) mod watch;
