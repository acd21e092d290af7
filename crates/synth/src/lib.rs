//! Synthetic songs, so that training can be tried without a data set of recordings.
//!
//! [`song`] composes a piece (tempo, key, chords, form) and renders four stems: a drum kit, a bass, chords and melodies
//! on other instruments, and a singing voice, all with the reverberation of one room. [`write_dataset`] writes many
//! songs in the layout of MUSDB18-HQ.
//!
//! A seed and an index give the same bits on every platform. The elementary functions come from `libm`, not from the
//! platform, and no result depends on the number of threads.

mod bass;
mod beats;
mod chords;
mod composition;
mod dataset;
mod drums;
mod dsp;
mod harmony;
mod instruments;
mod math;
mod melody;
mod phonemes;
mod random;
mod room;
mod song;
mod tract;
mod voice;

#[cfg(test)]
mod tests;

pub use dataset::{Options, SynthError, write_dataset};
pub use song::{RATES, STEMS, Song, song};
