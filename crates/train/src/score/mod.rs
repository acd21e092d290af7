//! The scores of a model on whole songs: `metrics.rs` computes them, `evaluate.rs` separates and scores songs,
//! also with several models (`ensemble.rs`), `folders.rs` scores the files of another system, `evaluation.rs` and `statistics.rs` summarise the songs.

pub(crate) mod ensemble;
pub(crate) mod evaluate;
pub(crate) mod evaluation;
pub(crate) mod folders;
pub(crate) mod metrics;
pub(crate) mod statistics;
