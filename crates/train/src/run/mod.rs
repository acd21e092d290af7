//! A run from its first step to its exported model: loop, checkpoints, events, folder.

pub mod checkpoint;
pub mod events;
mod export;
pub mod folder;
mod resume;
pub mod trainer;
