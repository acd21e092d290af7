//! The seam for linear maps.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
#[cfg(not(target_family = "wasm"))]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::ops::{FloatTensorOps, ModuleOps};
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::CubeBackend;
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, FloatDType, Shape};

use super::{FIRST_ORDER, GpuArray};
use crate::linear::{Values, gpu, with_channels};

/// Linear maps of the last axis. `weight [inputs, outputs]` and `bias [outputs]` are f32, and so are their gradients.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(not(target_family = "wasm")))]
pub(crate) trait LinearOps: Backend {
    #[fusion(meta = |x, weight, _bias, _values| mapped_spec(x, weight.shape[1]))]
    fn linear_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        values: Values,
    ) -> FloatTensor<Self>;

    #[fusion(meta = |gradient, weight| mapped_spec(gradient, weight.shape[0]))]
    fn linear_input_gradient(gradient: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Gradients of weight and bias.
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

/// In f32, as the parameters are.
fn wide(tensor: FloatTensor<Flex>) -> FloatTensor<Flex> {
    if tensor.dtype() == DType::F32 { tensor } else { Flex::float_cast(tensor, FloatDType::F32) }
}

fn as_stored(tensor: FloatTensor<Flex>, dtype: DType) -> FloatTensor<Flex> {
    if dtype == DType::F32 { tensor } else { Flex::float_cast(tensor, dtype.into()) }
}

impl LinearOps for Flex {
    fn linear_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        values: Values,
    ) -> FloatTensor<Self> {
        let dtype = x.dtype();
        if values == Values::Left {
            let shape = with_channels(&x.shape(), weight.shape()[1]);
            return Self::float_empty(shape, &Default::default(), dtype.into());
        }
        as_stored(Self::linear(wide(x), weight, Some(bias)), dtype)
    }

    fn linear_input_gradient(gradient: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let dtype = gradient.dtype();
        as_stored(Self::linear_x_backward(weight, wide(gradient)), dtype)
    }

    fn linear_parameter_gradients(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let gradient = wide(gradient);
        (Self::linear_weight_backward(wide(x), gradient.clone()), Self::linear_bias_backward(gradient))
    }
}

impl LinearOps for CubeBackend {
    fn linear_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        values: Values,
    ) -> FloatTensor<Self> {
        let [x, weight, bias] = [x, weight, bias].map(GpuArray::new);
        gpu::forward(&x, &weight, &bias, values).0
    }

    fn linear_input_gradient(gradient: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        gpu::input_gradient(&GpuArray::new(gradient), &GpuArray::new(weight)).0
    }

    fn linear_parameter_gradients(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        // [parts, ..] → [..]
        let [weight, bias] =
            gpu::parameter_gradients(&GpuArray::new(x), &GpuArray::new(gradient)).map(|sums| {
                let shape: Vec<usize> = sums.shape().iter().skip(1).copied().collect();
                let one = sums.shape()[0] == 1;
                let sum = if one { sums.0 } else { Self::float_sum_dim(sums.0, 0) };
                Self::float_reshape(sum, Shape::from(shape))
            });
        (weight, bias)
    }
}

#[derive(Debug)]
struct LinearBackward;

impl<B: LinearOps> Backward<B, 3> for LinearBackward {
    /// x, and the weight.
    type State = [FloatTensor<B>; 2];

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let [x, weight] = ops.state;
        let [of_x, of_weight, of_bias] = ops.parents;
        if of_weight.is_some() || of_bias.is_some() {
            let (weight, bias) = B::linear_parameter_gradients(x, gradient.clone());
            for (parent, gradient) in [(of_weight, weight), (of_bias, bias)] {
                if let Some(parent) = parent {
                    gradients.register::<B>(parent.id, gradient);
                }
            }
        }
        if let Some(parent) = of_x {
            gradients.register::<B>(parent.id, B::linear_input_gradient(gradient, weight));
        }
    }
}

impl<B: LinearOps, C: CheckpointStrategy> LinearOps for Autodiff<B, C> {
    fn linear_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        values: Values,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        let step = LinearBackward.prepare::<C>(nodes).compute_bound().stateful();
        let (x, weight, bias) = (x.into_primitive(), weight.into_primitive(), bias.into_primitive());
        let output = B::linear_forward(x.clone(), weight.clone(), bias, values);
        match step {
            OpsKind::Tracked(step) => step.finish([x, weight], output),
            OpsKind::UnTracked(step) => step.finish(output),
        }
    }

    fn linear_input_gradient(_gradient: FloatTensor<Self>, _weight: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("{FIRST_ORDER}")
    }

    fn linear_parameter_gradients(
        _x: FloatTensor<Self>,
        _gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("{FIRST_ORDER}")
    }
}
