//! The seam for the operations on single tokens: the CPU path and its gradients.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::DType;

use super::{FIRST_ORDER, flex_tensor, floats};
use crate::tokenwise::cpu;

/// Operations on every token alone, where a backend has its own path for them.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait TokenOps: Backend {
    fn token_gelu(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Gradient of the input.
    fn token_gelu_backward(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;

    fn token_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Gradients of the input, of γ and of β.
    fn token_layer_norm_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl TokenOps for Flex {
    fn token_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let x = x.to_contiguous();
        flex_tensor(cpu::gelu(&floats(&x)), x.layout().shape().clone(), DType::F32)
    }

    fn token_gelu_backward(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, gradient) = (x.to_contiguous(), gradient.to_contiguous());
        let values = cpu::gelu_backward(&floats(&x), &floats(&gradient));
        flex_tensor(values, x.layout().shape().clone(), DType::F32)
    }

    fn token_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.to_contiguous());
        let values = cpu::layer_norm(&floats(&x), &floats(&gamma), &floats(&beta));
        flex_tensor(values, x.layout().shape().clone(), DType::F32)
    }

    fn token_layer_norm_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [x, gamma, gradient] = [x, gamma, gradient].map(|tensor| tensor.to_contiguous());
        let [of_x, of_gamma, of_beta] =
            cpu::layer_norm_backward(&floats(&x), &floats(&gamma), &floats(&gradient));
        let channels = gamma.layout().shape().clone();
        (
            flex_tensor(of_x, x.layout().shape().clone(), DType::F32),
            flex_tensor(of_gamma, channels.clone(), DType::F32),
            flex_tensor(of_beta, channels, DType::F32),
        )
    }
}

#[derive(Debug)]
struct GeluBackward;

impl<B: TokenOps> Backward<B, 1> for GeluBackward {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let [Some(parent)] = ops.parents else { return };
        gradients.register::<B>(parent.id, B::token_gelu_backward(ops.state, gradient));
    }
}

#[derive(Debug)]
struct LayerNormBackward;

impl<B: TokenOps> Backward<B, 3> for LayerNormBackward {
    /// x and γ.
    type State = [FloatTensor<B>; 2];

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let [x, gamma] = ops.state;
        let (x, gamma, beta) = B::token_layer_norm_backward(x, gamma, gradient);
        for (parent, gradient) in ops.parents.into_iter().zip([x, gamma, beta]) {
            if let Some(parent) = parent {
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: TokenOps, C: CheckpointStrategy> TokenOps for Autodiff<B, C> {
    fn token_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let step = GeluBackward.prepare::<C>([x.node()]).compute_bound().stateful();
        let x = x.into_primitive();
        let output = B::token_gelu(x.clone());
        match step {
            OpsKind::Tracked(step) => step.finish(x, output),
            OpsKind::UnTracked(step) => step.finish(output),
        }
    }

    fn token_gelu_backward(_x: FloatTensor<Self>, _gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("{FIRST_ORDER}")
    }

    fn token_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), gamma.node(), beta.node()];
        let step = LayerNormBackward.prepare::<C>(nodes).compute_bound().stateful();
        let (x, gamma, beta) = (x.into_primitive(), gamma.into_primitive(), beta.into_primitive());
        let output = B::token_layer_norm(x.clone(), gamma.clone(), beta);
        match step {
            OpsKind::Tracked(step) => step.finish([x, gamma], output),
            OpsKind::UnTracked(step) => step.finish(output),
        }
    }

    fn token_layer_norm_backward(
        _x: FloatTensor<Self>,
        _gamma: FloatTensor<Self>,
        _gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("{FIRST_ORDER}")
    }
}
