//! Renders the notes of a stem with a SoundFont.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rustysynth::{SoundFont, Synthesizer, SynthesizerSettings};
use unbraid_base::Stereo;
use unbraid_effects::random::Random;

use super::score::{MidiScore, Part};

/// Notes that sound at once, per stem.
const VOICES: usize = 96;

/// A message for the synthesiser. Its time is in seconds from the start of the song.
struct Event {
    at: f64,
    /// At one time, notes end first, then controls change, then notes start.
    order: u8,
    channel: u8,
    status: u8,
    data: [u8; 2],
}

/// Renders the notes of `part` from second `start` of the score on. Notes that begin before are left out.
///
/// Starts and ends of a note move together by a random time, and velocities change, as those of players do.
/// `None` if the synthesiser failed on the SoundFont, or if its samples are not finite.
pub(super) fn render(
    score: &MidiScore,
    part: Part,
    start: f64,
    font: &Arc<SoundFont>,
    rate: u32,
    frames: usize,
    random: &mut Random,
) -> Option<Stereo> {
    let mut sound: Stereo = [vec![0.0; frames], vec![0.0; frames]];
    let events = events(score, part, start, frames as f64 / f64::from(rate), random);
    if events.iter().all(|event| event.status != 0x90) {
        return Some(sound);
    }
    let mut settings = SynthesizerSettings::new(rate as i32);
    settings.maximum_polyphony = VOICES;
    // The stems' effects include a room.
    settings.enable_reverb_and_chorus = false;
    // Damaged SoundFonts can lead the library to samples that do not exist.
    let rendered = catch_unwind(AssertUnwindSafe(|| {
        let mut synthesizer = Synthesizer::new(font, &settings).ok()?;
        let [left, right] = &mut sound;
        let mut done = 0;
        for event in &events {
            let until = ((event.at.max(0.0) * f64::from(rate)) as usize).clamp(done, frames);
            synthesizer.render(&mut left[done..until], &mut right[done..until]);
            done = until;
            let [first, second] = event.data.map(i32::from);
            synthesizer.process_midi_message(
                i32::from(event.channel),
                i32::from(event.status),
                first,
                second,
            );
        }
        synthesizer.render(&mut left[done..], &mut right[done..]);
        Some(())
    }));
    rendered.ok()??;
    sound.iter().flatten().all(|x| x.is_finite()).then_some(sound)
}

fn events(score: &MidiScore, part: Part, start: f64, seconds: f64, random: &mut Random) -> Vec<Event> {
    let (loose, dynamics) = (random.range(0.0, 0.012), random.range(0.0, 9.0));
    let mut events = Vec::new();
    for note in &score.notes {
        // Drawn for all notes, so that the notes of one part do not depend on the others.
        let (late, louder) = (loose * random.normal(), dynamics * random.normal());
        let at = note.start - start;
        if note.part != part || at < 0.0 || at >= seconds {
            continue;
        }
        let at = (at + late).max(0.0);
        let end = at + (note.end - note.start).max(0.02);
        let velocity = (f64::from(note.velocity) + louder).round().clamp(1.0, 127.0) as u8;
        let event = |at, order, status, data| Event { at, order, channel: note.channel, status, data };
        events.push(event(at, 2, 0x90, [note.key, velocity]));
        events.push(event(end, 0, 0x80, [note.key, 0]));
    }
    // Controls before the start set the state in which the song starts.
    for control in score.controls.iter().filter(|control| control.at - start < seconds) {
        let at = (control.at - start).max(0.0);
        let (channel, status, data) = (control.channel, control.status, control.data);
        events.push(Event { at, order: 1, channel, status, data });
    }
    events.retain(|event| event.at < seconds);
    // Stable, so that controls at one time keep their order.
    events.sort_by(|a, b| a.at.total_cmp(&b.at).then(a.order.cmp(&b.order)));
    events
}
