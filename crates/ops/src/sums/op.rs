//! The public functions on sums.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::burn::SumOps;
use super::summand::Summand;

/// The sum over each row of `x [rows, n]` (f32): `[rows]`. Differentiable.
///
/// The same values always give the same bits on one device. On a GPU, no invocation adds more than 24 values in
/// sequence per launch.
pub fn sum_rows(x: Tensor<2>, summand: Summand) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::sum_rows(x.into_dispatch(), summand))
}
