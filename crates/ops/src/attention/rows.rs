//! The inner loops of attention on the CPU: one row of scores at a time, in the first-level cache.
//!
//! Positions run along contiguous lanes ("planes" of one channel each), so that every loop is a plain loop over
//! equal slices, which compiles to whatever vectors [`pulp`] found the processor to have. Products and sums are
//! written apart and never fused, so that results do not depend on the processor.

/// Slices of positions are padded to a multiple of this.
pub(super) const LANES: usize = 16;

/// Below every score; the exponential of anything minus a maximum of real scores is zero.
pub(super) const MASKED: f32 = -3.0e38;

/// Channels taken at once. Head widths are padded to a multiple of it with zeros.
pub(super) const GROUP: usize = 4;

/// `exp(x)` for x ≤ 0 or moderate, to 2 ulp; zero below −87. Range reduction by ln 2 in two parts (Cody and
/// Waite), then the degree-6 polynomial of the Cephes library.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 · 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    // Comparisons this way round let a NaN through.
    let clamped = if x < -87.0 { -87.0 } else { x };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * LN_2_HIGH - n * LN_2_LOW;
    let mut y = 1.987_569_1e-4;
    y = y * r + 1.398_199_9e-3;
    y = y * r + 8.333_452e-3;
    y = y * r + 4.166_579_6e-2;
    y = y * r + 1.666_666_5e-1;
    y = y * r + 5e-1;
    y = y * r * r + r + 1.0;
    // The low bits of `shifted` hold n: into the exponent's place.
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    if x < -87.0 { 0.0 } else { y * power }
}

/// `row[j] += Σ_d a[d] · planes[d][j]`.
#[inline(always)]
pub(super) fn add_products(row: &mut [f32], a: &[f32], planes: &[f32]) {
    let stride = row.len();
    for (a, planes) in a.chunks_exact(GROUP).zip(planes.chunks_exact(GROUP * stride)) {
        let (p0, rest) = planes.split_at(stride);
        let (p1, rest) = rest.split_at(stride);
        let (p2, p3) = rest.split_at(stride);
        for ((((r, x0), x1), x2), x3) in row.iter_mut().zip(p0).zip(p1).zip(p2).zip(p3) {
            *r += (a[0] * x0 + a[1] * x1) + (a[2] * x2 + a[3] * x3);
        }
    }
}

/// `planes[d][j] += a[d] · row[j]`.
#[inline(always)]
pub(super) fn add_outer(planes: &mut [f32], a: &[f32], row: &[f32]) {
    for (a, plane) in a.iter().zip(planes.chunks_exact_mut(row.len())) {
        for (x, r) in plane.iter_mut().zip(row) {
            *x += a * r;
        }
    }
}

/// `Σ_j row[j] · planes[d][j]` for every channel d.
#[inline(always)]
pub(super) fn contract(sums: &mut [f32], row: &[f32], planes: &[f32]) {
    for (sum, plane) in sums.iter_mut().zip(planes.chunks_exact(row.len())) {
        let mut lanes = [0f32; LANES];
        for (r, x) in row.chunks_exact(LANES).zip(plane.chunks_exact(LANES)) {
            for i in 0..LANES {
                lanes[i] += r[i] * x[i];
            }
        }
        *sum = add_lanes(lanes);
    }
}

/// Largest of a row.
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

/// Gradient of the scores, in place of that of the probabilities: `dp[j] = p[j] (dp[j] − delta)`.
#[inline(always)]
pub(super) fn score_gradients(dp: &mut [f32], p: &[f32], delta: f32) {
    for (dp, p) in dp.iter_mut().zip(p) {
        *dp = p * (*dp - delta);
    }
}

/// Pairwise, so that the order is the same on every processor.
#[inline(always)]
fn add_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_right_to_two_ulp() {
        let mut worst = 0f64;
        for i in 0..=870_000 {
            let x = -(i as f32) * 1e-4;
            let exact = f64::from(x).exp();
            worst = worst.max(((f64::from(exp(x)) - exact) / exact).abs());
        }
        assert!(worst < 2.0 * f64::from(f32::EPSILON), "{worst}");
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(MASKED), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    }
}
