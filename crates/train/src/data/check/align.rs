//! Cross-correlation of two excerpts by FFT.

use realfft::RealFftPlanner;
use unbraid_base::Stereo;

/// The largest correlation of two signals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Peak {
    /// Samples by which the second signal must be delayed to match the first.
    pub(super) lag: i64,
    /// The correlation there, −1 to 1.
    pub(super) value: f64,
    /// The correlation without a delay.
    pub(super) at_zero: f64,
    /// The factor of the second signal that matches the first best without a delay.
    pub(super) gain: f64,
}

/// The lag within ±`most` samples at which `b` resembles `a` or `−a` most. `None` if one of them is silent.
pub(super) fn correlate(a: &Stereo, b: &Stereo, most: usize) -> Option<Peak> {
    let samples = a[0].len();
    let most = most.min(samples.saturating_sub(1));
    let energy = |x: &Stereo| x.iter().flatten().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    let (own, other) = (energy(a), energy(b));
    if own <= 0.0 || other <= 0.0 {
        return None;
    }
    let size = (samples + most).next_power_of_two();
    let mut planner = RealFftPlanner::<f32>::new();
    let (forward, inverse) = (planner.plan_fft_forward(size), planner.plan_fft_inverse(size));
    let spectrum = |samples: &[f32]| {
        let mut padded = samples.to_vec();
        padded.resize(size, 0.0);
        let mut bins = forward.make_output_vec();
        forward.process(&mut padded, &mut bins).ok()?;
        Some(bins)
    };
    let mut sum = inverse.make_input_vec();
    for channel in 0..2 {
        let (a, b) = (spectrum(&a[channel])?, spectrum(&b[channel])?);
        for (sum, (a, b)) in sum.iter_mut().zip(a.iter().zip(&b)) {
            *sum += a * b.conj();
        }
    }
    // The imaginary parts of these bins are 0, but for rounding, which the inverse refuses.
    for bin in [0, size / 2] {
        sum[bin].im = 0.0;
    }
    let mut correlation = inverse.make_output_vec();
    inverse.process(&mut sum, &mut correlation).ok()?;
    let norm = (own * other).sqrt();
    let at = |lag: i64| f64::from(correlation[lag.rem_euclid(size as i64) as usize]) / size as f64 / norm;
    let most = most as i64;
    let lag = (-most..=most).max_by(|x, y| at(*x).abs().total_cmp(&at(*y).abs()))?;
    Some(Peak { lag, value: at(lag), at_zero: at(0), gain: at(0) * norm / other })
}

#[cfg(test)]
mod tests {
    use super::correlate;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn the_lag_and_the_sign_are_found() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let noise: Vec<f32> = (0..5000).map(|_| rng.random_range(-1.0..1.0)).collect();
        let part = |start: usize| [noise[start..start + 3000].to_vec(), vec![0.0; 3000]];
        let negative = |x: [Vec<f32>; 2]| x.map(|x| x.iter().map(|x| -0.5 * x).collect::<Vec<f32>>());
        let peak = correlate(&part(500), &part(600), 1000).unwrap();
        assert!(peak.lag == 100 && peak.value > 0.9 && peak.at_zero.abs() < 0.1, "{peak:?}");
        let peak = correlate(&part(700), &negative(part(630)), 1000).unwrap();
        assert!(peak.lag == -70 && peak.value < -0.9, "{peak:?}");
        let peak = correlate(&part(0), &negative(part(0)), 1000).unwrap();
        assert!(peak.lag == 0 && (peak.gain + 2.0).abs() < 1e-3, "{peak:?}");
        assert_eq!(correlate(&part(0), &[vec![0.0; 3000], vec![0.0; 3000]], 10), None);
    }
}
