//! Layer normalisation and GELU of each token, by definition.

use std::f64::consts::TAU;

/// The standard normal density.
fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / TAU.sqrt()
}

/// The standard normal distribution function: `1/2 + φ(x) (x + x³/3 + x⁵/(3·5) + …)`, whose terms all have the same
/// sign (Marsaglia, "Evaluating the normal distribution", 2004).
pub fn distribution(x: f64) -> f64 {
    let (mut term, mut sum, mut odd) = (x, x, 3.0);
    while term.abs() > 1e-18 * sum.abs() {
        term *= x * x / odd;
        sum += term;
        odd += 2.0;
    }
    0.5 + density(x) * sum
}

/// `x Φ(x)`.
pub fn gelu(x: f64) -> f64 {
    x * distribution(x)
}

/// Its derivative.
pub fn gelu_slope(x: f64) -> f64 {
    distribution(x) + x * density(x)
}

/// Mean and `√(variance + 1e-5)`.
pub fn moments(token: &[f64]) -> (f64, f64) {
    let n = token.len() as f64;
    let mean = token.iter().sum::<f64>() / n;
    let variance = token.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    (mean, (variance + 1e-5).sqrt())
}

/// `γ (x − mean) / √(variance + 1e-5) + β` of one token.
pub fn layer_norm(token: &[f64], gamma: &[f64], beta: &[f64]) -> Vec<f64> {
    let (mean, deviation) = moments(token);
    (0..token.len()).map(|i| gamma[i] * (token[i] - mean) / deviation + beta[i]).collect()
}

/// Gradient of one token: the Jacobian `∂y_j/∂x_i = γ_j (δ_ij − 1/n − x̂_i x̂_j / n) / σ`, transposed, times the
/// gradient of its output.
pub fn layer_norm_backward(token: &[f64], gamma: &[f64], gradient: &[f64]) -> Vec<f64> {
    let (mean, deviation) = moments(token);
    let n = token.len();
    let along = |i: usize| (token[i] - mean) / deviation;
    let one = |i: usize| {
        let entry = |j: usize| {
            let own = if i == j { 1.0 } else { 0.0 };
            gamma[j] * (own - 1.0 / n as f64 - along(i) * along(j) / n as f64) / deviation
        };
        (0..n).map(|j| entry(j) * gradient[j]).sum()
    };
    (0..n).map(one).collect()
}
