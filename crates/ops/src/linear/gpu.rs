//! Linear maps on wgpu: the specialisations of their kernels and their dispatch. `shaders/linear/` has the formulas.

use super::output::{Output, with_channels};
use crate::precision::Precision;
use crate::runtime::kernel::Kernel;
use crate::runtime::launch::{GpuArray, MAX_WORKGROUPS, dispatch, spread};

/// The passes of a linear map, one shader each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinearPass {
    /// Outputs.
    Forward,
    /// Gradient of the input.
    InputGradient,
    /// Partial sums of the gradients of weight and bias.
    ParameterGradients,
}

/// A specialised kernel of a linear map, for any numbers of tokens, inputs and outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinearKernel {
    /// The pass, which selects the shader.
    pub pass: LinearPass,
    /// Rows and columns of a tile of the result.
    pub tile: [u32; 2],
    /// Storage type of the tokens and their gradients.
    pub precision: Precision,
}

/// The number of k per step of a tile: `DEPTH` in `shaders/common/tile.wgsl`.
const DEPTH: usize = 16;

impl LinearKernel {
    /// The kernel for a map from `inputs` to `outputs`. Larger tiles reuse each loaded value more often, so they are
    /// used if the matrix fills them.
    pub fn new(pass: LinearPass, [inputs, outputs]: [usize; 2], precision: Precision) -> Self {
        let side = |extent: usize| if extent.is_multiple_of(64) { 64 } else { 32 };
        let tile = match pass {
            LinearPass::Forward => [128, side(outputs)],
            LinearPass::InputGradient => [128, side(inputs)],
            LinearPass::ParameterGradients => [side(inputs), side(outputs)],
        };
        Self { pass, tile, precision }
    }
}

impl Kernel for LinearKernel {
    fn file(&self) -> &'static str {
        match self.pass {
            LinearPass::Forward => "linear/forward.wgsl",
            LinearPass::InputGradient => "linear/input_gradient.wgsl",
            LinearPass::ParameterGradients => "linear/parameter_gradients.wgsl",
        }
    }

    fn constants(&self) -> Vec<(&'static str, u32)> {
        let [rows, columns] = self.tile;
        let rows_contiguous = u32::from(self.pass == LinearPass::ParameterGradients);
        vec![("ROWS", rows), ("COLUMNS", columns), ("ROWS_CONTIGUOUS", rows_contiguous)]
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn workgroup(&self) -> u32 {
        let [rows, columns] = self.tile;
        (rows / 8) * (columns / 4)
    }

    fn bindings(&self) -> usize {
        match self.pass {
            LinearPass::Forward | LinearPass::ParameterGradients => 5,
            LinearPass::InputGradient => 4,
        }
    }
}

/// Dispatches a pass that computes `produced` channels of each of `tokens`, each a sum over `summed` channels.
fn run(kernel: LinearKernel, [tokens, summed, produced]: [usize; 3], arrays: &[&GpuArray]) {
    if tokens > 0 {
        let [rows, columns] = kernel.tile.map(|side| side as usize);
        let [y, z, _] = spread(tokens.div_ceil(rows));
        let parameters = [tokens, summed, produced].map(|extent| extent as u32);
        dispatch(kernel, [produced.div_ceil(columns), y, z], arrays, &parameters);
    }
}

/// `x [.., inputs]`, `weight [inputs, outputs]` and `bias [outputs]` → `[.., outputs]`.
pub(crate) fn forward(x: &GpuArray, weight: &GpuArray, bias: &GpuArray, output: Output) -> GpuArray {
    let [inputs, outputs] = weight.shape().dims();
    let tokens = x.shape().num_elements() / inputs;
    let y = x.empty_like(with_channels(x.shape(), outputs), x.precision());
    if output == Output::Computed {
        let kernel = LinearKernel::new(LinearPass::Forward, [inputs, outputs], x.precision());
        run(kernel, [tokens, inputs, outputs], &[x, &y, weight, bias]);
    }
    y
}

/// `gradient [.., outputs]` and `weight [inputs, outputs]` → `[.., inputs]`.
pub(crate) fn input_gradient(gradient: &GpuArray, weight: &GpuArray) -> GpuArray {
    let [inputs, outputs] = weight.shape().dims();
    let tokens = gradient.shape().num_elements() / outputs;
    let x_gradient = gradient.empty_like(with_channels(gradient.shape(), inputs), gradient.precision());
    let kernel = LinearKernel::new(LinearPass::InputGradient, [inputs, outputs], gradient.precision());
    run(kernel, [tokens, outputs, inputs], &[gradient, &x_gradient, weight]);
    x_gradient
}

/// Partial sums of the gradients of the weight, `[parts, inputs, outputs]`, and of the bias, `[parts, outputs]`.
pub(crate) fn parameter_gradients(x: &GpuArray, gradient: &GpuArray) -> [GpuArray; 2] {
    // As many parts as possible, to fill a GPU. But the partial sums take at most 4 MiB, and a part has enough tokens
    // that adding the partial sums is cheap.
    const MAX_SUMS: usize = 1 << 20;
    const MIN_STEPS: usize = 8;
    let [inputs, outputs] = [x, gradient].map(|array| array.shape()[array.shape().num_dims() - 1]);
    let tokens = x.shape().num_elements() / inputs;
    let max_parts = (MAX_SUMS / (inputs * outputs)).clamp(1, MAX_WORKGROUPS);
    let steps = tokens.div_ceil(DEPTH).div_ceil(max_parts).max(MIN_STEPS);
    let parts = tokens.div_ceil(steps * DEPTH).max(1);
    let weight_sums = x.empty_like([parts, inputs, outputs], Precision::F32);
    let bias_sums = x.empty_like([parts, outputs], Precision::F32);
    let kernel = LinearKernel::new(LinearPass::ParameterGradients, [inputs, outputs], x.precision());
    let [rows, columns] = kernel.tile.map(|side| side as usize);
    let workgroups = [inputs.div_ceil(rows), outputs.div_ceil(columns), parts];
    let parameters = [tokens, inputs, outputs, steps].map(|value| value as u32);
    dispatch(kernel, workgroups, &[x, gradient, &weight_sums, &bias_sums], &parameters);
    [weight_sums, bias_sums]
}
