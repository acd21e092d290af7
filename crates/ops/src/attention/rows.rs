//! The inner loops of attention on the CPU, over a few rows of scores that fit in the first-level cache.
//!
//! A slice ("plane") holds one channel of all positions. So every loop runs over slices of equal length, and the
//! compiler vectorises it for the instruction set that [`pulp`] detects. A loop processes several queries, so that each
//! load of keys or values is used several times. Products and sums are separate operations and are never fused, so that
//! results do not depend on the processor.

use crate::runtime::exponential::exp;

/// Slices over positions are padded to a multiple of this length.
pub(super) const LANES: usize = 16;

/// The score of a masked pair. It is below every real score: `exp(MASKED − maximum)` is zero for a maximum of real
/// scores.
pub(super) const MASKED: f32 = -3.0e38;

/// Head widths are padded with zeros to a multiple of this.
pub(super) const GROUP: usize = 4;

/// Queries processed together. Their sums fill the vector registers of AVX-512. On AVX2 half of them spill.
pub(super) const QUERIES: usize = 4;

type Lanes = [f32; LANES];

#[inline(always)]
fn lanes(x: &[f32], start: usize) -> &Lanes {
    x[start..start + LANES].try_into().expect("a slice of whole lanes")
}

#[inline(always)]
fn lanes_mut(x: &mut [f32], start: usize) -> &mut Lanes {
    (&mut x[start..start + LANES]).try_into().expect("a slice of whole lanes")
}

/// `rows[q][j] += Σ_d a[q][d] · planes[d][j]`.
#[inline(always)]
pub(super) fn add_products(rows: &mut [f32], a: &[f32], planes: &[f32]) {
    let (stride, width) = (rows.len() / QUERIES, a.len() / QUERIES);
    for start in (0..stride).step_by(LANES) {
        let mut sums: [Lanes; QUERIES] = std::array::from_fn(|q| *lanes(rows, q * stride + start));
        for d in 0..width {
            let plane = lanes(planes, d * stride + start);
            for q in 0..QUERIES {
                let a = a[q * width + d];
                for i in 0..LANES {
                    sums[q][i] += a * plane[i];
                }
            }
        }
        for q in 0..QUERIES {
            *lanes_mut(rows, q * stride + start) = sums[q];
        }
    }
}

/// `planes[d][j] += Σ_q a[q][d] · rows[q][j]`.
#[inline(always)]
pub(super) fn add_outer(planes: &mut [f32], a: &[f32], rows: &[f32]) {
    let (stride, width) = (rows.len() / QUERIES, a.len() / QUERIES);
    for start in (0..stride).step_by(LANES) {
        let rows: [Lanes; QUERIES] = std::array::from_fn(|q| *lanes(rows, q * stride + start));
        for d in 0..width {
            let plane = lanes_mut(planes, d * stride + start);
            let mut sum = *plane;
            for q in 0..QUERIES {
                let a = a[q * width + d];
                for i in 0..LANES {
                    sum[i] += a * rows[q][i];
                }
            }
            *plane = sum;
        }
    }
}

/// `sums[q][d] = Σ_j rows[q][j] · planes[d][j]`.
#[inline(always)]
pub(super) fn contract(sums: &mut [f32], rows: &[f32], planes: &[f32]) {
    let (stride, width) = (rows.len() / QUERIES, sums.len() / QUERIES);
    // Two channels per iteration, so that each load of the rows is used twice.
    for d in (0..width).step_by(2) {
        let (mut even, mut odd) = ([[0f32; LANES]; QUERIES], [[0f32; LANES]; QUERIES]);
        for start in (0..stride).step_by(LANES) {
            let (x, y) = (lanes(planes, d * stride + start), lanes(planes, (d + 1) * stride + start));
            for q in 0..QUERIES {
                let row = lanes(rows, q * stride + start);
                for i in 0..LANES {
                    even[q][i] += row[i] * x[i];
                }
                for i in 0..LANES {
                    odd[q][i] += row[i] * y[i];
                }
            }
        }
        for q in 0..QUERIES {
            sums[q * width + d] = add_lanes(even[q]);
            sums[q * width + d + 1] = add_lanes(odd[q]);
        }
    }
}

/// Largest value of a row.
#[inline(always)]
pub(super) fn maximum(row: &[f32]) -> f32 {
    let mut lanes = [MASKED; LANES];
    for r in row.chunks_exact(LANES) {
        for i in 0..LANES {
            lanes[i] = if r[i] > lanes[i] { r[i] } else { lanes[i] };
        }
    }
    lanes.into_iter().fold(MASKED, f32::max)
}

/// `row[j] = exp(row[j] − shift)`.
#[inline(always)]
pub(super) fn exponentiate(row: &mut [f32], shift: f32) {
    for r in row.iter_mut() {
        *r = exp(*r - shift);
    }
}

/// Sum of a row.
#[inline(always)]
pub(super) fn total(row: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    for r in row.chunks_exact(LANES) {
        for i in 0..LANES {
            lanes[i] += r[i];
        }
    }
    add_lanes(lanes)
}

/// Replaces the gradient of the probabilities by the gradient of the scores: `dp[j] = p[j] (dp[j] − delta)`.
#[inline(always)]
pub(super) fn score_gradients(dp: &mut [f32], p: &[f32], delta: f32) {
    for (dp, p) in dp.iter_mut().zip(p) {
        *dp = p * (*dp - delta);
    }
}

/// Pairwise sum, in an order that is the same on every processor. It is unrolled by hand: an array that a variable
/// indexes would be kept in memory, and so would the sums of the caller.
#[inline(always)]
fn add_lanes(x: Lanes) -> f32 {
    let x: [f32; 8] = std::array::from_fn(|i| x[i] + x[i + 8]);
    let x: [f32; 4] = std::array::from_fn(|i| x[i] + x[i + 4]);
    (x[0] + x[2]) + (x[1] + x[3])
}
