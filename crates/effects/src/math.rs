//! Elementary functions for audio.
//!
//! `std`'s `sin` and `exp` call the platform's mathematics library, whose last bits differ between systems. `libm` is
//! plain Rust and gives the same bits on every platform.

use std::f64::consts::TAU;

/// The sine of an angle in turns.
#[inline]
pub fn sin_turns(turns: f64) -> f64 {
    libm::sin(TAU * (turns - turns.round()))
}

/// The cosine of an angle in turns.
#[inline]
pub fn cos_turns(turns: f64) -> f64 {
    libm::cos(TAU * (turns - turns.round()))
}

/// The amplitude factor of a level in dB.
#[inline]
pub fn gain_from_db(level: f64) -> f64 {
    libm::exp10(level / 20.0)
}

/// The frequency in Hz of a MIDI pitch. Pitch 69 is 440 Hz. Fractions are allowed.
#[inline]
pub fn hertz_from_midi(pitch: f64) -> f64 {
    440.0 * libm::exp2((pitch - 69.0) / 12.0)
}

/// A soft clipper: the Padé approximant of tanh, clamped at ±3, where it reaches ±1 with zero slope.
#[inline]
pub fn soft_clip(x: f32) -> f32 {
    let x = x.clamp(-3.0, 3.0);
    x * (27.0 + x * x) / (27.0 + 9.0 * x * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_agree_with_the_platform() {
        for k in -4000..4000 {
            let x = f64::from(k) * 0.00123;
            assert!((sin_turns(x) - (x * TAU).sin()).abs() < 1e-12, "sin {x}");
            assert!((cos_turns(x) - (x * TAU).cos()).abs() < 1e-12, "cos {x}");
        }
        assert!((gain_from_db(20.0) - 10.0).abs() < 1e-12);
        assert!((hertz_from_midi(57.0) - 220.0).abs() < 1e-12);
    }
}
