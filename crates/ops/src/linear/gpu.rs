//! Linear maps on wgpu: the kernels' specialisations and their launches. The formulas are in `shaders/linear/`.

use super::{Values, with_channels};
use crate::backend::{GpuArray, MAX_WORKGROUPS, dispatch, spread};
use crate::kernel::{Element, Kernel};

/// The passes of a linear map, a shader each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinearPass {
    /// Outputs.
    Forward,
    /// Gradient of the input.
    InputGradient,
    /// Gradients of weight and bias, in parts.
    ParameterGradients,
}

/// A specialised kernel of a linear map, for any extents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinearKernel {
    /// Which shader.
    pub pass: LinearPass,
    /// Rows and columns of a tile of the result.
    pub tile: [u32; 2],
    /// Storage type of the tokens and their gradients.
    pub element: Element,
}

/// Steps over k of a tile, as `DEPTH` in `shaders/common/tile.wgsl`.
const DEPTH: usize = 16;

impl LinearKernel {
    /// The kernel for a map of so many inputs and outputs: large tiles read their factors less often, as far as there
    /// is enough to fill them.
    pub fn new(pass: LinearPass, [inputs, outputs]: [usize; 2], element: Element) -> Self {
        let side = |extent: usize| if extent.is_multiple_of(64) { 64 } else { 32 };
        let tile = match pass {
            LinearPass::Forward => [128, side(outputs)],
            LinearPass::InputGradient => [128, side(inputs)],
            LinearPass::ParameterGradients => [side(inputs), side(outputs)],
        };
        Self { pass, tile, element }
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
        let rows_adjoin = u32::from(self.pass == LinearPass::ParameterGradients);
        vec![("ROWS", rows), ("COLUMNS", columns), ("ROWS_ADJOIN", rows_adjoin)]
    }

    fn element(&self) -> Element {
        self.element
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

/// Dispatches a pass that gives `given` channels for each of `tokens`, sums over `summed`.
fn run(kernel: LinearKernel, [tokens, summed, given]: [usize; 3], arrays: &[&GpuArray]) {
    if tokens > 0 {
        let [rows, columns] = kernel.tile.map(|side| side as usize);
        let [y, z, _] = spread(tokens.div_ceil(rows));
        let parameters = [tokens, summed, given].map(|extent| extent as u32);
        dispatch(kernel, [given.div_ceil(columns), y, z], arrays, &parameters);
    }
}

/// `x [.., inputs]`, `weight [inputs, outputs]` and `bias [outputs]` → `[.., outputs]`.
pub(crate) fn forward(x: &GpuArray, weight: &GpuArray, bias: &GpuArray, values: Values) -> GpuArray {
    let [inputs, outputs] = weight.shape().dims();
    let tokens = x.shape().num_elements() / inputs;
    let output = x.empty_like(with_channels(x.shape(), outputs), x.element());
    if values == Values::Computed {
        let kernel = LinearKernel::new(LinearPass::Forward, [inputs, outputs], x.element());
        run(kernel, [tokens, inputs, outputs], &[x, &output, weight, bias]);
    }
    output
}

/// `gradient [.., outputs]` and `weight [inputs, outputs]` → `[.., inputs]`.
pub(crate) fn input_gradient(gradient: &GpuArray, weight: &GpuArray) -> GpuArray {
    let [inputs, outputs] = weight.shape().dims();
    let tokens = gradient.shape().num_elements() / outputs;
    let x_gradient = gradient.empty_like(with_channels(gradient.shape(), inputs), gradient.element());
    let kernel = LinearKernel::new(LinearPass::InputGradient, [inputs, outputs], gradient.element());
    run(kernel, [tokens, outputs, inputs], &[gradient, &x_gradient, weight]);
    x_gradient
}

/// `[parts, inputs, outputs]` of the weight's gradient and `[parts, outputs]` of the bias's, to be added up.
pub(crate) fn parameter_gradients(x: &GpuArray, gradient: &GpuArray) -> [GpuArray; 2] {
    // Parts to fill a GPU, but no more of their sums than 4 MiB, and enough tokens that summing them is the work.
    const SUMS: usize = 1 << 20;
    const FEWEST_STEPS: usize = 8;
    let [inputs, outputs] = [x, gradient].map(|array| array.shape()[array.shape().num_dims() - 1]);
    let tokens = x.shape().num_elements() / inputs;
    let most_parts = (SUMS / (inputs * outputs)).clamp(1, MAX_WORKGROUPS);
    let steps = tokens.div_ceil(DEPTH).div_ceil(most_parts).max(FEWEST_STEPS);
    let parts = tokens.div_ceil(steps * DEPTH).max(1);
    let weight_sums = x.empty_like([parts, inputs, outputs], Element::F32);
    let bias_sums = x.empty_like([parts, outputs], Element::F32);
    let kernel = LinearKernel::new(LinearPass::ParameterGradients, [inputs, outputs], x.element());
    let [rows, columns] = kernel.tile.map(|side| side as usize);
    let workgroups = [inputs.div_ceil(rows), outputs.div_ceil(columns), parts];
    let parameters = [tokens, inputs, outputs, steps].map(|value| value as u32);
    dispatch(kernel, workgroups, &[x, gradient, &weight_sums, &bias_sums], &parameters);
    [weight_sums, bias_sums]
}
