//! Panning, early reflections and reverberation. All stems of a song share one room.

use unbraid_base::Stereo;

use crate::filter::{Filter, one_pole};
use crate::math::{cos_turns, sin_turns};
use crate::random::Random;

/// The mixing bus of one stem: its dry sound in stereo, and its mono send to the reverberation.
#[derive(Clone, Debug)]
pub struct Bus {
    /// The dry sound `[c][n]`.
    pub dry: Stereo,
    send: Vec<f32>,
}

/// The position of a sound source: `pan` from −1 (left) to 1 (right), and `depth`, the gain of the send (0 is dry).
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// From −1 (left) to 1 (right).
    pub pan: f64,
    /// Gain of the send.
    pub depth: f64,
}

impl Bus {
    /// A silent bus of `frames` samples.
    pub fn new(frames: usize) -> Self {
        Self { dry: [vec![0.0; frames], vec![0.0; frames]], send: vec![0.0; frames] }
    }

    /// A bus with a finished sound, whose mono sum enters the reverberation with the gain `send`.
    pub fn of(dry: Stereo, send: f64) -> Self {
        let gain = (0.5 * send) as f32;
        let send = dry[0].iter().zip(&dry[1]).map(|(l, r)| gain * (l + r)).collect();
        Self { dry, send }
    }

    /// Samples per channel.
    pub fn frames(&self) -> usize {
        self.send.len()
    }

    /// Adds a sound from sample `start` on, with equal-power panning. Samples beyond the end are dropped.
    pub fn add(&mut self, start: usize, sound: &[f32], gain: f64, position: Position) {
        let angle = (position.pan.clamp(-1.0, 1.0) + 1.0) / 8.0;
        let (left, right) = ((gain * cos_turns(angle)) as f32, (gain * sin_turns(angle)) as f32);
        let sent = (gain * position.depth) as f32;
        let start = start.min(self.frames());
        let [to_left, to_right] = &mut self.dry;
        let slots = to_left[start..].iter_mut().zip(&mut to_right[start..]).zip(&mut self.send[start..]);
        for (((l, r), s), x) in slots.zip(sound) {
            *l += left * x;
            *r += right * x;
            *s += sent * x;
        }
    }
}

/// The reverberation of a room: early reflections and a feedback delay network (Jot and Chaigne, 1991).
#[derive(Clone, Debug)]
pub struct Room {
    /// Delay in samples and gain of each early reflection, left and right.
    early: [Vec<(usize, f32)>; 2],
    /// The lengths of the delay lines in samples. They are primes, so that their echoes do not coincide.
    delays: [usize; 8],
    /// The gain of each line per round trip. All lines have the same decay time.
    gains: [f32; 8],
    /// Coefficient of the one-pole low-pass filter in each line.
    damping: f32,
    rate: f64,
}

impl Room {
    /// Draws a room for samples at `rate` Hz.
    pub fn draw(rate: f64, random: &mut Random) -> Self {
        // A larger room has a longer reverberation.
        let size = random.uniform();
        let seconds = (0.3 + 1.5 * size * size) * random.range(0.8, 1.25);
        let first = 0.006 + 0.02 * size;
        let early = [(); 2].map(|()| {
            (0..7)
                .map(|k| {
                    let at = first * (1.0 + 0.75 * f64::from(k) + random.range(-0.3, 0.3));
                    let gain = random.range(0.25, 0.45) / (1.0 + 0.35 * f64::from(k));
                    ((at * rate) as usize, gain as f32 * if random.chance(0.5) { 1.0 } else { -1.0 })
                })
                .collect()
        });
        let mut delays = [0; 8];
        for (k, delay) in delays.iter_mut().enumerate() {
            let at = (0.02 + 0.035 * size) * (1.0 + 0.17 * k as f64) * random.range(0.96, 1.04);
            *delay = next_prime((at * rate) as usize);
        }
        // `seconds` is the decay time to −60 dB, a factor of 2^−9.97.
        let gains = delays.map(|d| libm::exp2(-9.965_784 * d as f64 / (seconds * rate)) as f32);
        let damping = one_pole(random.range(1.0, 4.0) / 44_100.0, rate);
        Self { early, delays, gains, damping, rate }
    }

    /// The stem with its reverberation.
    pub fn render(&self, bus: Bus) -> Stereo {
        let Bus { mut dry, send } = bus;
        // Low frequencies get no reverberation, so that the bass stays clear.
        let mut cut = Filter::new(150.0, 0.7, self.rate);
        let send: Vec<f32> = send.into_iter().map(|x| cut.high(x)).collect();
        for (side, taps) in dry.iter_mut().zip(&self.early) {
            for &(delay, gain) in taps.iter().filter(|(delay, _)| *delay < send.len()) {
                for (slot, x) in side[delay..].iter_mut().zip(&send) {
                    *slot += gain * x;
                }
            }
        }
        let mut lines = self.delays.map(|d| vec![0.0f32; d]);
        let mut at = [0; 8];
        let mut damped = [0.0f32; 8];
        let [left, right] = &mut dry;
        for ((l, r), x) in left.iter_mut().zip(right).zip(&send) {
            let mut y = [0.0; 8];
            for k in 0..8 {
                let heard = lines[k][at[k]] * self.gains[k];
                let low = heard + self.damping * (damped[k] - heard);
                // Denormal numbers are a hundred times slower to compute with.
                damped[k] = if low.abs() < 1e-15 { 0.0 } else { low };
                y[k] = damped[k];
            }
            *l += 0.35 * (y[0] - y[2] + y[4] - y[6]);
            *r += 0.35 * (y[1] - y[3] + y[5] - y[7]);
            // An orthogonal Hadamard matrix mixes the lines.
            for span in [1, 2, 4] {
                for k in (0..8).filter(|k| k & span == 0) {
                    (y[k], y[k + span]) = (y[k] + y[k + span], y[k] - y[k + span]);
                }
            }
            for k in 0..8 {
                lines[k][at[k]] = 0.353_553_4 * y[k] + x;
                at[k] = if at[k] + 1 == lines[k].len() { 0 } else { at[k] + 1 };
            }
        }
        dry
    }
}

fn next_prime(from: usize) -> usize {
    let prime = |n: usize| n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
    (from.max(2)..).find(|&n| prime(n)).expect("there is always a larger prime")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panning_preserves_power() {
        for pan in [-1.0, -0.4, 0.0, 0.7, 1.0] {
            let mut bus = Bus::new(4);
            bus.add(1, &[1.0, 1.0, 1.0, 1.0, 1.0], 1.0, Position { pan, depth: 0.0 });
            let (l, r) = (f64::from(bus.dry[0][2]), f64::from(bus.dry[1][2]));
            assert!((l * l + r * r - 1.0).abs() < 1e-5);
            assert!((r - l) * pan >= 0.0 && (pan == 0.0) == ((l - r).abs() < 1e-6));
            assert_eq!(bus.dry[0][0], 0.0);
        }
    }

    #[test]
    fn reverberation_decays_and_differs_between_channels() {
        for index in 0..10 {
            let room = Room::draw(22_050.0, &mut Random::new(7, index, 0));
            let mut bus = Bus::new(22_050 * 4);
            bus.add(0, &[1.0], 1.0, Position { pan: 0.0, depth: 1.0 });
            let sides = room.render(bus);
            for side in &sides {
                let energy = |from: f64, to: f64| {
                    let cut = &side[(from * 22_050.0) as usize..(to * 22_050.0) as usize];
                    cut.iter().map(|x| f64::from(x * x)).sum::<f64>()
                };
                assert!(energy(0.05, 0.2) > 1e-4, "no reverberation");
                assert!(energy(3.5, 4.0) < 1e-5 * energy(0.05, 0.55), "the reverberation does not decay");
            }
            let product: f32 = sides[0][500..].iter().zip(&sides[1][500..]).map(|(a, b)| a * b).sum();
            let power: f32 = sides[0][500..].iter().map(|a| a * a).sum();
            assert!(product.abs() < 0.5 * power, "left and right are correlated");
        }
    }
}
