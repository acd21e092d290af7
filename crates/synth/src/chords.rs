//! The "other" stem: rhythmic chords, sustained chords, arpeggios, and a melody in the rests of the voice.

use unbraid_effects::math::hertz_from_midi;
use unbraid_effects::random::Random;
use unbraid_effects::room::{Bus, Position};

use crate::composition::{Bar, Kind, Score, Section};
use crate::harmony::lead;
use crate::instruments::Instrument;

/// An instrument, its position, and how it is played.
struct Player {
    instrument: Instrument,
    position: Position,
    gain: f64,
    /// If it is above 0, each note is rendered twice, panned to ±`spread`.
    spread: f64,
    /// Mean deviation from the score in seconds.
    delay: f64,
    /// Standard deviation of the timing in seconds.
    timing_deviation: f64,
}

impl Player {
    fn new(instrument: Instrument, pan: f64, gain: f64, random: &mut Random) -> Self {
        let spread = if instrument.holds() { random.range(0.4, 0.9) } else { 0.0 };
        Self {
            instrument,
            position: Position { pan: if spread > 0.0 { 0.0 } else { pan }, depth: random.range(0.1, 0.4) },
            gain,
            spread,
            delay: random.range(-0.003, 0.008),
            timing_deviation: random.range(0.001, 0.006),
        }
    }

    /// Plays one note, `late` seconds after its beat. Returns its first sample's index and its sound.
    fn play(&self, stage: &mut Stage, note: &Note, late: f64, random: &mut Random) -> (usize, Vec<f32>) {
        let starts = stage.score.seconds(note.beat);
        let gate = (stage.score.seconds(note.beat + note.beats) - starts).max(0.05);
        let at = (starts + late + self.delay + self.timing_deviation * random.normal()).max(0.0);
        let start = (at * stage.rate) as usize;
        let velocity = (note.velocity * (1.0 + 0.1 * random.normal())).clamp(0.1, 1.0);
        let strike = |random: &mut Random| {
            self.instrument.play(hertz_from_midi(f64::from(note.pitch)), gate, velocity, stage.rate, random)
        };
        let sound = strike(random);
        if self.spread > 0.0 {
            let other = strike(random);
            for (sound, pan) in [(&sound, -self.spread), (&other, self.spread)] {
                stage.bus.add(start, sound, 0.7 * self.gain, Position { pan, ..self.position });
            }
        } else {
            stage.bus.add(start, &sound, self.gain, self.position);
        }
        (start, sound)
    }
}

/// The values that all instruments share.
struct Stage<'a> {
    score: &'a Score,
    rate: f64,
    bus: Bus,
}

/// A note of the score.
struct Note {
    beat: f64,
    /// Length in beats.
    beats: f64,
    /// MIDI pitch.
    pitch: i32,
    /// From 0 to 1.
    velocity: f64,
}

/// The strokes of a bar: beat, length in beats, and whether it is an upstroke.
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

/// Renders everything except drums, bass and voice.
pub(crate) fn render(score: &Score, rate: f64, frames: usize, random: &mut Random) -> Bus {
    let side = if random.chance(0.5) { 1.0 } else { -1.0 };
    let pan = side * random.range(0.2, 0.7);
    let comping = Player::new(Instrument::comping(random), pan, 0.5, random);
    let pad = Player::new(Instrument::sustained(random), 0.0, 0.28, random);
    let arpeggio = Player::new(Instrument::arpeggio(random), -pan, 0.42, random);
    let solo = Player::new(Instrument::melody(random), random.range(-0.3, 0.3), 0.45, random);
    let rhythms: &[Rhythm] = if score.beats_per_bar == 4 { &IN_FOUR } else { &IN_THREE };
    let (verse, chorus) = (random.pick(rhythms), random.pick(rhythms));
    let figure = Figure::draw(random);
    let motif = Motif::draw(score.beats_per_bar, random);
    let centre = 56 + random.below(8) as i32;
    let mut stage = Stage { score, rate, bus: Bus::new(frames) };
    let mut hand: Option<Vec<i32>> = None;
    for bar in &score.bars {
        let section: &Section = score.section(bar);
        let rhythm = if section.kind == Kind::Chorus { chorus } else { verse };
        for (n, (enters, chord)) in bar.chords.iter().enumerate() {
            let leaves = bar.chords.get(n + 1).map_or(score.beats_per_bar as f64, |next| next.0);
            let voicing = lead(chord, hand.as_deref(), centre);
            let span = (bar.start + enters, bar.start + leaves);
            if section.comping {
                comp(&comping, &mut stage, bar, rhythm, span, &voicing, random);
            }
            if section.pad {
                for &pitch in &voicing {
                    let note = Note { beat: span.0, beats: span.1 - span.0, pitch, velocity: 0.6 };
                    pad.play(&mut stage, &note, 0.0, random);
                }
            }
            if section.arpeggio {
                figure.play(&arpeggio, &mut stage, span, &voicing, random);
            }
            hand = Some(voicing);
        }
        if section.lead {
            motif.play(&solo, &mut stage, bar, random);
        }
    }
    stage.bus
}

/// Plays a chord in rhythm between the two beats of `span`. Strings are strummed.
fn comp(
    player: &Player,
    stage: &mut Stage,
    bar: &Bar,
    rhythm: Rhythm,
    span: (f64, f64),
    voicing: &[i32],
    random: &mut Random,
) {
    let strummed = matches!(player.instrument, Instrument::String { .. });
    let apart = if strummed { random.range(0.006, 0.02) } else { 0.001 };
    for &(enters, beats, up) in rhythm {
        let beat = bar.start + enters;
        // A chord that enters during a long stroke gets a stroke at its beat.
        let (beat, end) = (beat.max(span.0), (beat + beats).min(span.1));
        if end - beat < 0.2 {
            continue;
        }
        let accent = if (beat - bar.start) % 2.0 == 0.0 { 0.85 } else { 0.65 };
        for (k, &pitch) in voicing.iter().enumerate() {
            let order = if up { voicing.len() - 1 - k } else { k };
            let velocity = if up { 0.8 * accent } else { accent };
            let note = Note { beat, beats: end - beat, pitch, velocity };
            player.play(stage, &note, apart * order as f64, random);
        }
    }
}

/// The pattern of an arpeggio.
struct Figure {
    /// Beats between notes.
    step: f64,
    /// Indices into the chord. Indices beyond its end continue in the octaves above.
    order: Vec<usize>,
    /// Delay in beats of an echo on the opposite side.
    echo: Option<f64>,
}

impl Figure {
    fn draw(random: &mut Random) -> Self {
        let order: &[usize] = random.pick(&[
            &[0usize, 1, 2, 3][..],
            &[0, 1, 2, 3, 4, 3, 2, 1],
            &[0, 2, 1, 2],
            &[4, 3, 2, 1, 0, 1, 2, 3],
            &[0, 2, 4, 3, 2, 4, 1, 3],
        ]);
        let step = random.pick(&[0.25, 0.5, 0.5]);
        Self { step, order: order.to_vec(), echo: random.chance(0.5).then_some(0.75) }
    }

    fn play(
        &self,
        player: &Player,
        stage: &mut Stage,
        span: (f64, f64),
        voicing: &[i32],
        random: &mut Random,
    ) {
        let steps = ((span.1 - span.0) / self.step) as usize;
        for k in 0..steps {
            let index = self.order[k % self.order.len()];
            let pitch = voicing[index % voicing.len()] + 12 * (index / voicing.len()) as i32 + 12;
            let velocity = if k % 4 == 0 { 0.8 } else { 0.6 };
            let beat = span.0 + k as f64 * self.step;
            let note = Note { beat, beats: 1.5 * self.step, pitch, velocity };
            let (start, sound) = player.play(stage, &note, 0.0, random);
            if let Some(beats) = self.echo {
                let later = (beats * 60.0 / stage.score.tempo * stage.rate) as usize;
                let across = Position { pan: -player.position.pan, ..player.position };
                stage.bus.add(start + later, &sound, 0.35 * player.gain, across);
            }
        }
    }
}

/// A melody over two bars: for each note its beat, its length in beats, and its scale steps from a chord note.
struct Motif {
    notes: [Vec<(f64, f64, i32)>; 2],
    centre: i32,
}

impl Motif {
    fn draw(beats_per_bar: usize, random: &mut Random) -> Self {
        let mut step = 0;
        let notes = [(); 2].map(|()| {
            let mut notes = Vec::new();
            let mut beat = if random.chance(0.3) { 0.5 } else { 0.0 };
            while beat < beats_per_bar as f64 {
                let beats = random.pick(&[0.5, 0.5, 1.0, 1.0, 1.5, 2.0f64]).min(beats_per_bar as f64 - beat);
                if random.chance(0.85) {
                    notes.push((beat, beats, step));
                }
                step = (step + random.below(5) as i32 - 2).clamp(-4, 5);
                beat += beats;
            }
            notes
        });
        Self { notes, centre: 70 + random.below(8) as i32 }
    }

    fn play(&self, player: &Player, stage: &mut Stage, bar: &Bar, random: &mut Random) {
        for &(enters, beats, step) in &self.notes[bar.since % 2] {
            let beat = bar.start + enters;
            let chord = stage.score.chord(beat);
            let key = &stage.score.key;
            let free = key.pitch(key.degree(chord.nearest(self.centre)) + step);
            // Long notes and notes on the beat are chord notes.
            let pitch = if beats >= 1.0 || enters.fract() == 0.0 { chord.nearest(free) } else { free };
            let note = Note { beat, beats: 0.9 * beats, pitch, velocity: 0.8 };
            player.play(stage, &note, 0.0, random);
        }
    }
}
