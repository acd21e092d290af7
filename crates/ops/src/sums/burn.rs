//! The burn binding of sums: backends, fusion and autodiff.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
#[cfg(not(target_family = "wasm"))]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::CubeBackend;
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata, backend_extension};
use burn::tensor::Shape;

use super::summand::Summand;
use super::{cpu, gpu};
use crate::runtime::flex::{flex_tensor, floats};
use crate::runtime::launch::GpuArray;

/// Sums as a backend implements them.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(not(target_family = "wasm")))]
pub(crate) trait SumOps: Backend {
    /// `x [rows, n]` → `[rows]`.
    #[fusion(meta = |x, _summand| TensorSpec::new(Shape::new([x.shape[0]]), x.dtype))]
    fn sum_rows(x: FloatTensor<Self>, summand: Summand) -> FloatTensor<Self>;
}

impl SumOps for Flex {
    fn sum_rows(x: FloatTensor<Self>, summand: Summand) -> FloatTensor<Self> {
        let x = x.to_contiguous();
        let [rows, n] = x.layout().shape().dims();
        flex_tensor(cpu::rows(&floats(&x), rows, n, summand), Shape::new([rows]), x.dtype())
    }
}

impl SumOps for CubeBackend {
    fn sum_rows(x: FloatTensor<Self>, summand: Summand) -> FloatTensor<Self> {
        gpu::sum_rows(&GpuArray::new(x), summand).0
    }
}

#[derive(Debug)]
struct SumBackward;

impl<B: SumOps> Backward<B, 1> for SumBackward {
    /// The shape of x, the summand, and x if the derivative depends on it.
    type State = (Shape, Summand, Option<FloatTensor<B>>);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (shape, summand, x) = ops.state;
        let [Some(parent)] = ops.parents else { return };
        let gradient = B::float_reshape(gradient, Shape::new([shape[0], 1]));
        let gradient = B::float_expand(gradient, shape);
        let gradient = match (summand, x) {
            (Summand::Magnitude, Some(x)) => B::float_mul(B::float_sign(x), gradient),
            (Summand::Square, Some(x)) => B::float_mul(B::float_mul_scalar(x, 2.0.into()), gradient),
            _ => gradient,
        };
        gradients.register::<B>(parent.id, gradient);
    }
}

impl<B: SumOps, C: CheckpointStrategy> SumOps for Autodiff<B, C> {
    fn sum_rows(x: FloatTensor<Self>, summand: Summand) -> FloatTensor<Self> {
        let step = SumBackward.prepare::<C>([x.node()]).compute_bound().stateful();
        let x = x.into_primitive();
        let sums = B::sum_rows(x.clone(), summand);
        match step {
            OpsKind::Tracked(step) => {
                let shape = x.shape();
                step.finish((shape, summand, (summand != Summand::Value).then_some(x)), sums)
            }
            OpsKind::UnTracked(step) => step.finish(sums),
        }
    }
}
