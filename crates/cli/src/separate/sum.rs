//! How well the stems add up to the mixture.

use unbraid_audio::Stereo;

/// The energies of the mixture and of its difference from the sum of the stems.
#[derive(Debug, Default)]
pub(super) struct Sum {
    mixture: f64,
    difference: f64,
}

impl Sum {
    /// Adds samples of all stems, and as many of the mixture.
    pub(super) fn add(&mut self, mixture: &Stereo, stems: &[Stereo]) {
        for (side, mixture) in mixture.iter().enumerate() {
            for (index, &sample) in mixture.iter().enumerate() {
                let sum: f64 = stems.iter().map(|stem| f64::from(stem[side][index])).sum();
                self.mixture += f64::from(sample).powi(2);
                self.difference += (f64::from(sample) - sum).powi(2);
            }
        }
    }

    /// The signal-to-noise ratio of the sum against the mixture, in dB. `None` if one of them is silent.
    pub(super) fn snr_db(&self) -> Option<f64> {
        Some(10.0 * (self.mixture / self.difference).log10()).filter(|snr| snr.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;

    #[test]
    fn a_sum_a_tenth_too_low_has_20_db() {
        let mixture = [vec![1.0, -0.5], vec![0.25, 0.0]];
        let stem = |gain: f32| mixture.each_ref().map(|side| side.iter().map(|x| gain * x).collect());
        let mut sum = Sum::default();
        sum.add(&mixture, &[stem(0.5), stem(0.4)]);
        assert!((sum.snr_db().expect("a number") - 20.0).abs() < 1e-5);
        assert_eq!(Sum::default().snr_db(), None);
    }
}
