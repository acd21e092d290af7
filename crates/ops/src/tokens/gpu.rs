//! Layer normalisation and GELU on wgpu: the specialisations of their kernels and their dispatch. `shaders/tokens/` has
//! the formulas.

use crate::precision::Precision;
use crate::runtime::kernel::Kernel;
use crate::runtime::launch::{GpuArray, dispatch, spread};

/// The passes of the operations on tokens, one shader each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenPass {
    /// GELU.
    Gelu,
    /// Gradient of the input of GELU.
    GeluBackward,
    /// Layer normalisation of tokens with this number of channels.
    Norm(u32),
    /// Gradient of the input of layer normalisation.
    NormBackward(u32),
    /// Partial sums of the gradients of layer normalisation's scale and offset.
    NormSums(u32),
}

/// A specialised kernel over tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenKernel {
    /// The pass, which selects the shader.
    pub pass: TokenPass,
    /// Storage type of the tokens and their gradients.
    pub precision: Precision,
}

impl Kernel for TokenKernel {
    fn file(&self) -> &'static str {
        match self.pass {
            TokenPass::Gelu => "tokens/gelu.wgsl",
            TokenPass::GeluBackward => "tokens/gelu_backward.wgsl",
            TokenPass::Norm(_) => "tokens/norm.wgsl",
            TokenPass::NormBackward(_) => "tokens/norm_backward.wgsl",
            TokenPass::NormSums(_) => "tokens/norm_sums.wgsl",
        }
    }

    fn constants(&self) -> Vec<(&'static str, u32)> {
        match self.pass {
            TokenPass::Gelu | TokenPass::GeluBackward => Vec::new(),
            TokenPass::Norm(channels) | TokenPass::NormBackward(channels) | TokenPass::NormSums(channels) => {
                vec![("CHANNELS", channels)]
            }
        }
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn workgroup(&self) -> u32 {
        match self.pass {
            TokenPass::Gelu | TokenPass::GeluBackward => 256,
            TokenPass::Norm(_) | TokenPass::NormBackward(_) => 64,
            TokenPass::NormSums(_) => 32,
        }
    }

    fn bindings(&self) -> usize {
        match self.pass {
            TokenPass::Gelu => 3,
            TokenPass::GeluBackward => 4,
            TokenPass::Norm(_) => 5,
            TokenPass::NormBackward(_) | TokenPass::NormSums(_) => 6,
        }
    }
}

/// Dispatches a pass with `count` invocations.
fn run(pass: TokenPass, count: usize, arrays: &[&GpuArray]) {
    if count > 0 {
        let kernel = TokenKernel { pass, precision: arrays[0].precision() };
        dispatch(kernel, spread(count.div_ceil(kernel.workgroup() as usize)), arrays, &[count as u32]);
    }
}

/// `x Φ(x)` of every element.
pub(crate) fn gelu(x: &GpuArray) -> GpuArray {
    let output = x.like();
    run(TokenPass::Gelu, x.shape().num_elements(), &[x, &output]);
    output
}

/// The gradient of the input.
pub(crate) fn gelu_backward(x: &GpuArray, gradient: &GpuArray) -> GpuArray {
    let output = x.like();
    run(TokenPass::GeluBackward, x.shape().num_elements(), &[x, gradient, &output]);
    output
}

/// `γ (x − mean) / √(variance + ε) + β` of every token. `gamma [c]` and `beta [c]` are f32.
pub(crate) fn layer_norm(x: &GpuArray, gamma: &GpuArray, beta: &GpuArray) -> GpuArray {
    let [tokens, channels] = tokens(x, gamma);
    let output = x.like();
    run(TokenPass::Norm(channels as u32), tokens, &[x, gamma, beta, &output]);
    output
}

/// The gradient of the input, and partial sums of the gradients of γ and β, each `[parts, c]`.
pub(crate) fn layer_norm_backward(x: &GpuArray, gamma: &GpuArray, gradient: &GpuArray) -> [GpuArray; 3] {
    // Enough parts to fill a GPU, and few enough that summing them is cheap.
    const PARTS: usize = 512;
    let [tokens, channels] = tokens(x, gamma);
    let moments = x.empty_like([tokens, 2], Precision::F32);
    let x_gradient = x.like();
    run(TokenPass::NormBackward(channels as u32), tokens, &[x, gamma, gradient, &moments, &x_gradient]);

    let tokens_of_part = tokens.div_ceil(PARTS).max(1);
    let parts = tokens.div_ceil(tokens_of_part);
    let [gamma_sums, beta_sums] = [(); 2].map(|()| x.empty_like([parts, channels], Precision::F32));
    if parts > 0 {
        let kernel = TokenKernel { pass: TokenPass::NormSums(channels as u32), precision: x.precision() };
        let workgroups = [channels.div_ceil(kernel.workgroup() as usize), parts, 1];
        let arrays = [x, gradient, &moments, &gamma_sums, &beta_sums];
        dispatch(kernel, workgroups, &arrays, &[tokens, tokens_of_part].map(|value| value as u32));
    }
    [x_gradient, gamma_sums, beta_sums]
}

/// The number of tokens and of channels.
fn tokens(x: &GpuArray, gamma: &GpuArray) -> [usize; 2] {
    let channels = gamma.shape().num_elements();
    [x.shape().num_elements() / channels, channels]
}
