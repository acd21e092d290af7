//! Whether a MIDI file or a SoundFont can be used, without songs.

use std::sync::Arc;

use super::font;
use super::font_problem::FontProblem;
use super::render::render;
use super::score::{MidiProblem, MidiScore, Note, Part};
use unbraid_effects::random::Random;

/// Sample rate of the notes that try a SoundFont, in Hz.
const RATE: u32 = 44_100;

/// The time of each of these notes in seconds.
const NOTE: f64 = 0.01;

/// Reads a MIDI file as [`MidiSongs`](super::MidiSongs) does.
///
/// # Errors
/// [`MidiProblem`] if the file is damaged, too large, or without notes.
pub fn try_midi(bytes: &[u8]) -> Result<(), MidiProblem> {
    MidiScore::read(bytes).map(drop)
}

/// Reads a SoundFont as [`MidiSongs`](super::MidiSongs) does, and plays low, middle and high notes of each stem with it.
///
/// # Errors
/// [`FontProblem`] if the file is damaged, or if the synthesiser fails on it.
pub fn try_font(bytes: &[u8]) -> Result<(), FontProblem> {
    let sounds = Arc::new(font::load(bytes)?);
    let frames = (5.0 * NOTE * f64::from(RATE)) as usize;
    for (part, channel, program) in [(Part::Drums, 9, 0), (Part::Bass, 0, 33), (Part::Other, 1, 0)] {
        let note = |(index, key)| {
            let start = NOTE * index as f64;
            Note { start, end: start + NOTE, channel, key, velocity: 100, part }
        };
        let notes = [0, 36, 69, 127].into_iter().enumerate().map(note).collect();
        let controls = vec![super::score::Control { at: 0.0, channel, status: 0xC0, data: [program, 0] }];
        let score = MidiScore { notes, controls };
        if render(&score, part, 0.0, &sounds, RATE, frames, &mut Random::new(1, 0, 0)).is_none() {
            return Err(FontProblem::Refused("its samples or loops are damaged".into()));
        }
    }
    Ok(())
}
