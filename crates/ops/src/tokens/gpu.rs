//! Layer normalisation and GELU on wgpu: the specialisations of their kernels and their dispatch. `shaders/tokens/` has
//! the formulas.

use crate::precision::Precision;
use crate::runtime::kernel::Kernel;
use crate::runtime::launch::{GpuArray, dispatch, spread};

/// The number of neighbouring elements that a kernel loads or stores at a time. Rows are multiples of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Width {
    /// One vector of four elements.
    Four,
    /// One element.
    One,
}

impl Width {
    /// The largest for rows of this length.
    fn of(length: usize) -> Self {
        if length.is_multiple_of(4) { Self::Four } else { Self::One }
    }

    fn elements(self) -> usize {
        match self {
            Self::Four => 4,
            Self::One => 1,
        }
    }
}

/// The passes of the operations on tokens, one shader each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenPass {
    /// GELU.
    Gelu(Width),
    /// Gradient of the input of GELU.
    GeluBackward(Width),
    /// Layer normalisation of tokens with this number of channels.
    Norm(u32),
    /// Gradient of the input of layer normalisation, and partial sums of the gradients of scale and offset.
    NormBackward(u32),
}

/// A specialised kernel over tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenKernel {
    /// The pass, which selects the shader.
    pub pass: TokenPass,
    /// Storage type of the tokens and their gradients.
    pub precision: Precision,
}

/// Invocations of a workgroup of GELU.
const GELU_WORKGROUP: usize = 256;

/// Invocations of a workgroup of layer normalisation.
const NORM_WORKGROUP: usize = 128;

/// How layer normalisation divides a token among invocations.
struct Division {
    /// Invocations of a token, a power of two.
    lanes: usize,
    /// Vectors of an invocation.
    own: usize,
}

impl Division {
    /// Four neighbouring lanes access whole sectors of memory. More lanes lengthen the sums over them, and more vectors
    /// do not fit into registers.
    fn of(channels: usize) -> Self {
        const LANES: usize = 4;
        const OWN: usize = 4;
        let vectors = channels / Width::of(channels).elements();
        let even = (1 << vectors.trailing_zeros()).min(LANES);
        let lanes = if vectors <= even * OWN {
            even
        } else {
            vectors.div_ceil(OWN).next_power_of_two().min(NORM_WORKGROUP)
        };
        Self { lanes, own: vectors.div_ceil(lanes) }
    }

    /// Tokens that a workgroup processes at a time.
    fn tokens(&self) -> usize {
        NORM_WORKGROUP / self.lanes
    }
}

impl Kernel for TokenKernel {
    fn file(&self) -> &'static str {
        match self.pass {
            TokenPass::Gelu(_) => "tokens/gelu.wgsl",
            TokenPass::GeluBackward(_) => "tokens/gelu_backward.wgsl",
            TokenPass::Norm(_) => "tokens/norm.wgsl",
            TokenPass::NormBackward(_) => "tokens/norm_backward.wgsl",
        }
    }

    fn replaced_imports(&self) -> &'static [[&'static str; 2]] {
        let width = match self.pass {
            TokenPass::Gelu(width) | TokenPass::GeluBackward(width) => width,
            TokenPass::Norm(channels) | TokenPass::NormBackward(channels) => Width::of(channels as usize),
        };
        match width {
            Width::One => &[["common/width_four.wgsl", "common/width_one.wgsl"]],
            Width::Four => &[],
        }
    }

    fn constants(&self) -> Vec<(&'static str, u32)> {
        let (channels, sums) = match self.pass {
            TokenPass::Gelu(_) | TokenPass::GeluBackward(_) => return Vec::new(),
            TokenPass::Norm(channels) => (channels, 2),
            TokenPass::NormBackward(channels) => (channels, 4),
        };
        let Division { lanes, own } = Division::of(channels as usize);
        vec![("CHANNELS", channels), ("LANES", lanes as u32), ("OWN", own as u32), ("SUMS", sums)]
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn workgroup(&self) -> u32 {
        match self.pass {
            TokenPass::Gelu(_) | TokenPass::GeluBackward(_) => GELU_WORKGROUP as u32,
            TokenPass::Norm(_) | TokenPass::NormBackward(_) => NORM_WORKGROUP as u32,
        }
    }

    fn bindings(&self) -> usize {
        match self.pass {
            TokenPass::Gelu(_) => 3,
            TokenPass::GeluBackward(_) => 4,
            TokenPass::Norm(_) => 5,
            TokenPass::NormBackward(_) => 6,
        }
    }
}

/// Dispatches a pass over `workgroups`, if there are any.
fn run(pass: TokenPass, workgroups: usize, arrays: &[&GpuArray], parameters: &[usize]) {
    if workgroups > 0 {
        let kernel = TokenKernel { pass, precision: arrays[0].precision() };
        let parameters: Vec<u32> = parameters.iter().map(|&value| value as u32).collect();
        dispatch(kernel, spread(workgroups), arrays, &parameters);
    }
}

/// Dispatches a pass of GELU. All arrays have the same number of elements.
fn run_gelu(pass: fn(Width) -> TokenPass, arrays: &[&GpuArray]) {
    let elements = arrays[0].shape().num_elements();
    let width = Width::of(elements);
    let vectors = elements / width.elements();
    run(pass(width), vectors.div_ceil(GELU_WORKGROUP), arrays, &[vectors]);
}

/// `x Φ(x)` of every element.
pub(crate) fn gelu(x: &GpuArray) -> GpuArray {
    let output = x.like();
    run_gelu(TokenPass::Gelu, &[x, &output]);
    output
}

/// The gradient of the input.
pub(crate) fn gelu_backward(x: &GpuArray, gradient: &GpuArray) -> GpuArray {
    let output = x.like();
    run_gelu(TokenPass::GeluBackward, &[x, gradient, &output]);
    output
}

/// `γ (x − mean) / √(variance + ε) + β` of every token. `gamma [c]` and `beta [c]` are f32.
pub(crate) fn layer_norm(x: &GpuArray, gamma: &GpuArray, beta: &GpuArray) -> GpuArray {
    let [tokens, channels] = tokens(x, gamma);
    let output = x.like();
    let workgroups = tokens.div_ceil(Division::of(channels).tokens());
    run(TokenPass::Norm(channels as u32), workgroups, &[x, gamma, beta, &output], &[tokens]);
    output
}

/// The gradient of the input, and partial sums of the gradients of γ and then β, `[parts, 2 c]`.
pub(crate) fn layer_norm_backward(x: &GpuArray, gamma: &GpuArray, gradient: &GpuArray) -> [GpuArray; 2] {
    // Enough parts to fill a GPU, but partial sums of at most 512 KiB. A part has enough turns that adding the partial
    // sums is cheap, and not so many that the sums over its turns lose precision.
    const MAX_PARTS: usize = 1024;
    const MAX_SUMS: usize = 1 << 17;
    const MIN_TURNS: usize = 2;
    const MAX_TURNS: usize = 64;
    let [tokens, channels] = tokens(x, gamma);
    let tokens_of_turn = Division::of(channels).tokens();
    let max_parts = (MAX_SUMS / (2 * channels)).clamp(1, MAX_PARTS);
    let turns = tokens.div_ceil(tokens_of_turn * max_parts).clamp(MIN_TURNS, MAX_TURNS);
    let parts = tokens.div_ceil(tokens_of_turn * turns);
    let x_gradient = x.like();
    let parameter_sums = x.empty_like([parts, 2 * channels], Precision::F32);
    let arrays = [x, gamma, gradient, &x_gradient, &parameter_sums];
    run(TokenPass::NormBackward(channels as u32), parts, &arrays, &[tokens, turns]);
    [x_gradient, parameter_sums]
}

/// The number of tokens and of channels.
fn tokens(x: &GpuArray, gamma: &GpuArray) -> [usize; 2] {
    let channels = gamma.shape().num_elements();
    [x.shape().num_elements() / channels, channels]
}
