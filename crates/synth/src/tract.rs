//! Components of the singing voice: the glottal source, formant resonators, and a compressor.

use unbraid_effects::filter::one_pole;
use unbraid_effects::math::cos_turns;

use crate::dsp::poly_blep;

/// Bandwidths of the formants in Hz.
pub(crate) const BANDWIDTHS: [f64; 9] = [65.0, 85.0, 120.0, 200.0, 280.0, 350.0, 450.0, 550.0, 650.0];

/// The glottal source: the derivative of the air flow through the vocal folds.
pub(crate) struct GlottalSource {
    /// In periods, from 0 to 1.
    pub(crate) phase: f64,
    /// State of the low-pass filter for the spectral tilt.
    tilted: f32,
    /// Open quotient: the part of each period in which the vocal folds are open.
    pub(crate) open: f64,
}

impl GlottalSource {
    /// A source with the open quotient `open`.
    pub(crate) fn new(open: f64) -> Self {
        Self { phase: 0.0, tilted: 0.0, open }
    }

    /// The next sample. `step` is the frequency in periods per sample. `tilt` is the coefficient of the one-pole
    /// low-pass filter for the spectral tilt.
    pub(crate) fn next(&mut self, step: f64, tilt: f32) -> f32 {
        self.phase += step;
        if self.phase >= 1.0 {
            self.phase -= 1.0;
        }
        // The flow is x² − x³ while the folds are open. Its derivative has a step when they close, which polyBLEP
        // band-limits.
        let x = self.phase / self.open;
        let slope = if x < 1.0 { 2.0 * x - 3.0 * x * x } else { 0.0 };
        let past = self.phase - self.open;
        let past = if past < 0.0 { past + 1.0 } else { past };
        let pulse = (slope + 0.5 * poly_blep(past, step)) as f32;
        self.tilted = pulse + tilt * (self.tilted - pulse);
        self.tilted
    }
}

/// One formant: a two-pole resonator with a gain of 1 at 0 Hz.
#[derive(Clone, Copy, Default)]
pub(crate) struct Resonator {
    a: f32,
    b: f32,
    c: f32,
    y1: f32,
    y2: f32,
}

impl Resonator {
    /// Sets the centre frequency and the bandwidth, in Hz.
    pub(crate) fn tune(&mut self, hertz: f64, bandwidth: f64, rate: f64) {
        let radius = libm::exp(-std::f64::consts::PI * bandwidth / rate);
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

/// A compressor with a ratio of 2:1. Without it the levels of vowels differ by 10 dB.
pub(crate) fn compress(sound: &mut [f32], rate: f64) {
    let (attack, release) = (one_pole(0.01, rate), one_pole(0.15, rate));
    let mut power = 0.0f32;
    for x in sound {
        let now = *x * *x;
        let pole = if now > power { attack } else { release };
        power = now + pole * (power - now);
        // The gain is 1 / √level. The constant bounds it in silence.
        *x *= 0.3 / (power + 1e-3).sqrt().sqrt();
    }
}
