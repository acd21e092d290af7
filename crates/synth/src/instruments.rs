//! The instruments of the "other" stem.

use unbraid_effects::filter::Filter;
use unbraid_effects::math::{sin_turns, soft_clip};
use unbraid_effects::random::Random;

use crate::dsp::{Envelope, Mode, Oscillator, Pluck, fade_edges, pluck, render_modes};

/// An instrument and its parameters.
#[derive(Debug)]
pub(crate) enum Instrument {
    /// Guitar, harp or clavinet: a plucked string and a body resonance.
    String { brightness: f64, position: f64, decay: f64, body: f64 },
    /// Modal synthesis of stiff strings that a hammer excites.
    Piano { hammer: f64, decay: f64, stiffness: f64 },
    /// Modal synthesis of tines: a few harmonics and a short, high partial.
    ElectricPiano { ping: f64, harmonics: f64, decay: f64 },
    /// Modal synthesis of bars, from marimba to vibraphone.
    Mallets { second: f64, decay: f64 },
    /// Additive synthesis with drawbars for the harmonics ½, 1, 1½, 2, 3, 4, 5, 6, 8.
    Organ { drawbars: [f64; 9], tremolo: f64 },
    /// Detuned sawtooths and a low-pass filter with a slow LFO.
    Pad { cutoff: f64, detune: f64, attack: f64, q: f64 },
    /// A string section: detuned sawtooths with vibrato and two body resonances.
    Strings { brightness: f64, attack: f64, vibrato: f64 },
    /// A synthesiser with a fast decaying filter envelope.
    Snap { width: Option<f64>, sweep: f64, fall: f64, q: f64 },
    /// A synthesiser with vibrato for melodies.
    Solo { width: Option<f64>, cutoff: f64, vibrato: f64 },
}

const DRAWBARS: [f64; 9] = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];

impl Instrument {
    /// Draws an instrument for rhythmic chords.
    pub(crate) fn comping(random: &mut Random) -> Self {
        match random.below(5) {
            0 | 1 => Self::String {
                brightness: random.range(0.4, 0.95),
                position: random.range(0.08, 0.25),
                decay: random.range(1.5, 4.5),
                body: random.range(150.0, 320.0),
            },
            2 => Self::piano(random),
            3 => Self::ElectricPiano {
                ping: random.range(0.05, 0.35),
                harmonics: random.range(0.1, 0.6),
                decay: random.range(0.7, 1.6),
            },
            _ => Self::organ(random),
        }
    }

    /// Draws an instrument for sustained chords.
    pub(crate) fn sustained(random: &mut Random) -> Self {
        match random.below(4) {
            0 | 1 => Self::Pad {
                cutoff: random.range(500.0, 2500.0),
                detune: random.range(0.002, 0.008),
                attack: random.range(0.05, 0.5),
                q: random.range(0.6, 1.5),
            },
            2 => Self::Strings {
                brightness: random.range(1500.0, 5000.0),
                attack: random.range(0.06, 0.3),
                vibrato: random.range(0.001, 0.004),
            },
            _ => Self::organ(random),
        }
    }

    /// Draws an instrument for arpeggios.
    pub(crate) fn arpeggio(random: &mut Random) -> Self {
        match random.below(4) {
            0 => Self::Mallets { second: random.pick(&[3.93, 4.0, 2.76]), decay: random.range(0.15, 0.8) },
            1 => Self::String {
                brightness: random.range(0.5, 0.9),
                position: random.range(0.1, 0.4),
                decay: random.range(1.0, 3.0),
                body: random.range(180.0, 400.0),
            },
            2 => Self::piano(random),
            _ => Self::Snap {
                width: random.chance(0.6).then(|| random.range(0.1, 0.5)),
                sweep: random.range(2.0, 4.5),
                fall: random.range(0.05, 0.2),
                q: random.range(0.8, 4.0),
            },
        }
    }

    /// Draws an instrument for melodies.
    pub(crate) fn melody(random: &mut Random) -> Self {
        if random.chance(0.6) {
            Self::Solo {
                width: random.chance(0.5).then(|| random.range(0.2, 0.5)),
                cutoff: random.range(900.0, 3500.0),
                vibrato: random.range(0.001, 0.006),
            }
        } else {
            Self::arpeggio(random)
        }
    }

    fn piano(random: &mut Random) -> Self {
        Self::Piano {
            hammer: random.range(0.08, 0.14),
            decay: random.range(0.7, 1.6),
            stiffness: random.range(5e-5, 3e-4),
        }
    }

    fn organ(random: &mut Random) -> Self {
        let mut drawbars = [0.0; 9];
        for (k, bar) in drawbars.iter_mut().enumerate() {
            *bar = if random.chance(0.6) { random.uniform() / (1.0 + 0.25 * k as f64) } else { 0.0 };
        }
        drawbars[1] = 1.0;
        Self::Organ { drawbars, tremolo: random.pick(&[0.0, 0.8, 6.2]) }
    }

    /// Whether notes sustain as long as they are held.
    pub(crate) fn holds(&self) -> bool {
        matches!(self, Self::Organ { .. } | Self::Pad { .. } | Self::Strings { .. } | Self::Solo { .. })
    }

    /// Renders one note of `gate` seconds. `velocity` is from 0 to 1. The peak is about ±1 at full velocity.
    pub(crate) fn play(
        &self,
        hertz: f64,
        gate: f64,
        velocity: f64,
        rate: f64,
        random: &mut Random,
    ) -> Vec<f32> {
        let loud = (0.25 + 0.75 * velocity) as f32;
        let mut sound = match *self {
            Self::String { brightness, position, decay, body } => {
                let brightness = (brightness * (0.6 + 0.5 * velocity)).min(0.95);
                let string = Pluck { hertz, decay, brightness, position };
                let mut sound = pluck(&string, ((gate + 0.12) * rate) as usize, rate, random);
                let mut wood = Filter::new(body, 2.0, rate);
                sound.iter_mut().for_each(|x| *x += 0.6 * wood.band(*x));
                fade_edges(&mut sound, 0.001, 0.1, rate);
                sound
            }
            Self::Piano { hammer, decay, stiffness } => {
                let mut sound = vec![0.0; ((gate + 0.15) * rate) as usize];
                let mut modes: Vec<Mode> = (1..=14)
                    .map(|n| {
                        let n = f64::from(n);
                        let dull = libm::exp(-n * (0.45 - 0.3 * velocity) * (hertz / 260.0).max(0.5));
                        Mode {
                            hertz: n * hertz * (1.0 + stiffness * n * n).sqrt(),
                            gain: dull * sin_turns(0.5 * n * hammer).abs(),
                            tau: decay * (220.0 / hertz).sqrt() / (1.0 + 0.35 * n),
                        }
                    })
                    .collect();
                let total: f64 = modes.iter().map(|m| m.gain).sum();
                modes.iter_mut().for_each(|m| m.gain *= 1.3 / total);
                render_modes(&mut sound, &modes, rate);
                fade_edges(&mut sound, 0.002, 0.12, rate);
                sound
            }
            Self::ElectricPiano { ping, harmonics, decay } => {
                let mut sound = vec![0.0; ((gate + 0.12) * rate) as usize];
                let mode = |n: f64, gain: f64, tau: f64| Mode { hertz: n * hertz, gain, tau };
                let harmonics = harmonics * velocity;
                let modes = [
                    mode(1.0, 0.8, decay),
                    mode(2.0, 0.5 * harmonics, 0.6 * decay),
                    mode(3.0, 0.35 * harmonics, 0.35 * decay),
                    mode(7.03, ping * velocity, 0.06),
                ];
                render_modes(&mut sound, &modes, rate);
                fade_edges(&mut sound, 0.002, 0.1, rate);
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
                render_modes(&mut sound, &modes, rate);
                fade_edges(&mut sound, 0.001, 0.2, rate);
                sound
            }
            Self::Organ { drawbars, tremolo } => {
                let envelope = Envelope { attack: 0.012, decay: 1.0, sustain: 1.0, release: 0.05 };
                let mut sound = vec![0.0; envelope.samples(gate, rate)];
                let total: f64 = drawbars.iter().sum();
                let modes: Vec<Mode> = DRAWBARS
                    .iter()
                    .zip(drawbars)
                    .filter(|(_, bar)| *bar > 0.0)
                    // This decay is negligible within a note.
                    .map(|(n, bar)| Mode { hertz: n * hertz, gain: bar / total, tau: 1e4 })
                    .collect();
                render_modes(&mut sound, &modes, rate);
                let mut phase = random.uniform();
                for (x, level) in sound.iter_mut().zip(envelope.levels(gate, rate)) {
                    phase += tremolo / rate;
                    *x *= level * (1.0 + 0.25 * sin_turns(phase)) as f32;
                }
                sound
            }
            Self::Pad { cutoff, detune, attack, q } => {
                let envelope = Envelope { attack, decay: 1.0, sustain: 0.8, release: 0.35 };
                let saws = Oscillators { count: 2, detune, width: None, vibrato: 0.0 };
                saws.filtered(hertz, gate, &envelope, q, rate, random, |t| {
                    cutoff * libm::exp2(0.8 * velocity + 0.7 * sin_turns(0.11 * t))
                })
            }
            Self::Strings { brightness, attack, vibrato } => {
                let envelope = Envelope { attack, decay: 1.0, sustain: 0.9, release: 0.25 };
                let saws = Oscillators { count: 3, detune: 0.003, width: None, vibrato };
                let mut sound = saws.filtered(hertz, gate, &envelope, 0.7, rate, random, |t| {
                    brightness * (0.5 + 0.5 * velocity) * (1.0 - 0.5 * libm::exp(-t / attack))
                });
                let (mut low, mut high) = (Filter::new(480.0, 1.5, rate), Filter::new(2600.0, 2.0, rate));
                sound.iter_mut().for_each(|x| *x = 0.4 * *x + 0.5 * low.band(*x) + 0.5 * high.band(*x));
                sound
            }
            Self::Snap { width, sweep, fall, q } => {
                let envelope = Envelope { attack: 0.002, decay: 3.0 * fall, sustain: 0.0, release: 0.08 };
                let pair = Oscillators { count: 2, detune: 0.003, width, vibrato: 0.0 };
                pair.filtered(hertz, gate.min(15.0 * fall), &envelope, q, rate, random, |t| {
                    1.2 * hertz * libm::exp2(sweep * velocity * libm::exp(-t / fall))
                })
            }
            Self::Solo { width, cutoff, vibrato } => {
                let envelope = Envelope { attack: 0.015, decay: 0.3, sustain: 0.75, release: 0.09 };
                let one = Oscillators { count: 1, detune: 0.0, width, vibrato };
                one.filtered(hertz, gate, &envelope, 1.2, rate, random, |t| {
                    hertz + cutoff * (0.5 + velocity) * (0.6 + 0.4 * libm::exp(-3.0 * t))
                })
            }
        };
        sound.iter_mut().for_each(|x| *x *= loud);
        sound
    }
}

/// Detuned oscillators.
struct Oscillators {
    count: usize,
    /// Maximum detuning, relative to the frequency.
    detune: f64,
    /// The duty cycle of pulses. `None` for sawtooths.
    width: Option<f64>,
    /// Depth of the vibrato, relative to the frequency.
    vibrato: f64,
}

impl Oscillators {
    /// Renders a note through a low-pass filter. `cutoff` maps a time in seconds to the filter's frequency in Hz.
    #[expect(
        clippy::too_many_arguments,
        reason = "a private function with one argument for each property of the note"
    )]
    fn filtered(
        &self,
        hertz: f64,
        gate: f64,
        envelope: &Envelope,
        q: f64,
        rate: f64,
        random: &mut Random,
        cutoff: impl Fn(f64) -> f64,
    ) -> Vec<f32> {
        const CONTROL: usize = 32;
        let mut oscillators: Vec<(Oscillator, f64)> = (0..self.count)
            .map(|_| {
                (Oscillator::new(random.uniform(), self.width), 1.0 + self.detune * random.range(-1.0, 1.0))
            })
            .collect();
        let mut filter = Filter::new(cutoff(0.0), q, rate);
        let (speed, begins) = (random.range(4.8, 6.0), 0.25);
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
        let mut random = Random::new(12, 0, 0);
        let rate = 44_100.0;
        for _ in 0..12 {
            let draws = [
                Instrument::comping(&mut random),
                Instrument::sustained(&mut random),
                Instrument::arpeggio(&mut random),
                Instrument::melody(&mut random),
            ];
            for instrument in draws {
                // A high string decays too fast for a longer measurement.
                for hertz in [146.8, 440.0] {
                    let sound = instrument.play(hertz, 0.7, 0.8, rate, &mut random);
                    assert!(sound.iter().all(|x| x.is_finite() && x.abs() < 2.5));
                    assert!(sound.last().expect("a note has samples").abs() < 2e-3);
                    let peak = sound.iter().fold(0.0f32, |p, x| p.max(x.abs()));
                    assert!(peak > 0.1, "too soft: {peak}");
                    // An organ may sound an octave lower.
                    if !matches!(instrument, Instrument::Organ { .. }) {
                        let found = pitch_of(&sound[2000..10_000], rate, 0.75 * hertz, 1.4 * hertz);
                        assert!(
                            (found / hertz - 1.0).abs() < 0.012,
                            "{instrument:?} at {hertz} Hz sounds at {found} Hz"
                        );
                    }
                }
            }
        }
    }
}
