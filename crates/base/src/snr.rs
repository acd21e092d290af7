//! Signal-to-noise ratio.

/// The signal-to-noise ratio of `estimate` against `reference`, in dB: `10 log₁₀ (Σ r² / Σ (r − e)²)`.
///
/// It is infinite if both are equal, and NaN if a value is NaN.
///
/// # Panics
/// If the lengths differ.
pub fn snr_db(reference: impl IntoIterator<Item = f64>, estimate: impl IntoIterator<Item = f64>) -> f64 {
    let (mut reference, mut estimate) = (reference.into_iter(), estimate.into_iter());
    let (mut signal, mut noise) = (0.0, 0.0);
    loop {
        match (reference.next(), estimate.next()) {
            (Some(r), Some(e)) => {
                signal += r * r;
                noise += (r - e) * (r - e);
            }
            (None, None) => break,
            _ => panic!("reference and estimate differ in length"),
        }
    }
    // Avoids 0/0 for two silent signals.
    if noise == 0.0 { f64::INFINITY } else { 10.0 * (signal / noise).log10() }
}

#[cfg(test)]
mod tests {
    use super::snr_db;

    #[test]
    fn an_error_of_a_tenth_of_the_amplitude_is_20_db() {
        let reference = [1.0, -2.0, 0.5];
        let estimate = reference.map(|x| 0.9 * x);
        assert!((snr_db(reference, estimate) - 20.0).abs() < 1e-9);
        assert_eq!(snr_db(reference, reference), f64::INFINITY);
        assert_eq!(snr_db([0.0], [0.0]), f64::INFINITY);
        assert_eq!(snr_db([0.0], [1.0]), f64::NEG_INFINITY);
        assert!(snr_db([1.0], [f64::NAN]).is_nan());
    }

    #[test]
    #[should_panic(expected = "length")]
    fn different_lengths_panic() {
        snr_db([1.0], [1.0, 2.0]);
    }
}
