//! The seam to burn: the one module that touches its primitives, its fusion and its kernel launches.
//!
//! Above it are tensors, below it are slices (CPU) and [`GpuArray`]s (wgpu). [`SeparationOps`] routes each
//! operation to the device's path, and [`Autodiff`] ties every forward pass to its backward pass.

mod launch;
mod linear;
mod tokens;

pub use launch::limit_row;
pub(crate) use launch::{GpuArray, MAX_WORKGROUPS, dispatch, spread};
pub(crate) use linear::LinearOps;
pub(crate) use tokens::TokenOps;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
#[cfg(not(target_family = "wasm"))]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::CubeBackend;
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape, TensorData};
use burn_flex::FlexTensor;
use half::f16;

use crate::attention::{self, Attention, Plane};
use crate::stft::{self, Analysis, Stft, Synthesis};

/// The operations as a backend sees them. Shapes as in the public functions of this crate.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(not(target_family = "wasm")))]
pub(crate) trait SeparationOps: Backend {
    /// `(output [b, t, f, c], log-sum-exp [b, t, f, h])`. `bias` is `[1, 1]` where there is none.
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

    /// `waveform [b, n]` → `[b, t, f, 2]`: frames, window, real FFT.
    #[fusion(meta = analysis_spec)]
    fn stft_analysis(waveform: FloatTensor<Self>, plan: Stft, mode: Analysis) -> FloatTensor<Self>;

    /// `spectrogram [b, t, f, 2]` → `[b, samples]`: inverse real FFT, window, overlap-add.
    #[fusion(meta = synthesis_spec)]
    fn stft_synthesis(
        spectrogram: FloatTensor<Self>,
        plan: Stft,
        samples: usize,
        mode: Synthesis,
    ) -> FloatTensor<Self>;
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

#[cfg(not(target_family = "wasm"))]
fn analysis_spec(waveform: &TensorSpec, plan: &Stft, _mode: &Analysis) -> TensorSpec {
    let [b, n] = waveform.shape.dims::<2>();
    TensorSpec::new(Shape::new([b, plan.frames(n), plan.bins(), 2]), waveform.dtype)
}

#[cfg(not(target_family = "wasm"))]
fn synthesis_spec(spectrogram: &TensorSpec, _plan: &Stft, samples: &usize, _mode: &Synthesis) -> TensorSpec {
    TensorSpec::new(Shape::new([spectrogram.shape[0], *samples]), spectrogram.dtype)
}

fn plane(qkv: &Shape) -> Plane {
    let [batch, frames, bins, channels] = qkv.dims::<4>();
    Plane { batch, frames, bins, channels: channels / 3 }
}

// Poisoning ------------------------------------------------------------------------------------------------

static POISON: AtomicBool = AtomicBool::new(false);

/// For tests: fill every output with NaN before its kernel runs, so that an element left unwritten shows.
pub fn poison_outputs(on: bool) {
    POISON.store(on, Ordering::Relaxed);
}

/// An output of the CPU path, to be overwritten.
pub(crate) fn cpu_output(len: usize) -> Vec<f32> {
    vec![if POISON.load(Ordering::Relaxed) { f32::NAN } else { 0.0 }; len]
}

// CPU ------------------------------------------------------------------------------------------------------

/// A Flex tensor's values as f32: borrowed where they are, converted from f16.
fn floats(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    match tensor.dtype() {
        DType::F32 => Cow::Borrowed(tensor.as_slice::<f32>().expect("contiguous")),
        DType::F16 => {
            Cow::Owned(tensor.as_slice::<f16>().expect("contiguous").iter().map(|x| x.to_f32()).collect())
        }
        other => panic!("unbraid-ops takes f32 or f16, not {other:?}"),
    }
}

fn flex_tensor(values: Vec<f32>, shape: Shape, dtype: DType) -> FlexTensor {
    let data = TensorData::new(values, shape);
    FlexTensor::from_data(if dtype == DType::F16 { data.convert_dtype(DType::F16) } else { data })
}

impl SeparationOps for Flex {
    fn attention_forward(
        qkv: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: Attention,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (qkv, bias) = (qkv.to_contiguous(), bias.to_contiguous());
        let plane = plane(qkv.layout().shape());
        let (output, log_sum_exp) = attention::cpu::forward(&floats(&qkv), &floats(&bias), plane, &options);
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
        let (qkv_gradient, bias_gradient) = attention::cpu::backward(
            &attention::cpu::Saved {
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

    fn stft_analysis(waveform: FloatTensor<Self>, plan: Stft, mode: Analysis) -> FloatTensor<Self> {
        let waveform = waveform.to_contiguous();
        let [b, n] = waveform.layout().shape().dims::<2>();
        let spectrogram = stft::cpu::analyse(&floats(&waveform), b, n, &plan, mode);
        flex_tensor(spectrogram, Shape::new([b, plan.frames(n), plan.bins(), 2]), waveform.dtype())
    }

    fn stft_synthesis(
        spectrogram: FloatTensor<Self>,
        plan: Stft,
        samples: usize,
        mode: Synthesis,
    ) -> FloatTensor<Self> {
        let spectrogram = spectrogram.to_contiguous();
        let [b, frames, _, _] = spectrogram.layout().shape().dims::<4>();
        let waveform = stft::cpu::synthesise(&floats(&spectrogram), b, frames, samples, &plan, mode);
        flex_tensor(waveform, Shape::new([b, samples]), spectrogram.dtype())
    }
}

// wgpu -----------------------------------------------------------------------------------------------------

impl SeparationOps for CubeBackend {
    fn attention_forward(
        qkv: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: Attention,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let plane = plane(qkv.meta.shape());
        let (qkv, bias) = (GpuArray::new(qkv), GpuArray::new(bias));
        let (output, log_sum_exp) = attention::gpu::forward(&qkv, &bias, plane, &options);
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
        let saved = attention::gpu::Saved { qkv, bias, output, log_sum_exp };
        let (qkv_gradient, bias_parts) = attention::gpu::backward(&saved, &gradient, plane, &options);
        let bias_gradient = match bias_parts {
            // [parts, h, offsets] → [h, offsets]
            Some(parts) => Self::float_reshape(Self::float_sum_dim(parts.0, 0), saved.bias.shape().clone()),
            None => saved.bias.0,
        };
        (qkv_gradient.0, bias_gradient)
    }

    fn stft_analysis(waveform: FloatTensor<Self>, plan: Stft, mode: Analysis) -> FloatTensor<Self> {
        stft::gpu::analyse(&GpuArray::new(waveform), &plan, mode).0
    }

    fn stft_synthesis(
        spectrogram: FloatTensor<Self>,
        plan: Stft,
        samples: usize,
        mode: Synthesis,
    ) -> FloatTensor<Self> {
        stft::gpu::synthesise(&GpuArray::new(spectrogram), samples, &plan, mode).0
    }
}

// Autodiff -------------------------------------------------------------------------------------------------

const FIRST_ORDER: &str = "unbraid-ops gives first-order gradients only";

#[derive(Debug)]
struct AttentionBackward;

impl<B: SeparationOps> Backward<B, 2> for AttentionBackward {
    /// qkv, bias, output, log-sum-exp. Inputs are kept as handles, not copied.
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

#[derive(Debug)]
struct AnalysisBackward;

impl<B: SeparationOps> Backward<B, 1> for AnalysisBackward {
    type State = (Stft, usize, Analysis);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (plan, samples, mode) = ops.state;
        let [Some(parent)] = ops.parents else { return };
        gradients.register::<B>(parent.id, B::stft_synthesis(gradient, plan, samples, mode.adjoint()));
    }
}

#[derive(Debug)]
struct SynthesisBackward;

impl<B: SeparationOps> Backward<B, 1> for SynthesisBackward {
    type State = (Stft, Synthesis);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (plan, mode) = ops.state;
        let [Some(parent)] = ops.parents else { return };
        gradients.register::<B>(parent.id, B::stft_analysis(gradient, plan, mode.adjoint()));
    }
}

impl<B: SeparationOps, C: CheckpointStrategy> SeparationOps for Autodiff<B, C> {
    fn attention_forward(
        qkv: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: Attention,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let step = AttentionBackward.prepare::<C>([qkv.node(), bias.node()]).compute_bound().stateful();
        let (qkv, bias) = (qkv.into_primitive(), bias.into_primitive());
        let (output, log_sum_exp) = B::attention_forward(qkv.clone(), bias.clone(), options);
        // The log-sum-exp is internal: a constant to whoever might use it.
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
        unreachable!("{FIRST_ORDER}")
    }

    fn stft_analysis(waveform: FloatTensor<Self>, plan: Stft, mode: Analysis) -> FloatTensor<Self> {
        let step = AnalysisBackward.prepare::<C>([waveform.node()]).compute_bound().stateful();
        let waveform = waveform.into_primitive();
        let samples = waveform.shape()[1];
        let spectrogram = B::stft_analysis(waveform, plan.clone(), mode);
        match step {
            OpsKind::Tracked(step) => step.finish((plan, samples, mode), spectrogram),
            OpsKind::UnTracked(step) => step.finish(spectrogram),
        }
    }

    fn stft_synthesis(
        spectrogram: FloatTensor<Self>,
        plan: Stft,
        samples: usize,
        mode: Synthesis,
    ) -> FloatTensor<Self> {
        let step = SynthesisBackward.prepare::<C>([spectrogram.node()]).compute_bound().stateful();
        let waveform = B::stft_synthesis(spectrogram.into_primitive(), plan.clone(), samples, mode);
        match step {
            OpsKind::Tracked(step) => step.finish((plan, mode), waveform),
            OpsKind::UnTracked(step) => step.finish(waveform),
        }
    }
}
