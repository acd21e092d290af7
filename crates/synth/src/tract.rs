//! The parts of the singing apparatus: vocal folds, formants, and the desk's levelling after it.

use crate::dsp::{blep, keep};
use crate::math::{cos_turns, exp};

/// Bandwidths of the formants in Hz.
pub(crate) const WIDTHS: [f64; 9] = [65.0, 85.0, 120.0, 200.0, 280.0, 350.0, 450.0, 550.0, 650.0];

/// The vocal folds: the derivative of the flow through them.
pub(crate) struct Folds {
    pub(crate) phase: f64,
    tilted: f32,
    pub(crate) open: f64,
}

impl Folds {
    /// Folds that are open for the part `open` of each period.
    pub(crate) fn new(open: f64) -> Self {
        Self { phase: 0.0, tilted: 0.0, open }
    }

    pub(crate) fn next(&mut self, step: f64, softens: f32) -> f32 {
        self.phase += step;
        if self.phase >= 1.0 {
            self.phase -= 1.0;
        }
        // The flow x² − x³ while open; it is cut off when the folds meet, a step which polyBLEP rounds.
        let x = self.phase / self.open;
        let slope = if x < 1.0 { 2.0 * x - 3.0 * x * x } else { 0.0 };
        let past = self.phase - self.open;
        let past = if past < 0.0 { past + 1.0 } else { past };
        let pulse = (slope + 0.5 * blep(past, step)) as f32;
        self.tilted = pulse + softens * (self.tilted - pulse);
        self.tilted
    }
}

/// One formant: a two-pole resonator with unit gain at 0 Hz.
#[derive(Clone, Copy, Default)]
pub(crate) struct Resonator {
    a: f32,
    b: f32,
    c: f32,
    y1: f32,
    y2: f32,
}

impl Resonator {
    pub(crate) fn tune(&mut self, hertz: f64, width: f64, rate: f64) {
        let radius = exp(-std::f64::consts::PI * width / rate);
        let b = 2.0 * radius * cos_turns((hertz / rate).min(0.48));
        let c = -radius * radius;
        (self.a, self.b, self.c) = ((1.0 - b - c) as f32, b as f32, c as f32);
    }

    pub(crate) fn next(&mut self, x: f32) -> f32 {
        let y = self.a * x + self.b * self.y1 + self.c * self.y2;
        (self.y2, self.y1) = (self.y1, y);
        y
    }
}

/// Halves the level's range in decibels, as a mixing desk does to a voice: vowels differ by 10 dB.
pub(crate) fn level_out(sound: &mut [f32], rate: f64) {
    let (rise, fall) = (keep(0.01, rate), keep(0.15, rate));
    let mut power = 0.0f32;
    for x in sound {
        let now = *x * *x;
        let hold = if now > power { rise } else { fall };
        power = now + hold * (power - now);
        // 1 / √level, held where there is nothing to raise.
        *x *= 0.3 / (power + 1e-3).sqrt().sqrt();
    }
}
