//! A linear map of tokens and its gradients, by definition.

/// Extents of a linear map.
#[derive(Debug, Clone, Copy)]
pub struct Extents {
    /// Tokens.
    pub tokens: usize,
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
}

/// `Σ_i x[t, i] w[i, o] + bias[o]`.
pub fn output(Extents { tokens, inputs, outputs }: Extents, [x, w, bias]: [&[f64]; 3]) -> Vec<f64> {
    let one = |t: usize, o: usize| {
        bias[o] + (0..inputs).map(|i| x[t * inputs + i] * w[i * outputs + o]).sum::<f64>()
    };
    (0..tokens * outputs).map(|n| one(n / outputs, n % outputs)).collect()
}

/// `Σ_o g[t, o] w[i, o]`.
pub fn input_gradient(Extents { tokens, inputs, outputs }: Extents, g: &[f64], w: &[f64]) -> Vec<f64> {
    let one = |t: usize, i: usize| (0..outputs).map(|o| g[t * outputs + o] * w[i * outputs + o]).sum();
    (0..tokens * inputs).map(|n| one(n / inputs, n % inputs)).collect()
}

/// `Σ_t x[t, i] g[t, o]`.
pub fn weight_gradient(Extents { tokens, inputs, outputs }: Extents, x: &[f64], g: &[f64]) -> Vec<f64> {
    let one = |i: usize, o: usize| (0..tokens).map(|t| x[t * inputs + i] * g[t * outputs + o]).sum();
    (0..inputs * outputs).map(|n| one(n / outputs, n % outputs)).collect()
}

/// `Σ_t g[t, o]`.
pub fn bias_gradient(Extents { tokens, outputs, .. }: Extents, g: &[f64]) -> Vec<f64> {
    (0..outputs).map(|o| (0..tokens).map(|t| g[t * outputs + o]).sum()).collect()
}
