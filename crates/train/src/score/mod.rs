//! The scores of a model on whole songs: `metrics.rs` computes them, `evaluate.rs` separates and scores songs,
//! `evaluation.rs` summarises the songs.

pub(crate) mod evaluate;
pub(crate) mod evaluation;
pub(crate) mod metrics;
