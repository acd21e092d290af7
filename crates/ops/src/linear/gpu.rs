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
    /// Outputs, each added to a residual.
    ForwardAdd,
    /// Gradient of the input.
    InputGradient,
    /// Partial sums of the gradients of weight and bias.
    ParameterGradients,
}

/// How a kernel accesses the arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// By vectors of four channels. No tile extends beyond an array.
    WholeTiles,
    /// By vectors of four channels. Vectors outside of an array are skipped.
    Vectors,
    /// By single channels, for numbers of channels that are not multiples of four.
    Scalars,
}

/// A specialised kernel of a linear map, for all extents that allow its `access`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinearKernel {
    /// The pass, which selects the shader.
    pub pass: LinearPass,
    /// Rows and columns of a tile of the result.
    pub tile: [u32; 2],
    /// How the arrays are accessed.
    pub access: Access,
    /// Storage type of the tokens and their gradients.
    pub precision: Precision,
}

/// The number of k per step of a tile: `DEPTH` in `shaders/common/tile.wgsl`.
const DEPTH: usize = 16;

impl LinearKernel {
    /// The kernel for a map of `tokens` from `inputs` to `outputs`. Larger tiles reuse each loaded value more often, so
    /// they are used if the matrix fills them.
    pub fn new(pass: LinearPass, [tokens, inputs, outputs]: [usize; 3], precision: Precision) -> Self {
        let side = |extent: usize| if extent.is_multiple_of(64) { 64 } else { 32 };
        // Extents of the rows, the columns and the sums of the product.
        let ([rows, columns, summed], tile) = match pass {
            LinearPass::Forward | LinearPass::ForwardAdd => ([tokens, outputs, inputs], [128, side(outputs)]),
            LinearPass::InputGradient => ([tokens, inputs, outputs], [128, side(inputs)]),
            LinearPass::ParameterGradients => ([inputs, outputs, tokens], [side(inputs), side(outputs)]),
        };
        let steps = [(rows, tile[0]), (columns, tile[1]), (summed, DEPTH)];
        let access = if !inputs.is_multiple_of(4) || !outputs.is_multiple_of(4) {
            Access::Scalars
        } else if steps.into_iter().all(|(extent, step)| extent.is_multiple_of(step)) {
            Access::WholeTiles
        } else {
            Access::Vectors
        };
        Self { pass, tile: tile.map(|side| side as u32), access, precision }
    }
}

impl Kernel for LinearKernel {
    fn file(&self) -> &'static str {
        match self.pass {
            LinearPass::Forward => "linear/forward.wgsl",
            LinearPass::ForwardAdd => "linear/forward_add.wgsl",
            LinearPass::InputGradient => "linear/input_gradient.wgsl",
            LinearPass::ParameterGradients => "linear/parameter_gradients.wgsl",
        }
    }

    fn replaced_imports(&self) -> &'static [[&'static str; 2]] {
        match self.access {
            Access::Scalars => &[
                ["common/vectors.wgsl", "common/scalars.wgsl"],
                ["common/residual_vectors.wgsl", "common/residual_scalars.wgsl"],
            ],
            Access::WholeTiles | Access::Vectors => &[],
        }
    }

    fn constants(&self) -> Vec<(&'static str, u32)> {
        let [rows, columns] = self.tile;
        let mut constants = vec![
            ("ROWS", rows),
            ("COLUMNS", columns),
            ("QUADS", DEPTH as u32 / 4),
            ("LEFT_ALONG_DEPTH", u32::from(self.pass != LinearPass::ParameterGradients)),
            ("RIGHT_ALONG_DEPTH", u32::from(self.pass == LinearPass::InputGradient)),
        ];
        if self.access != Access::Scalars {
            constants.push(("WHOLE", u32::from(self.access == Access::WholeTiles)));
        }
        constants
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
            LinearPass::ForwardAdd => 6,
            LinearPass::Forward => 5,
            LinearPass::InputGradient | LinearPass::ParameterGradients => 4,
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
        let kernel = LinearKernel::new(LinearPass::Forward, [tokens, inputs, outputs], x.precision());
        run(kernel, [tokens, inputs, outputs], &[x, &y, weight, bias]);
    }
    y
}

/// `x W + bias + residual`. `residual` has the shape and the type of the output.
pub(crate) fn forward_add(
    x: &GpuArray,
    [weight, bias]: [&GpuArray; 2],
    residual: &GpuArray,
    output: Output,
) -> GpuArray {
    let [inputs, outputs] = weight.shape().dims();
    let tokens = x.shape().num_elements() / inputs;
    let y = residual.like();
    if output == Output::Computed {
        let kernel = LinearKernel::new(LinearPass::ForwardAdd, [tokens, inputs, outputs], x.precision());
        run(kernel, [tokens, inputs, outputs], &[x, &y, weight, bias, residual]);
    }
    y
}

/// `gradient [.., outputs]` and `weight [inputs, outputs]` → `[.., inputs]`.
pub(crate) fn input_gradient(gradient: &GpuArray, weight: &GpuArray) -> GpuArray {
    let [inputs, outputs] = weight.shape().dims();
    let tokens = gradient.shape().num_elements() / outputs;
    let x_gradient = gradient.empty_like(with_channels(gradient.shape(), inputs), gradient.precision());
    let kernel =
        LinearKernel::new(LinearPass::InputGradient, [tokens, inputs, outputs], gradient.precision());
    run(kernel, [tokens, outputs, inputs], &[gradient, &x_gradient, weight]);
    x_gradient
}

/// Partial sums of the gradients of weight and bias, `[parts, inputs · outputs + outputs]`: those of the weight first.
pub(crate) fn parameter_gradients(x: &GpuArray, gradient: &GpuArray) -> GpuArray {
    // As many parts as possible, to fill a GPU. But the partial sums take at most 4 MiB, and a part has enough tokens
    // that adding the partial sums is cheap.
    const MAX_SUMS: usize = 1 << 20;
    const MIN_STEPS: usize = 8;
    let [inputs, outputs] = [x, gradient].map(|array| array.shape()[array.shape().num_dims() - 1]);
    let tokens = x.shape().num_elements() / inputs;
    let parameters = (inputs + 1) * outputs;
    let max_parts = (MAX_SUMS / parameters).clamp(1, MAX_WORKGROUPS);
    let steps = tokens.div_ceil(DEPTH).div_ceil(max_parts).max(MIN_STEPS);
    let parts = tokens.div_ceil(steps * DEPTH).max(1);
    let sums = x.empty_like([parts, parameters], Precision::F32);
    let extents = [tokens, inputs, outputs];
    let kernel = LinearKernel::new(LinearPass::ParameterGradients, extents, x.precision());
    let [rows, columns] = kernel.tile.map(|side| side as usize);
    let workgroups = [inputs.div_ceil(rows), outputs.div_ceil(columns), parts];
    let parameters = [tokens, inputs, outputs, steps].map(|value| value as u32);
    dispatch(kernel, workgroups, &[x, gradient, &sums], &parameters);
    sums
}
