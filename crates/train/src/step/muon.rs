//! Muon: the update of a matrix is the orthogonal factor of its momentum (Jordan, "Muon: an optimizer for hidden layers
//! in neural networks", 2024), scaled to the size of an AdamW update (Liu et al., arXiv:2502.16982, eq. 4).
//!
//! ```text
//! U Σ Vᵀ = M        step = η · 0.2 · √max(rows, columns) · U Vᵀ
//! ```
//! Five Newton-Schulz iterations `X ← a X + (b X Xᵀ + c (X Xᵀ)²) X` approximate U Vᵀ with matrix products only.
//!
//! burn-optim's `Muon` with `AdjustLrFn::MatchRmsAdamW` computes the same update, and a test compares the two. This
//! implementation is kept because it works on the vector of parameters (see `optimizer.rs`) and takes all matrices
//! of one shape through the products together, while burn's processes them one by one.

use burn::tensor::Tensor;

use crate::step::freeze::Frozen;
use crate::step::parameters::ParameterLayout;

/// They bring singular values from 0.003 to 1 into the range 0.7 to 1.2 in [`ITERATIONS`] (Jordan).
const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];
const ITERATIONS: usize = 5;

/// Root mean square of the elements of a typical AdamW update, to which the step is scaled.
const UPDATE_RMS: f64 = 0.2;

/// Keeps the factor of a zero matrix finite.
const EPSILON: f64 = 1e-12;

/// The matrices of linear maps in the vector of parameters.
#[derive(Debug, Clone)]
pub(crate) struct Muon {
    groups: Vec<Group>,
}

/// Matrices of one shape, which go through the products as one batch.
#[derive(Debug, Clone)]
struct Group {
    shape: [usize; 2],
    /// Index of each matrix's first element.
    starts: Vec<usize>,
}

impl Muon {
    /// The `weight` matrices of `layout`. Embeddings and tables of biases are not linear maps.
    pub(crate) fn new(layout: &ParameterLayout) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for (start, entry) in layout.places() {
            let &[rows, columns] = entry.shape.as_slice() else { continue };
            if !entry.name.ends_with("weight") {
                continue;
            }
            let shape = [rows, columns];
            match groups.iter_mut().find(|group| group.shape == shape) {
                Some(group) => group.starts.push(start),
                None => groups.push(Group { shape, starts: vec![start] }),
            }
        }
        Self { groups }
    }

    /// Without the matrices that are frozen.
    pub(crate) fn without(mut self, frozen: &Frozen) -> Self {
        for group in &mut self.groups {
            group.starts.retain(|start| !frozen.contains(*start));
        }
        self.groups.retain(|group| !group.starts.is_empty());
        self
    }

    /// `step [p]` with the elements of the matrices replaced by their step along `momentum [p]`.
    pub(crate) fn replace(&self, step: Tensor<1>, momentum: &Tensor<1>, learning_rate: f64) -> Tensor<1> {
        let mut pieces = Vec::new();
        for Group { shape: [rows, columns], starts } in &self.groups {
            let size = rows * columns;
            let matrices = starts.iter().map(|&start| momentum.clone().narrow(0, start, size)).collect();
            let matrices = Tensor::cat(matrices, 0).reshape([starts.len(), *rows, *columns]);
            let scale = learning_rate * UPDATE_RMS * (*rows.max(columns) as f64).sqrt();
            let steps = orthogonal_factors(matrices).mul_scalar(scale).reshape([starts.len() * size]);
            pieces.extend(
                starts.iter().enumerate().map(|(i, &start)| (start, steps.clone().narrow(0, i * size, size))),
            );
        }
        pieces.sort_by_key(|(start, _)| *start);
        let (length, mut at, mut parts) = (step.dims()[0], 0, Vec::new());
        for (start, piece) in pieces {
            if start > at {
                parts.push(step.clone().narrow(0, at, start - at));
            }
            at = start + piece.dims()[0];
            parts.push(piece);
        }
        if at < length {
            parts.push(step.narrow(0, at, length - at));
        }
        Tensor::cat(parts, 0)
    }
}

/// The orthogonal factors U Vᵀ of `[k, m, n]`, approximately: their singular values are within 0.7 to 1.2.
fn orthogonal_factors(matrices: Tensor<3>) -> Tensor<3> {
    let [_, rows, columns] = matrices.dims();
    let tall = rows > columns;
    let mut x = if tall { matrices.swap_dims(1, 2) } else { matrices };
    // The Frobenius norm bounds the largest singular value.
    let norm = x.clone().square().sum_dim(2).sum_dim(1).sqrt().add_scalar(EPSILON);
    x = x / norm;
    let [a, b, c] = COEFFICIENTS;
    for _ in 0..ITERATIONS {
        let gram = x.clone().matmul(x.clone().swap_dims(1, 2));
        let polynomial = gram.clone().mul_scalar(b) + gram.clone().matmul(gram).mul_scalar(c);
        x = x.clone().mul_scalar(a) + polynomial.matmul(x);
    }
    if tall { x.swap_dims(1, 2) } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::Module;
    use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
    use burn::tensor::{Device, Distribution};

    fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.into_data_as::<f32>().try_to_vec().unwrap()
    }

    /// The rows of a factor are nearly orthonormal, and the product of matrix and factor is symmetric and positive.
    #[test]
    fn factors_approximate_those_of_the_polar_decomposition() {
        let device = Device::flex();
        for [rows, columns] in [[6, 20], [20, 6], [7, 7]] {
            let matrices = Tensor::<3>::random([3, rows, columns], Distribution::Normal(0.0, 3.0), &device);
            let factors = orthogonal_factors(matrices.clone());
            let least = rows.min(columns);
            let (f, m) = if rows > columns {
                (factors.swap_dims(1, 2), matrices.swap_dims(1, 2))
            } else {
                (factors, matrices)
            };
            let gram = values(f.clone().matmul(f.clone().swap_dims(1, 2)));
            let polar = values(m.matmul(f.swap_dims(1, 2)));
            for k in 0..3 {
                let at = |x: &[f32], i: usize, j: usize| x[(k * least + i) * least + j];
                let (mut largest, mut skew) = (0f32, 0f32);
                for i in 0..least {
                    assert!((0.3..1.5).contains(&at(&gram, i, i)), "{}", at(&gram, i, i));
                    assert!(at(&polar, i, i) > 0.0);
                    for j in 0..least {
                        largest = largest.max(at(&polar, i, j).abs());
                        skew = skew.max((at(&polar, i, j) - at(&polar, j, i)).abs());
                    }
                }
                assert!(skew < 1e-4 * largest, "{skew} of {largest}");
            }
        }
    }

    #[derive(Module, Debug)]
    struct Net {
        wide: Linear,
        norm: LayerNorm,
        also_wide: Linear,
        tall: Linear,
    }

    #[test]
    fn each_matrix_gets_its_own_step_and_nothing_else_changes() {
        let device = Device::flex();
        let net = Net {
            wide: LinearConfig::new(2, 3).init(&device),
            norm: LayerNormConfig::new(2).init(&device),
            also_wide: LinearConfig::new(2, 3).with_bias(false).init(&device),
            tall: LinearConfig::new(3, 1).init(&device),
        };
        let layout = ParameterLayout::of(&net);
        let muon = Muon::new(&layout);
        let length = layout.len();
        let step = Tensor::<1>::full([length], 7.0, &device);
        let momentum = Tensor::<1>::random([length], Distribution::Normal(0.0, 1.0), &device);
        let replaced = values(muon.replace(step, &momentum, 0.5));
        assert_eq!(replaced.len(), length);
        for (start, entry) in layout.places() {
            let size: usize = entry.shape.iter().product();
            let got = &replaced[start..start + size];
            if entry.name.ends_with("weight") {
                let shape = [1, entry.shape[0], entry.shape[1]];
                let alone = orthogonal_factors(momentum.clone().narrow(0, start, size).reshape(shape));
                let scale = 0.5 * UPDATE_RMS * (*entry.shape.iter().max().unwrap() as f64).sqrt();
                let expected = values(alone.mul_scalar(scale));
                assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{}", entry.name);
            } else {
                assert!(got.iter().all(|&x| x == 7.0), "{}", entry.name);
            }
        }
    }
}
