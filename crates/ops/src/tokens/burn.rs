//! The burn binding of the operations on tokens: backends, fusion and autodiff.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::CubeBackend;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};

use super::{cpu, gpu};
use crate::runtime::autodiff::second_order;
use crate::runtime::flex::{flex_tensor, floats};
use crate::runtime::launch::GpuArray;
use crate::sums::sum_parts;

/// Operations on each token separately, as a backend implements them. `gamma [c]`, `beta [c]` and their gradients are
/// f32.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(not(target_family = "wasm")))]
pub(crate) trait TokenOps: Backend {
    #[fusion(meta = |x| x.clone())]
    fn token_gelu(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The gradient of the input.
    #[fusion(meta = |x, _gradient| x.clone())]
    fn token_gelu_backward(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;

    #[fusion(meta = |x, _gamma, _beta| x.clone())]
    fn token_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// The gradients of the input, γ and β.
    #[fusion(meta = |x, gamma, _gradient| (x.clone(), gamma.clone(), gamma.clone()))]
    fn token_layer_norm_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl TokenOps for Flex {
    fn token_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let x = x.to_contiguous();
        flex_tensor(cpu::gelu(&floats(&x)), x.layout().shape().clone(), x.dtype())
    }

    fn token_gelu_backward(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, gradient) = (x.to_contiguous(), gradient.to_contiguous());
        let values = cpu::gelu_backward(&floats(&x), &floats(&gradient));
        flex_tensor(values, x.layout().shape().clone(), x.dtype())
    }

    fn token_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.to_contiguous());
        let values = cpu::layer_norm(&floats(&x), &floats(&gamma), &floats(&beta));
        flex_tensor(values, x.layout().shape().clone(), x.dtype())
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
            flex_tensor(of_x, x.layout().shape().clone(), x.dtype()),
            flex_tensor(of_gamma, channels.clone(), gamma.dtype()),
            flex_tensor(of_beta, channels, gamma.dtype()),
        )
    }
}

impl TokenOps for CubeBackend {
    fn token_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        gpu::gelu(&GpuArray::new(x)).0
    }

    fn token_gelu_backward(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        gpu::gelu_backward(&GpuArray::new(x), &GpuArray::new(gradient)).0
    }

    fn token_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let [x, gamma, beta] = [x, gamma, beta].map(GpuArray::new);
        gpu::layer_norm(&x, &gamma, &beta).0
    }

    fn token_layer_norm_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [x, gamma, gradient] = [x, gamma, gradient].map(GpuArray::new);
        let [of_x, gamma_sums, beta_sums] = gpu::layer_norm_backward(&x, &gamma, &gradient);
        (of_x.0, sum_parts(&gamma_sums).0, sum_parts(&beta_sums).0)
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
        second_order()
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
        second_order()
    }
}
