//! Synthetic songs, so that training can be tried without a data set of recordings.
//!
//! [`song`] composes a piece (tempo, key, chords, form) and renders four stems: a drum kit, a bass, chords and melodies
//! on other instruments, and a singing voice, all with the reverberation of one room. [`write_dataset`] writes many
//! songs in the layout of MUSDB18-HQ.
//!
//! [`MidiSongs`] renders General MIDI files with SoundFonts, and [`write_midi_dataset`] writes such songs in the same
//! layout. Filters, rooms, effects and random streams are those of `unbraid-effects`.
//!
//! A seed and an index give the same bits on every platform. The elementary functions come from `libm`, not from the
//! platform, and no result depends on the number of threads. Songs
//! from MIDI have the same bits on one platform, because the SoundFont synthesiser uses the platform's functions.

mod bass;
mod beats;
mod chords;
mod composition;
mod dataset;
mod drums;
mod dsp;
mod harmony;
mod instruments;
mod melody;
mod midi;
mod phonemes;
mod song;
mod tract;
mod voice;

#[cfg(test)]
mod tests;

pub use dataset::{Options, SynthError, write_dataset};
pub use midi::{
    FontProblem, MidiError, MidiOptions, MidiProblem, MidiReport, MidiSong, MidiSongs, Vocals, find_files,
    try_font, try_midi, write_midi_dataset,
};
pub use song::{RATES, STEMS, Song, song};
