//! The burn binding of linear maps: backends, fusion and autodiff.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
#[cfg(not(target_family = "wasm"))]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::CubeBackend;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
#[cfg(not(target_family = "wasm"))]
use burn::tensor::DType;
use burn::tensor::Shape;

use super::output::Output;
#[cfg(not(target_family = "wasm"))]
use super::output::with_channels;
use super::{cpu, gpu};
use crate::runtime::autodiff::second_order;
use crate::runtime::launch::GpuArray;
use crate::sums::sum_parts_of_two;

/// Linear maps of the last axis as a backend implements them. `weight [inputs, outputs]`, `bias [outputs]` and their
/// gradients are f32.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(not(target_family = "wasm")))]
pub(crate) trait LinearOps: Backend {
    #[fusion(meta = |x, weight, _bias, _output| mapped_spec(x, weight.shape[1]))]
    fn linear_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        output: Output,
    ) -> FloatTensor<Self>;

    /// `x W + bias + residual`.
    #[fusion(meta = |_x, _weight, _bias, residual, _output| TensorSpec::new(residual.shape.clone(), residual.dtype))]
    fn linear_add_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        output: Output,
    ) -> FloatTensor<Self>;

    #[fusion(meta = |gradient, weight| mapped_spec(gradient, weight.shape[0]))]
    fn linear_input_gradient(gradient: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The gradients of weight and bias.
    #[fusion(meta = parameter_specs)]
    fn linear_parameter_gradients(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

#[cfg(not(target_family = "wasm"))]
fn mapped_spec(x: &TensorSpec, channels: usize) -> TensorSpec {
    TensorSpec::new(with_channels(&x.shape, channels), x.dtype)
}

#[cfg(not(target_family = "wasm"))]
fn parameter_specs(x: &TensorSpec, gradient: &TensorSpec) -> (TensorSpec, TensorSpec) {
    let [inputs, outputs] = [x, gradient].map(|spec| spec.shape[spec.shape.num_dims() - 1]);
    (
        TensorSpec::new(Shape::new([inputs, outputs]), DType::F32),
        TensorSpec::new(Shape::new([outputs]), DType::F32),
    )
}

impl LinearOps for Flex {
    fn linear_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        output: Output,
    ) -> FloatTensor<Self> {
        cpu::forward(x, weight, bias, output)
    }

    fn linear_add_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        output: Output,
    ) -> FloatTensor<Self> {
        cpu::forward_add(x, [weight, bias], residual, output)
    }

    fn linear_input_gradient(gradient: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        cpu::input_gradient(gradient, weight)
    }

    fn linear_parameter_gradients(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        cpu::parameter_gradients(x, gradient)
    }
}

impl LinearOps for CubeBackend {
    fn linear_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        output: Output,
    ) -> FloatTensor<Self> {
        let [x, weight, bias] = [x, weight, bias].map(GpuArray::new);
        gpu::forward(&x, &weight, &bias, output).0
    }

    fn linear_add_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        output: Output,
    ) -> FloatTensor<Self> {
        let [x, weight, bias, residual] = [x, weight, bias, residual].map(GpuArray::new);
        gpu::forward_add(&x, [&weight, &bias], &residual, output).0
    }

    fn linear_input_gradient(gradient: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        gpu::input_gradient(&GpuArray::new(gradient), &GpuArray::new(weight)).0
    }

    fn linear_parameter_gradients(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [inputs, outputs] =
            [&x, &gradient].map(|tensor| tensor.meta.shape()[tensor.meta.shape().num_dims() - 1]);
        let partial_sums = gpu::parameter_gradients(&GpuArray::new(x), &GpuArray::new(gradient));
        let [weight, bias] = sum_parts_of_two(&partial_sums, [inputs * outputs, outputs]);
        (Self::float_reshape(weight.0, Shape::new([inputs, outputs])), bias.0)
    }
}

#[derive(Debug)]
struct LinearBackward;

impl<B: LinearOps> Backward<B, 3> for LinearBackward {
    /// x and the weight.
    type State = [FloatTensor<B>; 2];

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let parents = ops.parents.map(|parent| parent.map(|node| node.id));
        register::<B>(ops.state, parents, gradient, gradients);
    }
}

#[derive(Debug)]
struct LinearAddBackward;

impl<B: LinearOps> Backward<B, 4> for LinearAddBackward {
    /// x and the weight.
    type State = [FloatTensor<B>; 2];

    fn backward(self, ops: Ops<Self::State, 4>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let [of_x, of_weight, of_bias, of_residual] = ops.parents.map(|parent| parent.map(|node| node.id));
        register::<B>(ops.state, [of_x, of_weight, of_bias], gradient.clone(), gradients);
        if let Some(parent) = of_residual {
            gradients.register::<B>(parent, gradient);
        }
    }
}

/// Registers the gradients of x, weight and bias.
fn register<B: LinearOps>(
    [x, weight]: [FloatTensor<B>; 2],
    [of_x, of_weight, of_bias]: [Option<NodeId>; 3],
    gradient: FloatTensor<B>,
    gradients: &mut Gradients,
) {
    if of_weight.is_some() || of_bias.is_some() {
        let (weight, bias) = B::linear_parameter_gradients(x, gradient.clone());
        for (parent, gradient) in [(of_weight, weight), (of_bias, bias)] {
            if let Some(parent) = parent {
                gradients.register::<B>(parent, gradient);
            }
        }
    }
    if let Some(parent) = of_x {
        gradients.register::<B>(parent, B::linear_input_gradient(gradient, weight));
    }
}

impl<B: LinearOps, C: CheckpointStrategy> LinearOps for Autodiff<B, C> {
    fn linear_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        output: Output,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        let step = LinearBackward.prepare::<C>(nodes).compute_bound().stateful();
        let (x, weight, bias) = (x.into_primitive(), weight.into_primitive(), bias.into_primitive());
        let y = B::linear_forward(x.clone(), weight.clone(), bias, output);
        match step {
            OpsKind::Tracked(step) => step.finish([x, weight], y),
            OpsKind::UnTracked(step) => step.finish(y),
        }
    }

    fn linear_add_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        output: Output,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node(), residual.node()];
        let step = LinearAddBackward.prepare::<C>(nodes).compute_bound().stateful();
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let (bias, residual) = (bias.into_primitive(), residual.into_primitive());
        let y = B::linear_add_forward(x.clone(), weight.clone(), bias, residual, output);
        match step {
            OpsKind::Tracked(step) => step.finish([x, weight], y),
            OpsKind::UnTracked(step) => step.finish(y),
        }
    }

    fn linear_input_gradient(_gradient: FloatTensor<Self>, _weight: FloatTensor<Self>) -> FloatTensor<Self> {
        second_order()
    }

    fn linear_parameter_gradients(
        _x: FloatTensor<Self>,
        _gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        second_order()
    }
}
