//! Songs from General MIDI files and SoundFonts.

mod find;
#[cfg(test)]
mod fixture;
mod font;
mod font_problem;
mod loops;
mod render;
mod score;
mod set;
mod sf3;
mod songs;
mod takes;
#[cfg(test)]
mod tests;
mod trial;

pub use find::find_files;
pub use font_problem::FontProblem;
pub use score::MidiProblem;
pub use set::{MidiReport, write_midi_dataset};
pub use songs::{MidiError, MidiOptions, MidiSong, MidiSongs, Vocals};
pub use trial::{try_font, try_midi};
