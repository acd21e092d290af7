//! Audio effects of the augmentation.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::f64::consts::PI;
use unbraid_base::Stereo;

/// Bands of the equaliser.
const BANDS: usize = 3;

/// The lowest and the highest centre frequency in Hz.
const CENTRES: [f64; 2] = [60.0, 10_000.0];

/// Attack and release of the compressor's level in seconds.
const ATTACK: f64 = 0.005;
const RELEASE: f64 = 0.1;

/// Peaking filters at random frequencies, each with a gain of at most `most` dB up or down. Both channels get the same.
pub(crate) fn equalise(rng: &mut ChaCha8Rng, stem: &mut Stereo, most: f64, rate: f64) {
    let [low, high] = [CENTRES[0], CENTRES[1].min(0.45 * rate)];
    for _ in 0..BANDS {
        // Uniform in octaves.
        let centre = low * (high / low).max(1.0).powf(rng.random_range(0.0..=1.0));
        let gain = rng.random_range(-most..=most);
        let filter = Peaking::new(centre / rate, gain, rng.random_range(0.5..=2.0));
        stem.iter_mut().for_each(|channel| filter.apply(channel));
    }
}

/// A peaking filter (Bristow-Johnson, "Cookbook formulae for audio EQ biquad filter coefficients").
#[derive(Debug, Clone, Copy)]
struct Peaking {
    b: [f64; 3],
    a: [f64; 2],
}

impl Peaking {
    /// `centre` in cycles per sample, below 0.5; `gain` in dB.
    fn new(centre: f64, gain: f64, q: f64) -> Self {
        let amplitude = 10f64.powf(gain / 40.0);
        let (sin, cos) = (2.0 * PI * centre).sin_cos();
        let alpha = sin / (2.0 * q);
        let norm = 1.0 + alpha / amplitude;
        Self {
            b: [1.0 + alpha * amplitude, -2.0 * cos, 1.0 - alpha * amplitude].map(|b| b / norm),
            a: [-2.0 * cos / norm, (1.0 - alpha / amplitude) / norm],
        }
    }

    /// Filters in place, in double precision, with the transposed direct form II.
    fn apply(&self, channel: &mut [f32]) {
        let ([b0, b1, b2], [a1, a2]) = (self.b, self.a);
        let (mut first, mut second) = (0.0, 0.0);
        for sample in channel {
            let x = f64::from(*sample);
            let y = b0 * x + first;
            first = b1 * x - a1 * y + second;
            second = b2 * x - a2 * y;
            *sample = y as f32;
        }
    }
}

/// Compresses the level above the signal's own mean level by `ratio`. Both channels get the same gain.
pub(crate) fn compress(stem: &mut Stereo, ratio: f64, rate: f64) {
    let [left, right] = stem;
    let power = |l: f32, r: f32| 0.5 * (f64::from(l).powi(2) + f64::from(r).powi(2));
    let total: f64 = left.iter().zip(right.iter()).map(|(l, r)| power(*l, *r)).sum();
    let threshold = total / left.len().max(1) as f64;
    if threshold <= 0.0 {
        return;
    }
    let [attack, release] = [ATTACK, RELEASE].map(|time| 1.0 - (-1.0 / (time * rate)).exp());
    // The exponent of a power ratio, for an amplitude: half of 1 / ratio − 1.
    let exponent = 0.5 * (1.0 / ratio - 1.0);
    let mut level = threshold;
    for (l, r) in left.iter_mut().zip(right) {
        let now = power(*l, *r);
        level += (now - level) * if now > level { attack } else { release };
        if level > threshold {
            let gain = (level / threshold).powf(exponent) as f32;
            *l *= gain;
            *r *= gain;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    const RATE: f64 = 44_100.0;

    fn tone(frequency: f64, amplitude: f64) -> Vec<f32> {
        (0..20_000).map(|n| (amplitude * (2.0 * PI * frequency * n as f64 / RATE).sin()) as f32).collect()
    }

    fn rms(signal: &[f32]) -> f64 {
        let settled = &signal[10_000..];
        (settled.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / settled.len() as f64).sqrt()
    }

    #[test]
    fn a_peaking_filter_has_its_gain_at_its_centre_and_none_far_away() {
        for gain in [-9.0, 6.0] {
            let filter = Peaking::new(1000.0 / RATE, gain, 1.0);
            for (frequency, expected) in [(1000.0, gain), (20.0, 0.0), (20_000.0, 0.0)] {
                let (before, mut after) = (tone(frequency, 0.1), tone(frequency, 0.1));
                filter.apply(&mut after);
                let measured = 20.0 * (rms(&after) / rms(&before)).log10();
                assert!((measured - expected).abs() < 0.1, "{frequency} Hz: {measured} dB, not {expected}");
            }
        }
    }

    #[test]
    fn an_equaliser_depends_on_its_generator_alone_and_stays_bounded() {
        let run = |seed| {
            let mut stem = [tone(440.0, 0.5), tone(880.0, 0.5)];
            equalise(&mut ChaCha8Rng::seed_from_u64(seed), &mut stem, 6.0, RATE);
            stem
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        for seed in 0..50 {
            let peak = run(seed).iter().flatten().fold(0f32, |peak, x| peak.max(x.abs()));
            // Three filters of 6 dB, and their overshoot.
            assert!(peak > 0.0 && peak < 0.5 * 8.0 * 1.5, "{peak}");
        }
    }

    #[test]
    fn a_compressor_reduces_the_level_above_the_mean() {
        let quiet_then_loud = || {
            let mut signal = tone(1000.0, 0.01);
            signal.extend(tone(1000.0, 0.1));
            signal
        };
        let before = [quiet_then_loud(), quiet_then_loud()];
        let mut after = before.clone();
        compress(&mut after, 4.0, RATE);
        let level = |signal: &Stereo, from: usize| 20.0 * rms(&signal[0][from..from + 20_000]).log10();
        assert_eq!(
            before[0][10_000..20_000],
            after[0][10_000..20_000],
            "below the threshold nothing changes"
        );
        // The mean power is half of the loud part's. The compressor's level lies between the loud part's mean power,
        // which is 3 dB above the threshold, and its peak, which is 6 dB above it.
        let reduction = level(&before, 20_000) - level(&after, 20_000);
        let [least, most] = [3.0, 6.0].map(|above: f64| above * (1.0 - 1.0 / 4.0));
        assert!(reduction > least && reduction < most, "{reduction} dB, not {least} to {most}");
        let mut silence: Stereo = [vec![0.0; 100], vec![0.0; 100]];
        compress(&mut silence, 4.0, RATE);
        assert_eq!(silence, [vec![0.0; 100], vec![0.0; 100]]);
    }
}
