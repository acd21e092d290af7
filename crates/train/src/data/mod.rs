//! Data sets on disk, and the training segments drawn from them.
//!
//! A format is a file of `formats`, which lists the files of the songs. `songs.rs` reads them, behind the trait in
//! `dataset.rs`, and `roots.rs` joins several data sets. `split.rs` divides the tracks into training and validation,
//! and `summary.rs` counts them. `index.rs` keeps the levels of the files, from which `places.rs` knows where it is not
//! silent. `segments.rs` cuts and mixes segments on worker threads. `augment.rs` augments them with the effects of
//! `effects.rs`. `check` finds the faults of a data set.

mod augment;
pub(crate) mod check;
pub(crate) mod dataset;
mod effects;
mod error;
pub(crate) mod folder;
pub(crate) mod formats;
pub(crate) mod index;
pub(crate) mod listing;
pub(crate) mod parallel;
mod places;
pub(crate) mod roots;
pub(crate) mod segments;
mod song_folder;
pub(crate) mod songs;
pub(crate) mod source;
pub(crate) mod split;
pub(crate) mod summary;
#[cfg(test)]
pub(crate) mod testing;
