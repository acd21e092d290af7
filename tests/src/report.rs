//! Verdicts and the measurements behind them.

use serde::{Deserialize, Serialize};

use crate::host::{Precision, unit_roundoff};

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Within its bound.
    Pass,
    /// Outside its bound.
    Fail,
    /// Not run, for this reason.
    Skipped(String),
}

/// One tensor or one number of a case, measured and judged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Check {
    /// The name of the tensor or number.
    pub tensor: String,
    /// Largest absolute error, or the part of it described in `reason`. `None` if a value is not finite or nothing was
    /// measured.
    pub max_error: Option<f64>,
    /// Signal-to-noise ratio in dB; `None` if the error is zero or nothing was measured.
    pub snr_db: Option<f64>,
    /// The largest error allowed.
    pub bound: Option<f64>,
    /// The source of the bound.
    pub reason: String,
    /// The outcome.
    pub verdict: Verdict,
}

/// SNR in dB with which an f32 forward result passes regardless of the error of the plain operations.
pub const FORWARD_SNR_DB: f64 = 100.0;

/// Allowance for unavoidable rounding, in multiples of the reference's rounding floor, added to twice the plain error.
///
/// On a tensor of few numbers, burn's own operations can be exact by chance, and twice an error of zero is an
/// impossible bound. Measured on all cases, 0.6 is needed.
pub const FLOOR: f64 = 1.0;

impl Check {
    /// Compares a tensor with the f64 reference. The error may be at most twice the error of the plain implementation
    /// plus the floor. An f32 result of a forward pass also passes with an SNR of [`FORWARD_SNR_DB`].
    ///
    /// The sensitivity of a number is its change for a relative error of one in its terms. The floor is the largest
    /// sensitivity times f32's unit roundoff, because all sums are computed in f32. For numbers stored in f16, only the
    /// error beyond the rounding of each number counts.
    pub fn against_plain(
        tensor: &str,
        expected: &Expected,
        ours: &[f64],
        plain: &[f64],
        forward: bool,
    ) -> Self {
        let Expected { values, sensitivity, precision } = expected;
        let floor = FLOOR * unit_roundoff(Precision::F32) * peak(sensitivity);
        let (max_error, snr_db) = (max_error_beyond(*precision, values, ours), snr_db(values, ours));
        let plain_error = self::max_error(values, plain);
        let bound = plain_error.map(|error| 2.0 * error + floor);
        let within = max_error.zip(bound).is_some_and(|(error, bound)| error <= bound);
        let clean =
            forward && *precision == Precision::F32 && snr_db.is_some_and(|snr| snr >= FORWARD_SNR_DB);
        let beyond = if *precision == Precision::F16 { ", beyond a rounding to f16" } else { "" };
        let reason = match plain_error {
            _ if clean && !within => format!("SNR ≥ {FORWARD_SNR_DB} dB"),
            Some(error) => format!("2 × plain {error:.1e} + {floor:.1e}{beyond}"),
            None => "plain operations gave no finite result".into(),
        };
        let tensor = tensor.into();
        Self { tensor, max_error, snr_db, bound, reason, verdict: verdict(within || clean) }
    }

    /// Compares two results that must be equal bit for bit.
    pub fn identical(tensor: &str, expected: &[f64], got: &[f64], reason: &str) -> Self {
        let same = expected.len() == got.len()
            && expected.iter().zip(got).all(|(a, b)| a.to_bits() == b.to_bits() && a.is_finite());
        Self {
            tensor: tensor.into(),
            max_error: max_error(expected, got),
            snr_db: snr_db(expected, got),
            bound: Some(0.0),
            reason: reason.into(),
            verdict: verdict(same),
        }
    }

    /// Compares two numbers: `|got − expected| ≤ tolerance · scale`.
    pub fn close(name: &str, expected: f64, got: f64, scale: f64, tolerance: f64, reason: &str) -> Self {
        let error = (got - expected).abs();
        Self {
            tensor: name.into(),
            max_error: error.is_finite().then_some(error),
            snr_db: None,
            bound: Some(tolerance * scale),
            reason: reason.into(),
            verdict: verdict(error <= tolerance * scale),
        }
    }

    /// Compares a signal with the original, which it must match with at least a certain SNR.
    pub fn faithful(tensor: &str, expected: &[f64], got: &[f64], least_snr_db: f64, reason: &str) -> Self {
        let (max_error, snr_db) = (max_error(expected, got), snr_db(expected, got));
        let good = max_error.is_some() && snr_db.is_none_or(|snr| snr >= least_snr_db);
        Self {
            tensor: tensor.into(),
            max_error,
            snr_db,
            bound: None,
            reason: reason.into(),
            verdict: verdict(good),
        }
    }

    /// A check that was not run.
    pub fn skipped(tensor: &str, reason: &str) -> Self {
        Self {
            tensor: tensor.into(),
            max_error: None,
            snr_db: None,
            bound: None,
            reason: String::new(),
            verdict: Verdict::Skipped(reason.into()),
        }
    }

    /// A check that failed before anything was measured.
    pub fn broken(tensor: &str, error: &str) -> Self {
        Self { reason: error.into(), verdict: Verdict::Fail, ..Self::skipped(tensor, "") }
    }
}

/// The result of the reference.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The exact numbers.
    pub values: Vec<f64>,
    /// The change of each number for a relative error of one in its terms.
    pub sensitivity: Vec<f64>,
    /// The precision in which the device stores them.
    pub precision: Precision,
}

fn peak(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |peak, x| peak.max(x.abs()))
}

fn verdict(good: bool) -> Verdict {
    if good { Verdict::Pass } else { Verdict::Fail }
}

/// Largest absolute difference; `None` if the lengths differ or a value is not finite.
fn max_error(expected: &[f64], got: &[f64]) -> Option<f64> {
    max_error_beyond(Precision::F32, expected, got)
}

/// Like `max_error`, but for f16 only the part beyond the rounding of each number. WGSL lets a device round up or down,
/// and subnormal f16 numbers have a fixed step.
fn max_error_beyond(precision: Precision, expected: &[f64], got: &[f64]) -> Option<f64> {
    const SUBNORMAL_STEP: f64 = 1.0 / (1 << 24) as f64;
    if expected.len() != got.len() || !got.iter().chain(expected).all(|x| x.is_finite()) {
        return None;
    }
    let rounding = |exact: f64| match precision {
        Precision::F32 => 0.0,
        Precision::F16 => 2.0 * unit_roundoff(precision) * exact.abs() + SUBNORMAL_STEP,
    };
    let error = |(a, b): (&f64, &f64)| (a - b).abs() - rounding(*a);
    Some(expected.iter().zip(got).map(error).fold(0.0, f64::max))
}

/// Signal-to-noise ratio in dB; `None` if the lengths differ or the ratio is not finite.
fn snr_db(expected: &[f64], got: &[f64]) -> Option<f64> {
    if expected.len() != got.len() {
        return None;
    }
    let snr = unbraid_base::snr_db(expected.iter().copied(), got.iter().copied());
    snr.is_finite().then_some(snr)
}

/// One line of the table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// The device that the case ran on.
    pub device: String,
    /// Whether burn fused the operations around ours: `on`, `off`, or `none` if the backend never fuses.
    pub fusion: String,
    /// The case.
    pub case: String,
    /// The measurement.
    #[serde(flatten)]
    pub check: Check,
}
