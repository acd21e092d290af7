//! The sounds of a drum kit. Its parameters are drawn at random for each song.

use unbraid_effects::filter::{Filter, one_pole};
use unbraid_effects::math::{sin_turns, soft_clip};
use unbraid_effects::random::Random;
use unbraid_effects::room::Position;

use crate::dsp::{Mode, fade_edges, render_modes};

/// The instruments of the kit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drum {
    Kick,
    Snare,
    /// A stroke on the snare's rim.
    Rim,
    Clap,
    /// The closed hi-hat.
    Closed,
    /// The open hi-hat.
    Open,
    Shaker,
    Ride,
    Crash,
    /// 0 is the high tom, 2 the floor tom.
    Tom(u8),
}

/// The parameters of one kit.
pub(crate) struct Kit {
    rate: f64,
    kick: Membrane,
    kick_click: f64,
    kick_drive: f32,
    snare: Membrane,
    snare_wires: f64,
    wire_seconds: f64,
    wire_hertz: f64,
    tom: Membrane,
    /// Inharmonic partials of the hi-hat, in Hz.
    hat: Vec<f64>,
    /// Inharmonic partials of the ride and the crash, in Hz.
    cymbal: Vec<f64>,
    hat_hertz: f64,
    hat_seconds: f64,
    crash_seconds: f64,
    /// 1 or −1: panning from the drummer's or from the audience's perspective.
    side: f64,
    /// Factor on the gain of the reverberation send.
    depth: f64,
}

/// A membrane: a decaying sine whose pitch falls after the stroke.
#[derive(Clone)]
struct Membrane {
    hertz: f64,
    /// The frequency at the stroke is `1 + bend` times `hertz`.
    bend: f64,
    /// Time constant of the pitch's fall in seconds.
    bend_seconds: f64,
    /// Time constant of the decay in seconds.
    seconds: f64,
}

impl Membrane {
    fn strike(&self, pitch: f64, velocity: f64, out: &mut [f32], rate: f64) {
        let (bend_pole, level_pole) = (one_pole(self.bend_seconds, rate), one_pole(self.seconds, rate));
        let mut bend = (self.bend * (0.6 + 0.4 * velocity)) as f32;
        let (mut level, mut phase) = (1.0f32, 0.0f64);
        for slot in out {
            *slot += level * sin_turns(phase) as f32;
            phase += self.hertz * pitch * f64::from(1.0 + bend) / rate;
            bend *= bend_pole;
            level *= level_pole;
        }
    }
}

impl Kit {
    pub(crate) fn draw(rate: f64, random: &mut Random) -> Self {
        // From an acoustic kit (0) to a drum machine (1).
        let machine = if random.chance(0.4) { random.range(0.6, 1.0) } else { random.range(0.0, 0.4) };
        let mut partials = |low: f64, octaves: f64, count: usize| -> Vec<f64> {
            (0..count).map(|_| low * libm::exp2(octaves * random.uniform())).collect()
        };
        let (hat, cymbal) = (partials(3200.0, 2.0, 9), partials(380.0, 5.0, 26));
        Self {
            rate,
            kick: Membrane {
                hertz: random.range(42.0, 62.0),
                bend: random.range(1.5, 3.5) + 2.5 * machine,
                bend_seconds: random.range(0.012, 0.035),
                seconds: random.range(0.08, 0.16) + machine * random.range(0.0, 0.2),
            },
            kick_click: random.range(0.15, 0.5) * (1.0 - 0.5 * machine),
            kick_drive: random.range(1.0, 2.2) as f32,
            snare: Membrane {
                hertz: random.range(165.0, 235.0),
                bend: random.range(0.3, 0.9),
                bend_seconds: random.range(0.006, 0.015),
                seconds: random.range(0.035, 0.09),
            },
            snare_wires: random.range(0.7, 1.4),
            wire_seconds: random.range(0.045, 0.11),
            wire_hertz: random.range(2200.0, 4800.0),
            tom: Membrane {
                hertz: random.range(82.0, 105.0),
                bend: random.range(0.3, 0.8) + machine,
                bend_seconds: random.range(0.03, 0.07),
                seconds: random.range(0.12, 0.25),
            },
            hat,
            cymbal,
            hat_hertz: random.range(5500.0, 8000.0),
            hat_seconds: random.range(0.018, 0.045),
            crash_seconds: random.range(0.5, 0.9),
            side: if random.chance(0.5) { 1.0 } else { -1.0 },
            depth: random.range(0.6, 1.2) * (1.0 - 0.5 * machine),
        }
    }

    /// Renders one stroke. A higher `velocity`, from 0 to 1, makes it louder and brighter.
    pub(crate) fn strike(&self, drum: Drum, velocity: f64, random: &mut Random) -> Vec<f32> {
        let rate = self.rate;
        let silence = |seconds: f64| vec![0.0f32; (seconds * rate) as usize];
        let mut sound = match drum {
            Drum::Kick => {
                let mut sound = silence(6.0 * self.kick.seconds);
                self.kick.strike(1.0, velocity, &mut sound, rate);
                let click = self.kick_click * (0.4 + velocity);
                self.noise(&mut sound, NoiseBand::Low(3500.0 + 3000.0 * velocity), click, 0.004, random);
                let drive = self.kick_drive;
                sound.iter_mut().for_each(|x| *x = soft_clip(drive * *x) / soft_clip(drive));
                sound
            }
            Drum::Snare => {
                let mut sound = silence(0.4);
                self.snare.strike(1.0, velocity, &mut sound, rate);
                self.snare.strike(1.62, velocity, &mut sound, rate);
                sound.iter_mut().for_each(|x| *x *= 0.5);
                let wires = self.snare_wires * (0.5 + 0.5 * velocity);
                let bright = self.wire_hertz * (0.7 + 0.5 * velocity);
                self.noise(&mut sound, NoiseBand::Band(bright), 1.5 * wires, self.wire_seconds, random);
                self.noise(&mut sound, NoiseBand::High(5000.0), 0.3 * wires, 0.6 * self.wire_seconds, random);
                sound
            }
            Drum::Rim => {
                let mut sound = silence(0.12);
                let mode = |hertz: f64, gain| Mode { hertz, gain, tau: 0.012 };
                render_modes(&mut sound, &[mode(480.0, 0.5), mode(1710.0, 0.7), mode(2650.0, 0.3)], rate);
                self.noise(&mut sound, NoiseBand::High(2500.0), 0.25, 0.004, random);
                sound
            }
            Drum::Clap => {
                let mut sound = silence(0.35);
                // Four bursts of noise in quick succession.
                for hand in 0..4 {
                    let at = (f64::from(hand) * random.range(0.008, 0.012) * rate) as usize;
                    let seconds = if hand == 3 { 0.06 } else { 0.006 };
                    self.noise(&mut sound[at..], NoiseBand::Band(1300.0), 1.6, seconds, random);
                }
                sound
            }
            Drum::Closed => {
                let seconds = self.hat_seconds * (0.6 + 0.8 * velocity);
                let mut sound = silence(7.0 * seconds);
                self.cymbal(&mut sound, &self.hat, self.hat_hertz, seconds, random);
                sound
            }
            Drum::Open => {
                let mut sound = silence(0.9);
                self.cymbal(&mut sound, &self.hat, 0.85 * self.hat_hertz, 0.16, random);
                sound
            }
            Drum::Shaker => {
                let mut sound = silence(0.12);
                self.noise(&mut sound, NoiseBand::Band(6500.0), 0.8, 0.03, random);
                fade_edges(&mut sound, 0.02, 0.02, rate);
                sound
            }
            Drum::Ride => {
                let mut sound = silence(1.2);
                self.cymbal(&mut sound, &self.cymbal[10..], 3500.0, 0.22, random);
                let bell = |k: usize, gain| Mode { hertz: 1.4 * self.cymbal[k] + 900.0, gain, tau: 0.2 };
                render_modes(&mut sound, &[bell(3, 0.12), bell(4, 0.1)], rate);
                sound
            }
            Drum::Crash => {
                let mut sound = silence(4.0 * self.crash_seconds);
                self.cymbal(&mut sound, &self.cymbal, 1800.0, self.crash_seconds, random);
                sound
            }
            Drum::Tom(which) => {
                let mut sound = silence(0.8);
                let pitch = [1.75, 1.35, 1.0][usize::from(which.min(2))];
                self.tom.strike(pitch, velocity, &mut sound, rate);
                self.noise(&mut sound, NoiseBand::Band(900.0), 0.35 * velocity, 0.015, random);
                sound
            }
        };
        fade_edges(&mut sound, 0.0004, 0.01, rate);
        // Ghost notes and accents differ by about 30 dB.
        let gain = level(drum) * (0.03 + 0.97 * velocity * velocity) as f32;
        sound.iter_mut().for_each(|x| *x *= gain);
        sound
    }

    /// The position of a drum in the stereo image.
    pub(crate) fn position(&self, drum: Drum) -> Position {
        let (pan, depth) = match drum {
            Drum::Kick => (0.0, 0.04),
            Drum::Snare | Drum::Rim => (0.05, 0.2),
            Drum::Clap => (0.0, 0.35),
            Drum::Closed | Drum::Open => (0.4, 0.1),
            Drum::Shaker => (-0.5, 0.15),
            Drum::Ride => (-0.45, 0.12),
            Drum::Crash => (-0.35, 0.25),
            Drum::Tom(which) => (0.4 - 0.4 * f64::from(which), 0.25),
        };
        Position { pan: self.side * pan, depth: self.depth * depth }
    }

    /// Adds a burst of filtered noise that decays with the time constant `seconds`.
    fn noise(&self, out: &mut [f32], band: NoiseBand, gain: f64, seconds: f64, random: &mut Random) {
        let fall = one_pole(seconds, self.rate);
        let (hertz, q) = match band {
            NoiseBand::Low(hertz) | NoiseBand::High(hertz) => (hertz, 0.7),
            NoiseBand::Band(hertz) => (hertz, 0.9),
        };
        let mut filter = Filter::new(hertz, q, self.rate);
        let mut level = gain as f32;
        let end = ((9.0 * seconds * self.rate) as usize).min(out.len());
        for slot in &mut out[..end] {
            let x = level * random.noise();
            *slot += match band {
                NoiseBand::Low(_) => filter.low(x),
                NoiseBand::Band(_) => filter.band(x),
                NoiseBand::High(_) => filter.high(x),
            };
            level *= fall;
        }
    }

    /// Adds a cymbal: many inharmonic partials and high-pass filtered noise.
    fn cymbal(&self, out: &mut [f32], partials: &[f64], hertz: f64, seconds: f64, random: &mut Random) {
        let modes: Vec<Mode> = partials
            .iter()
            .map(|&hertz| Mode {
                hertz,
                gain: random.range(0.5, 1.0) * 0.9 / partials.len() as f64,
                tau: seconds * random.range(0.5, 1.1),
            })
            .collect();
        render_modes(out, &modes, self.rate);
        self.noise(out, NoiseBand::High(hertz), 0.75, 0.3 * seconds, random);
        self.noise(out, NoiseBand::High(1.2 * hertz), 0.4, seconds, random);
    }
}

/// A filter for noise, with its frequency in Hz.
#[derive(Clone, Copy)]
enum NoiseBand {
    Low(f64),
    Band(f64),
    High(f64),
}

/// The relative levels of the drums.
fn level(drum: Drum) -> f32 {
    match drum {
        Drum::Kick => 0.85,
        Drum::Snare => 0.95,
        Drum::Rim => 0.6,
        Drum::Clap => 0.7,
        Drum::Closed | Drum::Open => 0.36,
        Drum::Shaker => 0.25,
        Drum::Ride => 0.34,
        Drum::Crash => 0.42,
        Drum::Tom(_) => 0.8,
    }
}
