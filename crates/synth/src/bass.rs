//! The bass: a line under the chords, on a plucked string or a synthesiser.

use unbraid_effects::filter::{Filter, one_pole};
use unbraid_effects::math::{hertz_from_midi, sin_turns, soft_clip};
use unbraid_effects::random::Random;
use unbraid_effects::room::{Bus, Position};

use crate::composition::{Bar, Kind, Score};
use crate::dsp::{Envelope, Oscillator, Pluck, fade_edges, pluck};

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

/// The style of a bass line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Eighths,
    RootAndFifth,
    Octaves,
    Walking,
    Long,
    Syncopated,
}

/// The instrument and its parameters.
enum Sound {
    String {
        brightness: f64,
        position: f64,
        decay: f64,
        drive: f32,
    },
    /// A sine and its octave, as in electronic dance music.
    Sub {
        second: f64,
        drop: f64,
    },
    Synth {
        width: Option<f64>,
        detune: f64,
        cutoff: f64,
        sweep: f64,
        q: f64,
        fall: f64,
        sub: f32,
    },
}

/// Renders the bass.
pub(crate) fn render(score: &Score, rate: f64, frames: usize, random: &mut Random) -> Bus {
    let sound = match random.below(4) {
        0 => Sound::String {
            brightness: random.range(0.25, 0.5),
            position: random.range(0.08, 0.16),
            decay: random.range(3.0, 6.0),
            drive: random.range(1.0, 2.0) as f32,
        },
        1 => Sound::String {
            brightness: random.range(0.05, 0.22),
            position: random.range(0.2, 0.3),
            decay: random.range(2.0, 5.0),
            drive: random.range(0.5, 1.2) as f32,
        },
        2 => Sound::Sub { second: random.range(0.1, 0.5), drop: random.range(0.0, 0.6) },
        _ => Sound::Synth {
            width: random.chance(0.5).then(|| random.range(0.2, 0.5)),
            detune: random.range(1.0, 1.006),
            cutoff: random.range(90.0, 220.0),
            sweep: random.range(0.8, 2.6),
            q: random.range(0.7, 2.2),
            fall: random.range(0.06, 0.4),
            sub: random.range(0.0, 0.6) as f32,
        },
    };
    let lines =
        [Line::Eighths, Line::RootAndFifth, Line::Octaves, Line::Walking, Line::Long, Line::Syncopated];
    let (verse, chorus) = (random.pick(&lines), random.pick(&lines));
    let low = random.below(5) as i32 + 28;
    let mut bus = Bus::new(frames);
    let (delay, timing_deviation) = (random.range(-0.004, 0.008), random.range(0.001, 0.005));
    let legato = random.range(0.75, 1.0);
    let position = Position { pan: random.range(-0.08, 0.08), depth: random.range(0.0, 0.06) };
    let mut notes = Vec::new();
    for bar in score.bars.iter().filter(|bar| score.section(bar).bass) {
        let line = if score.section(bar).kind == Kind::Chorus { chorus } else { verse };
        play(score, bar, line, low, &mut notes, random);
    }
    for note in &notes {
        let at = (score.seconds(note.beat) + delay + timing_deviation * random.normal()).max(0.0);
        let gate = (score.seconds(note.beat + note.beats) - score.seconds(note.beat)) * legato;
        let velocity = (note.velocity * (1.0 + 0.08 * random.normal())).clamp(0.2, 1.0);
        let heard = sound.play(hertz_from_midi(f64::from(note.pitch)), gate, velocity, rate, random);
        bus.add((at * rate) as usize, &heard, 0.3 + 0.7 * velocity, position);
    }
    bus
}

/// Writes one bar of a line. The roots are in the octave from MIDI pitch `low` up.
fn play(score: &Score, bar: &Bar, line: Line, low: i32, notes: &mut Vec<Note>, random: &mut Random) {
    let eighths = 2 * score.beats_per_bar;
    let root_at = |beat: f64| low + (score.chord(beat).root() - low).rem_euclid(12);
    let above = |beat: f64, voice: usize| {
        let root = root_at(beat);
        root + (score.chord(beat).classes[voice] - root).rem_euclid(12)
    };
    let mut note = |eighth: f64, length: f64, pitch: i32, velocity: f64| {
        notes.push(Note { beat: bar.start + eighth / 2.0, beats: length / 2.0, pitch, velocity });
    };
    match line {
        Line::Eighths => {
            for k in 0..eighths {
                let beat = bar.start + k as f64 / 2.0;
                // The last eighth may lead to the next chord's root from a scale step below.
                let leads = k + 1 == eighths && root_at(beat) != root_at(beat + 0.5) && random.chance(0.7);
                let pitch = if leads {
                    score.key.pitch(score.key.degree(root_at(beat + 0.5)) - 1)
                } else {
                    root_at(beat)
                };
                note(k as f64, 0.9, pitch, if k % 2 == 0 { 0.9 } else { 0.7 });
            }
        }
        Line::RootAndFifth => {
            for k in (0..eighths).step_by(2) {
                let beat = bar.start + k as f64 / 2.0;
                let fifth = above(beat, 2);
                let fifth = if fifth > low + 14 { fifth - 12 } else { fifth };
                note(k as f64, 1.7, if k % 4 == 0 { root_at(beat) } else { fifth }, 0.85);
            }
        }
        Line::Octaves => {
            for k in 0..eighths {
                let beat = bar.start + k as f64 / 2.0;
                note(k as f64, 0.7, root_at(beat) + 12 * (k as i32 % 2), 0.9 - 0.1 * (k % 2) as f64);
            }
        }
        Line::Walking => {
            for k in 0..score.beats_per_bar {
                let beat = bar.start + k as f64;
                let next = root_at(beat + 1.0);
                let pitch = match k {
                    0 => root_at(beat),
                    _ if k + 1 == score.beats_per_bar => next + if random.chance(0.5) { 1 } else { -1 },
                    _ => above(beat, 1 + random.below(2)),
                };
                note(2.0 * k as f64, 1.9, pitch, 0.8);
            }
        }
        Line::Long => {
            for (n, (enters, _)) in bar.chords.iter().enumerate() {
                let leaves = bar.chords.get(n + 1).map_or(score.beats_per_bar as f64, |c| c.0);
                note(2.0 * enters, 2.0 * (leaves - enters), root_at(bar.start + enters), 0.85);
            }
        }
        Line::Syncopated => {
            let at: &[f64] =
                if eighths == 8 { &[0.0, 1.5, 3.0, 4.0, 5.5, 7.0] } else { &[0.0, 1.5, 3.0, 5.0] };
            for (n, &k) in at.iter().enumerate() {
                if n > 0 && random.chance(0.2) {
                    continue;
                }
                let beat = bar.start + k / 2.0;
                let pitch = if n % 3 == 2 && random.chance(0.5) { above(beat, 2) } else { root_at(beat) };
                let until = at.get(n + 1).map_or(eighths as f64, |next| *next);
                note(k, (until - k) * 0.85, pitch, if n == 0 { 0.95 } else { 0.75 });
            }
        }
    }
}

impl Sound {
    fn play(&self, hertz: f64, gate: f64, velocity: f64, rate: f64, random: &mut Random) -> Vec<f32> {
        match *self {
            Self::String { brightness, position, decay, drive } => {
                let brightness = (brightness * (0.6 + 0.5 * velocity)).min(0.95);
                let string = Pluck { hertz, decay, brightness, position };
                let samples = ((gate + 0.05) * rate) as usize;
                let mut sound = pluck(&string, samples, rate, random);
                // The pickup and the amplifier attenuate high frequencies.
                let mut body = Filter::new(250.0 + 1500.0 * brightness, 0.7, rate);
                sound.iter_mut().for_each(|x| *x = body.low(soft_clip(1.5 * drive * *x)));
                fade_edges(&mut sound, 0.002, 0.05, rate);
                sound
            }
            Self::Sub { second, drop } => {
                let envelope = Envelope { attack: 0.006, decay: 0.9, sustain: 0.55, release: 0.06 };
                let fall = one_pole(0.02, rate);
                let (mut phase, mut bend) = (0.0, drop as f32);
                envelope
                    .levels(gate, rate)
                    .take(envelope.samples(gate, rate))
                    .map(|level| {
                        phase += hertz * f64::from(1.0 + bend) / rate;
                        bend *= fall;
                        let sum = sin_turns(phase) + second * sin_turns(2.0 * phase);
                        level * soft_clip(1.2 * sum as f32)
                    })
                    .collect()
            }
            Self::Synth { width, detune, cutoff, sweep, q, fall, sub } => {
                let envelope = Envelope { attack: 0.004, decay: 0.5, sustain: 0.6, release: 0.05 };
                let mut one = Oscillator::new(random.uniform(), width);
                let mut two = Oscillator::new(random.uniform(), width);
                let mut filter = Filter::new(cutoff, q, rate);
                let close = one_pole(fall, rate);
                let (mut open, mut phase, step) = (1.0f32, 0.0, hertz / rate);
                envelope
                    .levels(gate, rate)
                    .take(envelope.samples(gate, rate))
                    .enumerate()
                    .map(|(n, level)| {
                        if n % 16 == 0 {
                            let octaves = sweep * velocity * f64::from(open);
                            filter.tune((cutoff + 0.5 * hertz) * libm::exp2(octaves), q, rate);
                        }
                        open *= close;
                        phase += step;
                        let raw = 0.5 * (one.next(step) + two.next(step * detune));
                        let low = filter.low(raw) + sub * sin_turns(phase) as f32;
                        level * soft_clip(low)
                    })
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::pitch_of;

    #[test]
    fn every_bass_is_in_tune_and_ends() {
        let mut random = Random::new(6, 0, 0);
        let sounds = [
            Sound::String { brightness: 0.7, position: 0.1, decay: 4.0, drive: 1.5 },
            Sound::Sub { second: 0.3, drop: 0.4 },
            Sound::Synth {
                width: Some(0.4),
                detune: 1.0,
                cutoff: 200.0,
                sweep: 2.0,
                q: 1.0,
                fall: 0.2,
                sub: 0.2,
            },
        ];
        for sound in sounds {
            for hz in [41.2, 65.4, 98.0] {
                let heard = sound.play(hz, 0.8, 0.8, 44_100.0, &mut random);
                let found = pitch_of(&heard[8000..24_000], 44_100.0, 0.7 * hz, 1.4 * hz);
                assert!((found / hz - 1.0).abs() < 0.01, "{hz} Hz sounds at {found} Hz");
                assert!(heard.last().expect("a note has samples").abs() < 1e-3, "a click at the end");
                assert!(heard.iter().all(|x| x.abs() < 2.0));
            }
        }
    }

    #[test]
    fn lines_stay_low_and_inside_the_bar() {
        let lines =
            [Line::Eighths, Line::RootAndFifth, Line::Octaves, Line::Walking, Line::Long, Line::Syncopated];
        for index in 0..20 {
            let mut random = Random::new(6, index, 2);
            let score = Score::write(20.0, &mut random);
            for line in lines {
                let mut notes = Vec::new();
                for bar in &score.bars {
                    play(&score, bar, line, 30, &mut notes, &mut random);
                    let roots = notes.iter().filter(|n| n.beat == bar.start);
                    assert!(roots.clone().count() == 1, "a bar begins with one note");
                    assert!(roots.clone().all(|n| n.pitch.rem_euclid(12) == bar.chords[0].1.root()));
                    let end = bar.start + score.beats_per_bar as f64 + 1e-9;
                    assert!(notes.iter().all(|n| n.beat + n.beats <= end && n.beats > 0.0));
                }
                assert!(notes.iter().all(|n| (27..60).contains(&n.pitch)));
            }
        }
    }
}
