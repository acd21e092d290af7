//! The burn binding of the STFT and its inverse: backends, fusion and autodiff.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
#[cfg(not(target_family = "wasm"))]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::CubeBackend;
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata, backend_extension};
use burn::tensor::Shape;

use super::mode::{Analysis, Synthesis};
use super::plan::Stft;
use super::{cpu, gpu};
use crate::runtime::flex::{flex_tensor, floats};
use crate::runtime::launch::GpuArray;

/// The transforms as a backend implements them.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(not(target_family = "wasm")))]
pub(crate) trait StftOps: Backend {
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
fn analysis_spec(waveform: &TensorSpec, plan: &Stft, _mode: &Analysis) -> TensorSpec {
    let [b, n] = waveform.shape.dims::<2>();
    TensorSpec::new(Shape::new([b, plan.frames(n), plan.bins(), 2]), waveform.dtype)
}

#[cfg(not(target_family = "wasm"))]
fn synthesis_spec(spectrogram: &TensorSpec, _plan: &Stft, samples: &usize, _mode: &Synthesis) -> TensorSpec {
    TensorSpec::new(Shape::new([spectrogram.shape[0], *samples]), spectrogram.dtype)
}

impl StftOps for Flex {
    fn stft_analysis(waveform: FloatTensor<Self>, plan: Stft, mode: Analysis) -> FloatTensor<Self> {
        let waveform = waveform.to_contiguous();
        let [b, n] = waveform.layout().shape().dims::<2>();
        let spectrogram = cpu::analyse(&floats(&waveform), b, n, &plan, mode);
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
        let waveform = cpu::synthesise(&floats(&spectrogram), b, frames, samples, &plan, mode);
        flex_tensor(waveform, Shape::new([b, samples]), spectrogram.dtype())
    }
}

impl StftOps for CubeBackend {
    fn stft_analysis(waveform: FloatTensor<Self>, plan: Stft, mode: Analysis) -> FloatTensor<Self> {
        gpu::analyse(&GpuArray::new(waveform), &plan, mode).0
    }

    fn stft_synthesis(
        spectrogram: FloatTensor<Self>,
        plan: Stft,
        samples: usize,
        mode: Synthesis,
    ) -> FloatTensor<Self> {
        gpu::synthesise(&GpuArray::new(spectrogram), samples, &plan, mode).0
    }
}

#[derive(Debug)]
struct AnalysisBackward;

impl<B: StftOps> Backward<B, 1> for AnalysisBackward {
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

impl<B: StftOps> Backward<B, 1> for SynthesisBackward {
    type State = (Stft, Synthesis);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (plan, mode) = ops.state;
        let [Some(parent)] = ops.parents else { return };
        gradients.register::<B>(parent.id, B::stft_analysis(gradient, plan, mode.adjoint()));
    }
}

impl<B: StftOps, C: CheckpointStrategy> StftOps for Autodiff<B, C> {
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
