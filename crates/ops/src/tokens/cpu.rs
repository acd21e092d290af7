//! Layer normalisation and GELU on the CPU: one pass over memory forward and one backward. The loops run over slices of
//! equal length, and the compiler vectorises them for the instruction set that [`pulp`] detects.
//!
//! Work is divided into parts of fixed size, and sums over parts are taken in order, so results do not depend on the
//! number of threads.

use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use crate::runtime::exponential::exp;
use crate::runtime::flex::cpu_output;

/// Added to the variance of layer normalisation, as in `shaders/common/token.wgsl`.
const EPSILON: f64 = 1e-5;

/// Elements of a part: 64 KiB, so that a thread's inputs and outputs stay in its second-level cache.
const PART: usize = 1 << 14;

/// The density of the standard normal distribution at 0: `1/√(2π)`.
const DENSITY_AT_0: f32 = 0.398_942_3;

/// A loop to be vectorised.
struct Vectorised<F>(F);

impl<F: FnOnce()> NullaryFnOnce for Vectorised<F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        (self.0)();
    }
}

/// Φ(x) and `exp(−x²/2)`.
///
/// `Φ(−a) = exp(−a²/2) · t · P(t)` with `t = 1/(1 + a/4)`, because the quotient of Φ(−a) and the exponential is smooth
/// in t. P is the polynomial of degree 9 with the least relative error (8e-9) for a from 0 to 14.
#[inline(always)]
fn distribution(x: f32) -> (f32, f32) {
    const P: [f32; 10] = [
        0.099_747_9,
        0.099_492_66,
        0.095_514_864,
        0.072_003_424,
        0.086_645_305,
        0.012_733_426,
        0.028_409_867,
        0.051_671_807,
        -0.062_800_42,
        0.016_581_167,
    ];
    let bell = exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.25 * x.abs());
    let mut p = P[9];
    for i in (0..9).rev() {
        p = p * t + P[i];
    }
    let tail = bell * t * p;
    (if x < 0.0 { tail } else { 1.0 - tail }, bell)
}

/// `x Φ(x)` of every element.
pub(crate) fn gelu(x: &[f32]) -> Vec<f32> {
    let mut output = cpu_output(x.len());
    output.par_chunks_mut(PART).zip(x.par_chunks(PART)).for_each(|(output, x)| {
        Arch::new().dispatch(Vectorised(
            #[inline(always)]
            || {
                for (y, &x) in output.iter_mut().zip(x) {
                    *y = x * distribution(x).0;
                }
            },
        ));
    });
    output
}

/// The gradient of the input: the gradient of the output times `Φ(x) + x φ(x)`.
pub(crate) fn gelu_backward(x: &[f32], gradient: &[f32]) -> Vec<f32> {
    let mut output = cpu_output(x.len());
    let parts = x.par_chunks(PART).zip(gradient.par_chunks(PART));
    output.par_chunks_mut(PART).zip(parts).for_each(|(output, (x, gradient))| {
        Arch::new().dispatch(Vectorised(
            #[inline(always)]
            || {
                for ((y, &x), &g) in output.iter_mut().zip(x).zip(gradient) {
                    let (phi, bell) = distribution(x);
                    *y = g * (phi + x * (DENSITY_AT_0 * bell));
                }
            },
        ));
    });
    output
}

/// Number of partial sums of [`sum`].
const LANES: usize = 16;

/// `Σ f(i)` over 0..n, in an order that is the same on every processor: first per lane, then over the lanes.
#[inline(always)]
fn sum(n: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let whole = n / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += f(start + lane);
        }
    }
    for i in whole..n {
        lanes[i - whole] += f(i);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// The mean of a token, and the reciprocal of its standard deviation.
#[inline(always)]
fn moments(token: &[f32]) -> (f32, f32) {
    let n = token.len() as f32;
    let mean = sum(token.len(), |i| token[i]) / n;
    let variance = sum(token.len(), |i| (token[i] - mean) * (token[i] - mean)) / n;
    (mean, 1.0 / (variance + EPSILON as f32).sqrt())
}

/// Tokens of a part.
fn tokens_of_part(channels: usize) -> usize {
    (PART / channels).max(1)
}

/// `γ (x − mean) / √(variance + ε) + β` of every token of `gamma.len()` channels.
pub(crate) fn layer_norm(x: &[f32], gamma: &[f32], beta: &[f32]) -> Vec<f32> {
    let channels = gamma.len();
    let part = tokens_of_part(channels) * channels;
    let mut output = cpu_output(x.len());
    output.par_chunks_mut(part).zip(x.par_chunks(part)).for_each(|(output, x)| {
        Arch::new().dispatch(Vectorised(
            #[inline(always)]
            || {
                for (y, x) in output.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                    let (mean, scale) = moments(x);
                    for (((y, x), gamma), beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                        *y = (x - mean) * scale * gamma + beta;
                    }
                }
            },
        ));
    });
    output
}

/// The gradients of the input, γ and β: `(g − mean g − x̂ · mean (g x̂)) / σ`, `Σ x̂ · gradient` and `Σ gradient`, with
/// `x̂ = (x − mean) / σ` and `g = γ · gradient`.
pub(crate) fn layer_norm_backward(x: &[f32], gamma: &[f32], gradient: &[f32]) -> [Vec<f32>; 3] {
    let channels = gamma.len();
    let part = tokens_of_part(channels) * channels;
    let mut output = cpu_output(x.len());
    let parts: Vec<[Vec<f32>; 2]> = output
        .par_chunks_mut(part)
        .zip(x.par_chunks(part).zip(gradient.par_chunks(part)))
        .map(|(output, (x, gradient))| {
            let mut sums = [vec![0.0; channels], vec![0.0; channels]];
            Arch::new().dispatch(Vectorised(
                #[inline(always)]
                || {
                    let tokens = x.chunks_exact(channels).zip(gradient.chunks_exact(channels));
                    for (y, (x, gradient)) in output.chunks_exact_mut(channels).zip(tokens) {
                        token_backward(y, x, gamma, gradient, &mut sums);
                    }
                },
            ));
            sums
        })
        .collect();
    let [mut of_gamma, mut of_beta] = [vec![0.0; channels], vec![0.0; channels]];
    for [gamma, beta] in parts {
        for (sums, part) in [(&mut of_gamma, gamma), (&mut of_beta, beta)] {
            sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
        }
    }
    [output, of_gamma, of_beta]
}

/// Writes the input gradient of one token to `y`, and adds its contribution to the gradients of γ and β.
#[inline(always)]
fn token_backward(y: &mut [f32], x: &[f32], gamma: &[f32], gradient: &[f32], sums: &mut [Vec<f32>; 2]) {
    let n = x.len();
    // Slices of the same known length need no bounds checks in the loops.
    let (gamma, gradient, y) = (&gamma[..n], &gradient[..n], &mut y[..n]);
    let [of_gamma, of_beta] = sums;
    let (of_gamma, of_beta) = (&mut of_gamma[..n], &mut of_beta[..n]);
    let (mean, scale) = moments(x);
    let along = |i: usize| (x[i] - mean) * scale;
    let mean_gradient = sum(n, |i| gamma[i] * gradient[i]) / n as f32;
    let mean_along = sum(n, |i| gamma[i] * gradient[i] * along(i)) / n as f32;
    for i in 0..n {
        y[i] = (gamma[i] * gradient[i] - mean_gradient - along(i) * mean_along) * scale;
        of_gamma[i] += gradient[i] * along(i);
        of_beta[i] += gradient[i];
    }
}
