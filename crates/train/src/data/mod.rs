//! Data sets on disk, and the training segments drawn from them.
//!
//! A format is a file of `formats` behind the trait in `dataset.rs`. `split.rs` divides the tracks into training and
//! validation, `summary.rs` counts them, `segments.rs` cuts and mixes segments on worker
//! threads. `augment.rs` augments them with the effects of `effects.rs`.

mod augment;
pub(crate) mod dataset;
mod effects;
pub(crate) mod folder;
pub(crate) mod formats;
pub(crate) mod segments;
pub(crate) mod split;
pub(crate) mod summary;
#[cfg(test)]
pub(crate) mod testing;
