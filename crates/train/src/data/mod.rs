//! Data sets on disk, and the training segments drawn from them.
//!
//! A format is a file of `formats`, which lists the files of the songs. `assignment.rs` knows their stems by their
//! names, and `grouping.rs` the stems of which only the sum is known. `songs.rs` reads them, behind the trait in
//! `dataset.rs`, and `roots.rs` joins several data sets. `recipe.rs` and `endless.rs` are about songs that are made
//! and not read. `split.rs` divides the tracks into training and validation, and `summary.rs` counts them. `index.rs`
//! keeps the levels of the files, from which `places.rs` knows where it is not silent. `excerpts.rs` draws excerpts
//! of stems, `segments.rs` mixes segments of them on worker threads, and `augment.rs` augments them. `check` finds
//! the faults of a data set.

mod assignment;
mod augment;
pub(crate) mod check;
pub(crate) mod dataset;
pub(crate) mod endless;
mod error;
mod excerpts;
pub(crate) mod folder;
pub(crate) mod formats;
pub(crate) mod grouping;
pub(crate) mod index;
pub(crate) mod items;
pub(crate) mod listing;
pub(crate) mod parallel;
mod places;
pub(crate) mod recipe;
pub(crate) mod roots;
pub(crate) mod segments;
mod song_folder;
pub(crate) mod songs;
pub(crate) mod source;
pub(crate) mod split;
pub(crate) mod summary;
#[cfg(test)]
pub(crate) mod testing;
