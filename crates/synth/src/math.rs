//! Elementary functions and chance, the same bits on every machine.
//!
//! The standard library's `sin`, `exp` and their kin call the platform's own mathematics library, whose
//! last bits differ between systems. Everything here is plain IEEE arithmetic, which does not.

use std::f64::consts::{LN_2, LOG2_E, TAU};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Adding and taking away 1.5 · 2^52 rounds a small double to the nearest whole number.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// The sine of an angle given in full turns; Taylor series to the eleventh power on a quarter turn,
/// so the error stays under 6e-8 (−144 dB).
pub(crate) fn sin_turns(turns: f64) -> f64 {
    let x = turns - ((turns + ROUNDER) - ROUNDER);
    let folded = if x > 0.25 {
        0.5 - x
    } else if x < -0.25 {
        -0.5 - x
    } else {
        x
    };
    let a = TAU * folded;
    let q = a * a;
    let tail = 1.0 / 120.0 + q * (-1.0 / 5040.0 + q * (1.0 / 362_880.0 - q / 39_916_800.0));
    a * (1.0 + q * (-1.0 / 6.0 + q * tail))
}

/// The cosine of an angle given in full turns.
pub(crate) fn cos_turns(turns: f64) -> f64 {
    sin_turns(turns + 0.25)
}

/// 2^x; Taylor series of the fraction to the ninth power (relative error under 1e-11).
pub(crate) fn exp2(x: f64) -> f64 {
    let x = x.clamp(-1000.0, 1000.0);
    let whole = (x + ROUNDER) - ROUNDER;
    let a = (x - whole) * LN_2;
    let mut sum = 1.0;
    for k in (1..10).rev() {
        sum = 1.0 + sum * a / f64::from(k);
    }
    sum * f64::from_bits(((whole as i64 + 1023) as u64) << 52)
}

/// e^x.
pub(crate) fn exp(x: f64) -> f64 {
    exp2(x * LOG2_E)
}

/// The amplitude factor of a level in decibels.
pub(crate) fn decibels(level: f64) -> f64 {
    exp2(level / 6.020_599_913_279_624)
}

/// The frequency in Hz of a MIDI pitch (69 is 440 Hz), fractions allowed.
pub(crate) fn hertz(pitch: f64) -> f64 {
    440.0 * exp2((pitch - 69.0) / 12.0)
}

/// A smooth limiter: the Padé approximant of tanh, which reaches ±1 with zero slope at ±3.
pub(crate) fn soft_clip(x: f32) -> f32 {
    let x = x.clamp(-3.0, 3.0);
    x * (27.0 + x * x) / (27.0 + 9.0 * x * x)
}

/// Chance: one ChaCha stream for each part of each song, so that a change in the drums moves no note
/// of the singer.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream `part` of song `index` under `seed`.
    pub(crate) fn new(seed: u64, index: u64, part: u64) -> Self {
        let mut key = [0; 32];
        for (slot, word) in key.chunks_exact_mut(8).zip([seed, index, part, 0x756e_6272_6169_6421]) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / 9_007_199_254_740_992.0
    }

    /// Uniform in [low, high).
    pub(crate) fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A whole number under `count`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        ((self.unit() * count as f64) as usize).min(count.saturating_sub(1))
    }

    /// True with probability `p`.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// One of `items`, each as likely.
    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// About normal with unit variance (the sum of four uniforms), never beyond ±3.5.
    pub(crate) fn bell(&mut self) -> f64 {
        let sum = self.unit() + self.unit() + self.unit() + self.unit();
        (sum - 2.0) * 1.732_050_807_568_877_2
    }

    /// White noise, uniform in [−1, 1).
    pub(crate) fn noise(&mut self) -> f32 {
        (self.0.next_u32() as i32) as f32 / 2_147_483_648.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elementary_functions_agree_with_the_platform() {
        for k in -4000..4000 {
            let x = f64::from(k) * 0.00123;
            assert!((sin_turns(x) - (x * TAU).sin()).abs() < 1e-7, "sin {x}");
            assert!((cos_turns(x) - (x * TAU).cos()).abs() < 1e-7, "cos {x}");
            assert!((exp2(x) / x.exp2() - 1.0).abs() < 1e-9, "exp2 {x}");
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-9, "exp {x}");
        }
        assert!((decibels(20.0) - 10.0).abs() < 1e-9);
        assert!((hertz(57.0) - 220.0).abs() < 1e-9);
    }

    #[test]
    fn chance_is_spread_as_it_says() {
        let mut dice = Dice::new(1, 2, 3);
        let draws: Vec<f64> = (0..20_000).map(|_| dice.bell()).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        let mut faces = [0; 6];
        for _ in 0..6000 {
            faces[dice.below(6)] += 1;
        }
        assert!(faces.iter().all(|&f| (850..1150).contains(&f)), "{faces:?}");
        assert_ne!(Dice::new(1, 2, 3).unit(), Dice::new(1, 2, 4).unit());
        assert_ne!(Dice::new(1, 2, 3).unit(), Dice::new(1, 3, 3).unit());
    }
}
