//! The instruments of the "other" stem: struck, plucked and sustained.

use crate::dsp::{Envelope, Filter, Mode, Oscillator, Pluck, pluck, ring, taper};
use crate::math::{Dice, exp, exp2, sin_turns, soft_clip};

/// An instrument with what varies between two of its kind.
#[derive(Debug)]
pub(crate) enum Instrument {
    /// Guitar, harp, clavinet: a plucked string with a resonant body.
    String { brightness: f64, position: f64, decay: f64, body: f64 },
    /// Stiff strings under hammers.
    Piano { hammer: f64, decay: f64, stiffness: f64 },
    /// Tines: a round tone and a short, high ping.
    ElectricPiano { ping: f64, bark: f64, decay: f64 },
    /// Bars: marimba to vibraphone.
    Mallets { second: f64, decay: f64 },
    /// Drawbars on the harmonics ½, 1, 1½, 2, 3, 4, 5, 6, 8 of the note.
    Organ { drawbars: [f64; 9], whirl: f64 },
    /// Detuned sawtooths behind a slow filter.
    Pad { cutoff: f64, detune: f64, attack: f64, q: f64 },
    /// A section of bowed strings.
    Strings { brightness: f64, attack: f64, vibrato: f64 },
    /// A synthesiser whose filter snaps shut.
    Snap { width: Option<f64>, sweep: f64, fall: f64, q: f64 },
    /// A singing synthesiser for melodies.
    Solo { width: Option<f64>, cutoff: f64, vibrato: f64 },
}

const DRAWBARS: [f64; 9] = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];

impl Instrument {
    /// One that sounds chords in rhythm.
    pub(crate) fn comping(dice: &mut Dice) -> Self {
        match dice.below(5) {
            0 | 1 => Self::String {
                brightness: dice.range(0.4, 0.95),
                position: dice.range(0.08, 0.25),
                decay: dice.range(1.5, 4.5),
                body: dice.range(150.0, 320.0),
            },
            2 => Self::piano(dice),
            3 => Self::ElectricPiano {
                ping: dice.range(0.05, 0.35),
                bark: dice.range(0.1, 0.6),
                decay: dice.range(0.7, 1.6),
            },
            _ => Self::organ(dice),
        }
    }

    /// One that holds chords.
    pub(crate) fn sustained(dice: &mut Dice) -> Self {
        match dice.below(4) {
            0 | 1 => Self::Pad {
                cutoff: dice.range(500.0, 2500.0),
                detune: dice.range(0.002, 0.008),
                attack: dice.range(0.05, 0.5),
                q: dice.range(0.6, 1.5),
            },
            2 => Self::Strings {
                brightness: dice.range(1500.0, 5000.0),
                attack: dice.range(0.06, 0.3),
                vibrato: dice.range(0.001, 0.004),
            },
            _ => Self::organ(dice),
        }
    }

    /// One for quick single notes.
    pub(crate) fn arpeggio(dice: &mut Dice) -> Self {
        match dice.below(4) {
            0 => Self::Mallets { second: dice.pick(&[3.93, 4.0, 2.76]), decay: dice.range(0.15, 0.8) },
            1 => Self::String {
                brightness: dice.range(0.5, 0.9),
                position: dice.range(0.1, 0.4),
                decay: dice.range(1.0, 3.0),
                body: dice.range(180.0, 400.0),
            },
            2 => Self::piano(dice),
            _ => Self::Snap {
                width: dice.chance(0.6).then(|| dice.range(0.1, 0.5)),
                sweep: dice.range(2.0, 4.5),
                fall: dice.range(0.05, 0.2),
                q: dice.range(0.8, 4.0),
            },
        }
    }

    /// One for a melody.
    pub(crate) fn melody(dice: &mut Dice) -> Self {
        if dice.chance(0.6) {
            Self::Solo {
                width: dice.chance(0.5).then(|| dice.range(0.2, 0.5)),
                cutoff: dice.range(900.0, 3500.0),
                vibrato: dice.range(0.001, 0.006),
            }
        } else {
            Self::arpeggio(dice)
        }
    }

    fn piano(dice: &mut Dice) -> Self {
        Self::Piano {
            hammer: dice.range(0.08, 0.14),
            decay: dice.range(0.7, 1.6),
            stiffness: dice.range(5e-5, 3e-4),
        }
    }

    fn organ(dice: &mut Dice) -> Self {
        let mut drawbars = [0.0; 9];
        for (k, bar) in drawbars.iter_mut().enumerate() {
            *bar = if dice.chance(0.6) { dice.unit() / (1.0 + 0.25 * k as f64) } else { 0.0 };
        }
        drawbars[1] = 1.0;
        Self::Organ { drawbars, whirl: dice.pick(&[0.0, 0.8, 6.2]) }
    }

    /// Whether its notes last as long as they are held, rather than dying away.
    pub(crate) fn holds(&self) -> bool {
        matches!(self, Self::Organ { .. } | Self::Pad { .. } | Self::Strings { .. } | Self::Solo { .. })
    }

    /// One note: pitch in Hz, seconds held, velocity from 0 to 1. Peaks at about ±1 at full velocity.
    pub(crate) fn play(&self, hertz: f64, gate: f64, velocity: f64, rate: f64, dice: &mut Dice) -> Vec<f32> {
        let loud = (0.25 + 0.75 * velocity) as f32;
        let mut sound = match *self {
            Self::String { brightness, position, decay, body } => {
                let brightness = (brightness * (0.6 + 0.5 * velocity)).min(0.95);
                let string = Pluck { hertz, decay, brightness, position };
                let mut sound = pluck(&string, ((gate + 0.12) * rate) as usize, rate, dice);
                let mut wood = Filter::new(body, 2.0, rate);
                sound.iter_mut().for_each(|x| *x += 0.6 * wood.band(*x));
                taper(&mut sound, 0.001, 0.1, rate);
                sound
            }
            Self::Piano { hammer, decay, stiffness } => {
                let mut sound = vec![0.0; ((gate + 0.15) * rate) as usize];
                let mut modes: Vec<Mode> = (1..=14)
                    .map(|n| {
                        let n = f64::from(n);
                        let dull = exp(-n * (0.45 - 0.3 * velocity) * (hertz / 260.0).max(0.5));
                        Mode {
                            hertz: n * hertz * (1.0 + stiffness * n * n).sqrt(),
                            gain: dull * sin_turns(0.5 * n * hammer).abs(),
                            tau: decay * (220.0 / hertz).sqrt() / (1.0 + 0.35 * n),
                        }
                    })
                    .collect();
                let total: f64 = modes.iter().map(|m| m.gain).sum();
                modes.iter_mut().for_each(|m| m.gain *= 1.3 / total);
                ring(&mut sound, &modes, rate);
                taper(&mut sound, 0.002, 0.12, rate);
                sound
            }
            Self::ElectricPiano { ping, bark, decay } => {
                let mut sound = vec![0.0; ((gate + 0.12) * rate) as usize];
                let mode = |n: f64, gain: f64, tau: f64| Mode { hertz: n * hertz, gain, tau };
                let bark = bark * velocity;
                let modes = [
                    mode(1.0, 0.8, decay),
                    mode(2.0, 0.5 * bark, 0.6 * decay),
                    mode(3.0, 0.35 * bark, 0.35 * decay),
                    mode(7.03, ping * velocity, 0.06),
                ];
                ring(&mut sound, &modes, rate);
                taper(&mut sound, 0.002, 0.1, rate);
                sound
            }
            Self::Mallets { second, decay } => {
                let mut sound = vec![0.0; ((5.0 * decay).min(gate + 0.6) * rate) as usize];
                let mode = |n: f64, gain: f64, tau: f64| Mode { hertz: n * hertz, gain, tau };
                let modes = [
                    mode(1.0, 0.8, decay),
                    mode(second, 0.35 * velocity, 0.3 * decay),
                    mode(9.2, 0.15 * velocity, 0.03),
                ];
                ring(&mut sound, &modes, rate);
                taper(&mut sound, 0.001, 0.2, rate);
                sound
            }
            Self::Organ { drawbars, whirl } => {
                let envelope = Envelope { attack: 0.012, decay: 1.0, sustain: 1.0, release: 0.05 };
                let mut sound = vec![0.0; envelope.samples(gate, rate)];
                let total: f64 = drawbars.iter().sum();
                let modes: Vec<Mode> = DRAWBARS
                    .iter()
                    .zip(drawbars)
                    .filter(|(_, bar)| *bar > 0.0)
                    // So slow a decay is none within a note.
                    .map(|(n, bar)| Mode { hertz: n * hertz, gain: bar / total, tau: 1e4 })
                    .collect();
                ring(&mut sound, &modes, rate);
                let mut phase = dice.unit();
                for (x, level) in sound.iter_mut().zip(envelope.levels(gate, rate)) {
                    phase += whirl / rate;
                    *x *= level * (1.0 + 0.25 * sin_turns(phase)) as f32;
                }
                sound
            }
            Self::Pad { cutoff, detune, attack, q } => {
                let envelope = Envelope { attack, decay: 1.0, sustain: 0.8, release: 0.35 };
                let saws = Oscillators { count: 2, detune, width: None, vibrato: 0.0 };
                saws.filtered(hertz, gate, &envelope, q, rate, dice, |t| {
                    cutoff * exp2(0.8 * velocity + 0.7 * sin_turns(0.11 * t))
                })
            }
            Self::Strings { brightness, attack, vibrato } => {
                let envelope = Envelope { attack, decay: 1.0, sustain: 0.9, release: 0.25 };
                let saws = Oscillators { count: 3, detune: 0.003, width: None, vibrato };
                let mut sound = saws.filtered(hertz, gate, &envelope, 0.7, rate, dice, |t| {
                    brightness * (0.5 + 0.5 * velocity) * (1.0 - 0.5 * exp(-t / attack))
                });
                let (mut low, mut high) = (Filter::new(480.0, 1.5, rate), Filter::new(2600.0, 2.0, rate));
                sound.iter_mut().for_each(|x| *x = 0.4 * *x + 0.5 * low.band(*x) + 0.5 * high.band(*x));
                sound
            }
            Self::Snap { width, sweep, fall, q } => {
                let envelope = Envelope { attack: 0.002, decay: 3.0 * fall, sustain: 0.0, release: 0.08 };
                let pair = Oscillators { count: 2, detune: 0.003, width, vibrato: 0.0 };
                pair.filtered(hertz, gate.min(15.0 * fall), &envelope, q, rate, dice, |t| {
                    1.2 * hertz * exp2(sweep * velocity * exp(-t / fall))
                })
            }
            Self::Solo { width, cutoff, vibrato } => {
                let envelope = Envelope { attack: 0.015, decay: 0.3, sustain: 0.75, release: 0.09 };
                let one = Oscillators { count: 1, detune: 0.0, width, vibrato };
                one.filtered(hertz, gate, &envelope, 1.2, rate, dice, |t| {
                    hertz + cutoff * (0.5 + velocity) * (0.6 + 0.4 * exp(-3.0 * t))
                })
            }
        };
        sound.iter_mut().for_each(|x| *x *= loud);
        sound
    }
}

/// A few oscillators next to each other in pitch.
struct Oscillators {
    count: usize,
    /// How far apart they are, and how deep the vibrato is, as parts of the frequency.
    detune: f64,
    width: Option<f64>,
    vibrato: f64,
}

impl Oscillators {
    /// A note of them through one low-pass, whose cutoff in Hz is given for each moment in seconds.
    #[expect(clippy::too_many_arguments, reason = "a note, its sound and its surroundings, used in one file")]
    fn filtered(
        &self,
        hertz: f64,
        gate: f64,
        envelope: &Envelope,
        q: f64,
        rate: f64,
        dice: &mut Dice,
        cutoff: impl Fn(f64) -> f64,
    ) -> Vec<f32> {
        const CONTROL: usize = 32;
        let mut oscillators: Vec<(Oscillator, f64)> = (0..self.count)
            .map(|_| (Oscillator::new(dice.unit(), self.width), 1.0 + self.detune * dice.range(-1.0, 1.0)))
            .collect();
        let mut filter = Filter::new(cutoff(0.0), q, rate);
        let (speed, begins) = (dice.range(4.8, 6.0), 0.25);
        let mut turn = 0.0;
        let share = 0.7 / (self.count as f32).sqrt();
        envelope
            .levels(gate, rate)
            .take(envelope.samples(gate, rate))
            .enumerate()
            .map(|(n, level)| {
                if n % CONTROL == 0 {
                    let t = n as f64 / rate;
                    filter.tune(cutoff(t), q, rate);
                    let depth = self.vibrato * ((t - begins) / 0.3).clamp(0.0, 1.0);
                    turn = hertz * (1.0 + depth * sin_turns(speed * t)) / rate;
                }
                let sum: f32 = oscillators.iter_mut().map(|(o, apart)| o.next(turn * *apart)).sum();
                level * soft_clip(filter.low(share * sum))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::pitch_of;

    #[test]
    fn every_instrument_is_in_tune_finite_and_ends_quietly() {
        let mut dice = Dice::new(12, 0, 0);
        let rate = 44_100.0;
        for _ in 0..12 {
            let draws = [
                Instrument::comping(&mut dice),
                Instrument::sustained(&mut dice),
                Instrument::arpeggio(&mut dice),
                Instrument::melody(&mut dice),
            ];
            for instrument in draws {
                // A decaying high string falls too soon for a long look.
                for hertz in [146.8, 440.0] {
                    let sound = instrument.play(hertz, 0.7, 0.8, rate, &mut dice);
                    assert!(sound.iter().all(|x| x.is_finite() && x.abs() < 2.5));
                    assert!(sound.last().expect("a note has samples").abs() < 2e-3);
                    let peak = sound.iter().fold(0.0f32, |p, x| p.max(x.abs()));
                    assert!(peak > 0.1, "too soft: {peak}");
                    // An organ may speak an octave below.
                    if !matches!(instrument, Instrument::Organ { .. }) {
                        let found = pitch_of(&sound[2000..10_000], rate, 0.75 * hertz, 1.4 * hertz);
                        assert!(
                            (found / hertz - 1.0).abs() < 0.012,
                            "{instrument:?} at {hertz} Hz came out at {found} Hz"
                        );
                    }
                }
            }
        }
    }
}
