//! Sums on the CPU: in f64, in parts of fixed size, so that results do not depend on the number of threads.

use rayon::prelude::*;

use super::summand::Summand;

/// Elements of a part.
const PART: usize = 1 << 14;

/// The sum over each row of `x [rows, n]`.
pub(crate) fn rows(x: &[f32], rows: usize, n: usize, summand: Summand) -> Vec<f32> {
    (0..rows).map(|row| sum(&x[row * n..(row + 1) * n], summand)).collect()
}

fn sum(values: &[f32], summand: Summand) -> f32 {
    let of_part = |part: &[f32]| {
        let values = part.iter().copied();
        match summand {
            Summand::Value => values.map(f64::from).sum::<f64>(),
            Summand::Magnitude => values.map(|value| f64::from(value.abs())).sum(),
            Summand::Square => values.map(|value| f64::from(value) * f64::from(value)).sum(),
        }
    };
    let parts: Vec<f64> = values.par_chunks(PART).map(of_part).collect();
    parts.into_iter().sum::<f64>() as f32
}
