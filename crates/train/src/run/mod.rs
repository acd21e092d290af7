//! A training run from its first step to its exported model.
//!
//! `trainer.rs` is the loop. `folder.rs` knows the files of a run, `checkpoint.rs` writes and reads its state,
//! `resume.rs` decides whether and from where a run continues, `export.rs` describes the finished model, and
//! `events.rs` defines the events that a listener receives.

pub(crate) mod checkpoint;
pub(crate) mod events;
mod export;
pub(crate) mod folder;
mod resume;
pub(crate) mod trainer;
