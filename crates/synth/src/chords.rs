//! The "other" stem: chords in rhythm, held chords, arpeggios, and a melody where the singer rests.

use crate::composition::{Bar, Score, Section};
use crate::harmony::lead;
use crate::instruments::Instrument;
use crate::math::{Dice, hertz};
use crate::room::{Bus, Place};

/// One player: an instrument, where it stands, and how it is played.
struct Player {
    instrument: Instrument,
    place: Place,
    gain: f64,
    /// How far its two copies stand apart, for sounds that fill the picture; 0 is one copy.
    spread: f64,
    lateness: f64,
    looseness: f64,
}

impl Player {
    fn new(instrument: Instrument, pan: f64, gain: f64, dice: &mut Dice) -> Self {
        let spread = if instrument.holds() { dice.range(0.4, 0.9) } else { 0.0 };
        Self {
            instrument,
            place: Place { pan: if spread > 0.0 { 0.0 } else { pan }, depth: dice.range(0.1, 0.4) },
            gain,
            spread,
            lateness: dice.range(-0.003, 0.008),
            looseness: dice.range(0.001, 0.006),
        }
    }

    /// Plays one note, `late` seconds after its moment; gives the sample it starts at and its sound.
    fn play(&self, stage: &mut Stage, note: &Note, late: f64, dice: &mut Dice) -> (usize, Vec<f32>) {
        let starts = stage.score.seconds(note.beat);
        let gate = (stage.score.seconds(note.beat + note.beats) - starts).max(0.05);
        let at = (starts + late + self.lateness + self.looseness * dice.bell()).max(0.0);
        let start = (at * stage.rate) as usize;
        let velocity = (note.velocity * (1.0 + 0.1 * dice.bell())).clamp(0.1, 1.0);
        let strike = |dice: &mut Dice| {
            self.instrument.play(hertz(f64::from(note.pitch)), gate, velocity, stage.rate, dice)
        };
        let sound = strike(dice);
        if self.spread > 0.0 {
            let other = strike(dice);
            for (sound, pan) in [(&sound, -self.spread), (&other, self.spread)] {
                stage.bus.add(start, sound, 0.7 * self.gain, Place { pan, ..self.place });
            }
        } else {
            stage.bus.add(start, &sound, self.gain, self.place);
        }
        (start, sound)
    }
}

/// What all players share.
struct Stage<'a> {
    score: &'a Score,
    rate: f64,
    bus: Bus,
}

/// A note on paper: beats, MIDI pitch, velocity from 0 to 1.
struct Note {
    beat: f64,
    beats: f64,
    pitch: i32,
    velocity: f64,
}

/// Beats a rhythm's strokes enter and last, and whether the hand goes up.
type Rhythm = &'static [(f64, f64, bool)];

static IN_FOUR: [Rhythm; 7] = [
    &[(0.0, 4.0, false)],
    &[(0.0, 1.8, false), (2.0, 1.8, false)],
    &[(0.0, 0.9, false), (1.0, 0.9, false), (2.0, 0.9, false), (3.0, 0.9, false)],
    &[(0.5, 0.35, true), (1.5, 0.35, true), (2.5, 0.35, true), (3.5, 0.35, true)],
    &[
        (0.0, 1.0, false),
        (1.0, 0.5, false),
        (1.5, 1.0, true),
        (2.5, 0.5, true),
        (3.0, 0.5, false),
        (3.5, 0.5, true),
    ],
    &[(0.0, 1.4, false), (1.5, 2.3, true)],
    &[(0.0, 0.7, false), (0.75, 0.7, true), (1.5, 0.5, false), (2.0, 0.9, true), (3.0, 0.7, false)],
];

static IN_THREE: [Rhythm; 3] = [
    &[(0.0, 3.0, false)],
    &[(1.0, 0.8, false), (2.0, 0.8, false)],
    &[(0.0, 1.0, false), (1.0, 0.5, false), (1.5, 0.5, true), (2.0, 0.5, false), (2.5, 0.5, true)],
];

/// The stem of everything that is neither drums, bass nor voice.
pub(crate) fn render(score: &Score, rate: f64, frames: usize, dice: &mut Dice) -> Bus {
    let side = if dice.chance(0.5) { 1.0 } else { -1.0 };
    let pan = side * dice.range(0.2, 0.7);
    let comping = Player::new(Instrument::comping(dice), pan, 0.5, dice);
    let pad = Player::new(Instrument::sustained(dice), 0.0, 0.28, dice);
    let arpeggio = Player::new(Instrument::arpeggio(dice), -pan, 0.42, dice);
    let solo = Player::new(Instrument::melody(dice), dice.range(-0.3, 0.3), 0.45, dice);
    let rhythms: &[Rhythm] = if score.beats_per_bar == 4 { &IN_FOUR } else { &IN_THREE };
    let (verse, chorus) = (dice.pick(rhythms), dice.pick(rhythms));
    let figure = Figure::draw(dice);
    let motif = Motif::draw(score.beats_per_bar, dice);
    let centre = 56 + dice.below(8) as i32;
    let mut stage = Stage { score, rate, bus: Bus::new(frames) };
    let mut hand: Option<Vec<i32>> = None;
    for bar in &score.bars {
        let section: &Section = score.section(bar);
        let rhythm = if section.kind == crate::composition::Kind::Chorus { chorus } else { verse };
        for (n, (enters, chord)) in bar.chords.iter().enumerate() {
            let leaves = bar.chords.get(n + 1).map_or(score.beats_per_bar as f64, |next| next.0);
            let voicing = lead(chord, hand.as_deref(), centre);
            let span = (bar.start + enters, bar.start + leaves);
            if section.comping {
                comp(&comping, &mut stage, bar, rhythm, span, &voicing, dice);
            }
            if section.pad {
                for &pitch in &voicing {
                    let note = Note { beat: span.0, beats: span.1 - span.0, pitch, velocity: 0.6 };
                    pad.play(&mut stage, &note, 0.0, dice);
                }
            }
            if section.arpeggio {
                figure.play(&arpeggio, &mut stage, span, &voicing, dice);
            }
            hand = Some(voicing);
        }
        if section.lead {
            motif.play(&solo, &mut stage, bar, dice);
        }
    }
    stage.bus
}

/// The chord in rhythm, between two beats; strings are strummed, the rest struck nearly at once.
fn comp(
    player: &Player,
    stage: &mut Stage,
    bar: &Bar,
    rhythm: Rhythm,
    span: (f64, f64),
    voicing: &[i32],
    dice: &mut Dice,
) {
    let strummed = matches!(player.instrument, Instrument::String { .. });
    let apart = if strummed { dice.range(0.006, 0.02) } else { 0.001 };
    for &(enters, beats, up) in rhythm {
        let beat = bar.start + enters;
        // A chord that enters inside a long stroke is struck anew.
        let (beat, end) = (beat.max(span.0), (beat + beats).min(span.1));
        if end - beat < 0.2 {
            continue;
        }
        let accent = if (beat - bar.start) % 2.0 == 0.0 { 0.85 } else { 0.65 };
        for (k, &pitch) in voicing.iter().enumerate() {
            let order = if up { voicing.len() - 1 - k } else { k };
            let velocity = if up { 0.8 * accent } else { accent };
            let note = Note { beat, beats: end - beat, pitch, velocity };
            player.play(stage, &note, apart * order as f64, dice);
        }
    }
}

/// How an arpeggio runs through a chord.
struct Figure {
    /// Beats between notes.
    step: f64,
    /// Places in the chord, counted on into the octaves above.
    order: Vec<usize>,
    /// Beats after which a softer repeat comes from the other side.
    echo: Option<f64>,
}

impl Figure {
    fn draw(dice: &mut Dice) -> Self {
        let order: &[usize] = dice.pick(&[
            &[0usize, 1, 2, 3][..],
            &[0, 1, 2, 3, 4, 3, 2, 1],
            &[0, 2, 1, 2],
            &[4, 3, 2, 1, 0, 1, 2, 3],
            &[0, 2, 4, 3, 2, 4, 1, 3],
        ]);
        let step = dice.pick(&[0.25, 0.5, 0.5]);
        Self { step, order: order.to_vec(), echo: dice.chance(0.5).then_some(0.75) }
    }

    fn play(&self, player: &Player, stage: &mut Stage, span: (f64, f64), voicing: &[i32], dice: &mut Dice) {
        let steps = ((span.1 - span.0) / self.step) as usize;
        for k in 0..steps {
            let place = self.order[k % self.order.len()];
            let pitch = voicing[place % voicing.len()] + 12 * (place / voicing.len()) as i32 + 12;
            let velocity = if k % 4 == 0 { 0.8 } else { 0.6 };
            let beat = span.0 + k as f64 * self.step;
            let note = Note { beat, beats: 1.5 * self.step, pitch, velocity };
            let (start, sound) = player.play(stage, &note, 0.0, dice);
            if let Some(beats) = self.echo {
                let later = (beats * 60.0 / stage.score.tempo * stage.rate) as usize;
                let across = Place { pan: -player.place.pan, ..player.place };
                stage.bus.add(start + later, &sound, 0.35 * player.gain, across);
            }
        }
    }
}

/// A melody's shape over two bars: beats, lengths, and scale steps from the chord's note.
struct Motif {
    notes: [Vec<(f64, f64, i32)>; 2],
    centre: i32,
}

impl Motif {
    fn draw(beats_per_bar: usize, dice: &mut Dice) -> Self {
        let mut step = 0;
        let notes = [(); 2].map(|()| {
            let mut notes = Vec::new();
            let mut beat = if dice.chance(0.3) { 0.5 } else { 0.0 };
            while beat < beats_per_bar as f64 {
                let beats = dice.pick(&[0.5, 0.5, 1.0, 1.0, 1.5, 2.0f64]).min(beats_per_bar as f64 - beat);
                if dice.chance(0.85) {
                    notes.push((beat, beats, step));
                }
                step = (step + dice.below(5) as i32 - 2).clamp(-4, 5);
                beat += beats;
            }
            notes
        });
        Self { notes, centre: 70 + dice.below(8) as i32 }
    }

    fn play(&self, player: &Player, stage: &mut Stage, bar: &Bar, dice: &mut Dice) {
        for &(enters, beats, step) in &self.notes[bar.since % 2] {
            let beat = bar.start + enters;
            let chord = stage.score.chord(beat);
            let key = &stage.score.key;
            let free = key.pitch(key.degree(chord.nearest(self.centre)) + step);
            // Long notes and those on the beat belong to the chord.
            let pitch = if beats >= 1.0 || enters.fract() == 0.0 { chord.nearest(free) } else { free };
            let note = Note { beat, beats: 0.9 * beats, pitch, velocity: 0.8 };
            player.play(stage, &note, 0.0, dice);
        }
    }
}
