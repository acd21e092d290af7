//! The burn binding of attention: backends, fusion and autodiff.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
#[cfg(not(target_family = "wasm"))]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::CubeBackend;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::{DType, Shape};

use super::layout::Plane;
use super::options::Attention;
use super::{cpu, gpu};
use crate::runtime::autodiff::second_order;
use crate::runtime::flex::{flex_tensor, floats};
use crate::runtime::launch::GpuArray;
use crate::sums::sum_parts;

/// Attention as a backend implements it.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(not(target_family = "wasm")))]
pub(crate) trait AttentionOps: Backend {
    /// `(output [b, t, f, c], log-sum-exp [b, t, f, h])`. Without a bias table, `bias` is a placeholder `[1, 1]`.
    #[fusion(meta = attention_forward_specs)]
    fn attention_forward(
        qkv: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: Attention,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// `(gradient of qkv, gradient of bias)`.
    #[fusion(meta = |qkv, bias, _output, _log_sum_exp, _gradient, _options| (qkv.clone(), bias.clone()))]
    fn attention_backward(
        qkv: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        output: FloatTensor<Self>,
        log_sum_exp: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        options: Attention,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

#[cfg(not(target_family = "wasm"))]
fn attention_forward_specs(
    qkv: &TensorSpec,
    _bias: &TensorSpec,
    options: &Attention,
) -> (TensorSpec, TensorSpec) {
    let [b, t, f, channels] = qkv.shape.dims::<4>();
    (
        TensorSpec::new(Shape::new([b, t, f, channels / 3]), qkv.dtype),
        TensorSpec::new(Shape::new([b, t, f, options.heads]), DType::F32),
    )
}

fn plane(qkv: &Shape) -> Plane {
    let [batch, frames, bins, channels] = qkv.dims::<4>();
    Plane { batch, frames, bins, channels: channels / 3 }
}

impl AttentionOps for Flex {
    fn attention_forward(
        qkv: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: Attention,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (qkv, bias) = (qkv.to_contiguous(), bias.to_contiguous());
        let plane = plane(qkv.layout().shape());
        let (output, log_sum_exp) = cpu::forward(&floats(&qkv), &floats(&bias), plane, &options);
        let Plane { batch, frames, bins, channels } = plane;
        (
            flex_tensor(output, Shape::new([batch, frames, bins, channels]), qkv.dtype()),
            flex_tensor(log_sum_exp, Shape::new([batch, frames, bins, options.heads]), DType::F32),
        )
    }

    fn attention_backward(
        qkv: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        output: FloatTensor<Self>,
        log_sum_exp: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        options: Attention,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [qkv, bias, output, log_sum_exp, gradient] =
            [qkv, bias, output, log_sum_exp, gradient].map(|tensor| tensor.to_contiguous());
        let (qkv_gradient, bias_gradient) = cpu::backward(
            &cpu::SavedSlices {
                qkv: &floats(&qkv),
                bias: &floats(&bias),
                output: &floats(&output),
                log_sum_exp: &floats(&log_sum_exp),
            },
            &floats(&gradient),
            plane(qkv.layout().shape()),
            &options,
        );
        (
            flex_tensor(qkv_gradient, qkv.layout().shape().clone(), qkv.dtype()),
            flex_tensor(bias_gradient, bias.layout().shape().clone(), bias.dtype()),
        )
    }
}

impl AttentionOps for CubeBackend {
    fn attention_forward(
        qkv: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: Attention,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let plane = plane(qkv.meta.shape());
        let (qkv, bias) = (GpuArray::new(qkv), GpuArray::new(bias));
        let (output, log_sum_exp) = gpu::forward(&qkv, &bias, plane, &options);
        (output.0, log_sum_exp.0)
    }

    fn attention_backward(
        qkv: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        output: FloatTensor<Self>,
        log_sum_exp: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        options: Attention,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let plane = plane(qkv.meta.shape());
        let [qkv, bias, output, log_sum_exp, gradient] =
            [qkv, bias, output, log_sum_exp, gradient].map(GpuArray::new);
        let saved = gpu::SavedArrays { qkv, bias, output, log_sum_exp };
        let (qkv_gradient, bias_parts) = gpu::backward(&saved, &gradient, plane, &options);
        let bias_gradient = match bias_parts {
            // [parts, h, offsets] → [h, offsets]
            Some(parts) => sum_parts(&parts).0,
            None => saved.bias.0,
        };
        (qkv_gradient.0, bias_gradient)
    }
}

#[derive(Debug)]
struct AttentionBackward;

impl<B: AttentionOps> Backward<B, 2> for AttentionBackward {
    /// qkv, bias, output, log-sum-exp. They are handles, not copies.
    type State = ([FloatTensor<B>; 4], Attention);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let ([qkv, bias, output, log_sum_exp], options) = ops.state;
        let (qkv, bias) = B::attention_backward(qkv, bias, output, log_sum_exp, gradient, options);
        for (parent, gradient) in ops.parents.into_iter().zip([qkv, bias]) {
            if let Some(parent) = parent {
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: AttentionOps, C: CheckpointStrategy> AttentionOps for Autodiff<B, C> {
    fn attention_forward(
        qkv: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: Attention,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let step = AttentionBackward.prepare::<C>([qkv.node(), bias.node()]).compute_bound().stateful();
        let (qkv, bias) = (qkv.into_primitive(), bias.into_primitive());
        let (output, log_sum_exp) = B::attention_forward(qkv.clone(), bias.clone(), options);
        // The log-sum-exp is internal, so it is a constant in the graph.
        let constant = FloatTensor::<Self>::new(log_sum_exp.clone());
        let output = match step {
            OpsKind::Tracked(step) => {
                step.finish(([qkv, bias, output.clone(), log_sum_exp], options), output)
            }
            OpsKind::UnTracked(step) => step.finish(output),
        };
        (output, constant)
    }

    fn attention_backward(
        _qkv: FloatTensor<Self>,
        _bias: FloatTensor<Self>,
        _output: FloatTensor<Self>,
        _log_sum_exp: FloatTensor<Self>,
        _gradient: FloatTensor<Self>,
        _options: Attention,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        second_order()
    }
}
