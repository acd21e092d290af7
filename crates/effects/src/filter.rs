//! Filters of first and second order.

use crate::math::{cos_turns, sin_turns};

/// The feedback coefficient of a one-pole low-pass filter with a time constant in seconds.
pub fn one_pole(seconds: f64, rate: f64) -> f32 {
    libm::exp(-1.0 / (seconds.max(1e-5) * rate)) as f32
}

/// A state-variable filter with trapezoidal integration (Simper, 2013). It is stable while its frequency changes.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    g: f32,
    k: f32,
    a1: f32,
    s1: f32,
    s2: f32,
}

impl Filter {
    /// A filter at `hertz` with quality `q`. The frequency is limited to 0.45 of the sample rate.
    pub fn new(hertz: f64, q: f64, rate: f64) -> Self {
        let mut filter = Self::default();
        filter.tune(hertz, q, rate);
        filter
    }

    /// Changes the frequency and the quality without a click.
    #[inline]
    pub fn tune(&mut self, hertz: f64, q: f64, rate: f64) {
        let half_turns = (hertz / rate).clamp(1e-5, 0.45) * 0.5;
        self.g = (sin_turns(half_turns) / cos_turns(half_turns)) as f32;
        self.k = (1.0 / q) as f32;
        self.a1 = 1.0 / (1.0 + self.g * (self.g + self.k));
    }

    /// The low-pass and band-pass outputs. The band-pass has a gain of 1 at its centre.
    #[inline]
    fn step(&mut self, x: f32) -> (f32, f32) {
        let v3 = x - self.s2;
        let v1 = self.a1 * (self.s1 + self.g * v3);
        let v2 = self.s2 + self.g * v1;
        self.s1 = 2.0 * v1 - self.s1;
        self.s2 = 2.0 * v2 - self.s2;
        (v2, self.k * v1)
    }

    /// The next sample of the low-pass output.
    #[inline]
    pub fn low(&mut self, x: f32) -> f32 {
        self.step(x).0
    }

    /// The next sample of the band-pass output, with a gain of 1 at the centre.
    #[inline]
    pub fn band(&mut self, x: f32) -> f32 {
        self.step(x).1
    }

    /// The next sample of the high-pass output.
    #[inline]
    pub fn high(&mut self, x: f32) -> f32 {
        let (low, band) = self.step(x);
        x - band - low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: f64 = 44_100.0;

    #[test]
    fn filters_pass_their_band_and_attenuate_the_rest() {
        let gain = |hertz: f64, f: &mut dyn FnMut(f32) -> f32| {
            let sound: Vec<f32> =
                (0..8820).map(|n| f(sin_turns(hertz * f64::from(n) / RATE) as f32)).collect();
            sound[4410..].iter().fold(0.0f32, |p, x| p.max(x.abs()))
        };
        let filter = || Filter::new(1000.0, 0.707, RATE);
        let (mut a, mut b, mut c, mut d, mut e) = (filter(), filter(), filter(), filter(), filter());
        assert!((gain(100.0, &mut |x| a.low(x)) - 1.0).abs() < 0.02);
        assert!(gain(8000.0, &mut |x| b.low(x)) < 0.03);
        assert!((gain(8000.0, &mut |x| c.high(x)) - 1.0).abs() < 0.03);
        assert!((gain(1000.0, &mut |x| d.band(x)) - 1.0).abs() < 0.03);
        assert!(gain(100.0, &mut |x| e.band(x)) < 0.2);
    }
}
