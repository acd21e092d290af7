//! The scores of a model on whole songs: `metrics.rs` computes them, `evaluate.rs` separates and scores songs.

pub(crate) mod evaluate;
pub(crate) mod metrics;
