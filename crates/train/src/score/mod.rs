//! Scores of a model on whole songs.

pub mod evaluate;
pub mod metrics;
