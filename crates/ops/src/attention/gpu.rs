//! Attention on wgpu: the specialisations of its kernels and their dispatch. `shaders/attention/` has the formulas.

use super::layout::{Plane, SequenceLayout, Sequences};
use super::options::Attention;
use super::rotary::rotary_table;
#[cfg(not(target_family = "wasm"))]
use crate::device::{DeviceKind, native};
use crate::precision::Precision;
use crate::runtime::kernel::Kernel;
use crate::runtime::launch::{GpuArray, MAX_WORKGROUPS, dispatch};
use crate::runtime::tables::{Table, cached_table};

/// The passes of attention, one shader each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pass {
    /// Outputs and log-sum-exps.
    Forward,
    /// Gradients of the queries.
    BackwardQuery,
    /// Gradients of keys and values.
    BackwardKey,
    /// Gradient of the relative-position bias.
    BackwardBias,
}

/// A specialised attention kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttentionKernel {
    /// The pass, which selects the shader.
    pub pass: Pass,
    /// How the plane is divided into sequences.
    pub sequences: Sequences,
    /// Number of heads.
    pub heads: u32,
    /// Channels of a head.
    pub head_width: u32,
    /// Whether queries and keys have rotary positions.
    pub rotary: bool,
    /// Storage type of qkv, outputs and their gradients.
    pub precision: Precision,
    /// Invocations of a workgroup: 32 or 64.
    pub workgroup: u32,
    /// Queries (or keys) per invocation, in units of four in the pass of the bias table.
    pub own: u32,
}

impl AttentionKernel {
    /// A head's channels in units of four, rounded up.
    fn head_vectors(&self) -> u32 {
        self.head_width.div_ceil(4)
    }

    /// Queries (or keys) in workgroup memory at once.
    fn tile(&self) -> u32 {
        match self.pass {
            Pass::BackwardBias => 4 * self.own,
            // At most one per invocation. A larger tile would take no less time to load, and two tiles of 64 vectors
            // per invocation would leave too little workgroup memory for other workgroups. The tile is a multiple of
            // four, and so of `step`.
            _ => (4 * self.workgroup / self.head_vectors()).clamp(8, self.workgroup) / 4 * 4,
        }
    }

    /// Keys (or queries) of the tile per iteration of the inner loop. More save instructions, of which wide heads have
    /// few to save, and take registers and time to compile.
    fn step(&self) -> u32 {
        match (self.pass, self.head_vectors()) {
            (Pass::Forward, ..=2) => 4,
            (Pass::Forward, _) | (_, ..=2) => 2,
            _ => 1,
        }
    }
}

impl Kernel for AttentionKernel {
    fn file(&self) -> &'static str {
        match self.pass {
            Pass::Forward => "attention/forward.wgsl",
            Pass::BackwardQuery => "attention/backward_query.wgsl",
            Pass::BackwardKey => "attention/backward_key.wgsl",
            Pass::BackwardBias => "attention/backward_bias.wgsl",
        }
    }

    fn constants(&self) -> Vec<(&'static str, u32)> {
        let (sequences, positional) = match self.sequences {
            Sequences::Time => (0, u32::from(self.rotary)),
            Sequences::Frequency => (1, u32::from(self.rotary)),
            Sequences::Window { .. } => (2, 2),
        };
        let mut constants = vec![
            ("SEQUENCES", sequences),
            ("POSITIONAL", positional),
            ("HEADS", self.heads),
            ("HEAD_WIDTH", self.head_width),
            ("HEAD_VECTORS", self.head_vectors()),
        ];
        if let Sequences::Window { size, shift } = self.sequences {
            constants.extend([
                ("WINDOW_FRAMES", size[0] as u32),
                ("WINDOW_BINS", size[1] as u32),
                ("SHIFT_FRAMES", shift[0] as u32),
                ("SHIFT_BINS", shift[1] as u32),
            ]);
        }
        constants.extend([("TILE", self.tile()), ("OWN", self.own)]);
        if self.pass != Pass::BackwardBias {
            constants.push(("STEP", self.step()));
        }
        constants
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn workgroup(&self) -> u32 {
        self.workgroup
    }

    fn bindings(&self) -> usize {
        match self.pass {
            Pass::Forward => 5,
            Pass::BackwardQuery => 8,
            Pass::BackwardKey | Pass::BackwardBias => 7,
        }
    }
}

/// The tensors that the forward pass saves for the backward pass.
pub(crate) struct SavedArrays {
    pub(crate) qkv: GpuArray,
    pub(crate) bias: GpuArray,
    pub(crate) output: GpuArray,
    pub(crate) log_sum_exp: GpuArray,
}

/// The number of queries (or keys) per invocation, for heads of `head_vectors` vectors. With one query per invocation a
/// sequence takes `workgroups` workgroups.
fn owned(pass: Pass, head_vectors: u32, workgroups: u32) -> u32 {
    // The vectors of a query and of its sums must fit in 128 registers of four bytes.
    let limit = match pass {
        Pass::Forward => 32 / (2 * head_vectors),
        Pass::BackwardQuery => 32 / (3 * head_vectors),
        Pass::BackwardKey => 32 / (4 * head_vectors),
        // With more, the tile of heads of 128 channels would exceed the workgroup memory.
        Pass::BackwardBias => return if head_vectors > 16 { 2 } else { 4 },
    };
    // Cost model: loading a tile costs as much as processing one query.
    (1..=limit.clamp(1, 4)).min_by_key(|own| workgroups.div_ceil(*own) * (own + 1)).unwrap_or(1)
}

/// Pairs of query and key, times the vectors of a head, per dispatch. A pair takes at most twenty instructions per
/// vector. A dispatch delays the frames of the desktop or the page, and drivers abort dispatches that take seconds.
#[cfg_attr(
    target_family = "wasm",
    expect(unused_variables, reason = "a browser does not tell the kind of its GPU")
)]
fn work_of_dispatch(array: &GpuArray) -> usize {
    #[cfg(not(target_family = "wasm"))]
    if let Some(DeviceKind::Discrete | DeviceKind::Software) = native::kind(&array.0.device) {
        // By instruction counts 5 ms on an RTX 3060. Software adapters only test what discrete GPUs run.
        return 5 << 28;
    }
    // Tens of milliseconds on the smallest GPUs.
    3 << 27
}

/// The launches of an attention on a plane.
struct Launcher<'a> {
    options: &'a Attention,
    plane: Plane,
    layout: SequenceLayout,
    precision: Precision,
}

impl<'a> Launcher<'a> {
    fn new(qkv: &GpuArray, plane: Plane, options: &'a Attention) -> Self {
        let layout = SequenceLayout::new(plane, options.sequences);
        Self { options, plane, layout, precision: qkv.precision() }
    }

    fn kernel(&self, pass: Pass) -> AttentionKernel {
        let head_width = (self.plane.channels / self.options.heads) as u32;
        let length = self.layout.length() as u32;
        // Short sequences (windows, coarse resolutions) would leave half of 64 invocations idle.
        let workgroup = if length <= 64 && pass != Pass::BackwardBias { 32 } else { 64 };
        AttentionKernel {
            pass,
            sequences: self.options.sequences,
            heads: self.options.heads as u32,
            head_width,
            rotary: self.options.rotary,
            precision: self.precision,
            workgroup,
            own: owned(pass, head_width.div_ceil(4), length.div_ceil(workgroup)),
        }
    }

    /// The `positions` binding: the rotary table, the bias table, or a placeholder.
    fn positions(&self, bias: &GpuArray) -> GpuArray {
        if !self.options.rotary {
            return bias.clone();
        }
        let [positions, head_width] = [self.layout.length(), self.plane.channels / self.options.heads];
        cached_table(Table::Rotary([positions, head_width]), bias, || rotary_table(positions, head_width))
    }

    /// Dispatches a pass over all sequences, `chunk` sequences per dispatch.
    fn run(&self, pass: Pass, arrays: &[&GpuArray]) {
        let kernel = self.kernel(pass);
        let (length, count) = (self.layout.length(), self.layout.count());
        let blocks = length.div_ceil((kernel.workgroup * kernel.own) as usize);
        let chunk = self.options.chunk.map_or_else(
            || {
                let work = length * length * self.options.heads * kernel.head_vectors() as usize;
                let most = (work_of_dispatch(arrays[0]) / work.max(1)).clamp(1, MAX_WORKGROUPS);
                count.div_ceil(count.div_ceil(most).max(1))
            },
            |chunk| chunk.get().min(MAX_WORKGROUPS),
        );
        for first in (0..count).step_by(chunk.max(1)) {
            let workgroups = [blocks, self.options.heads, chunk.min(count - first)];
            let parameters = [self.plane.frames, self.plane.bins, first].map(|value| value as u32);
            dispatch(kernel, workgroups, arrays, &parameters);
        }
    }

    /// Partial sums of the bias gradient, `[parts, h, offsets]`.
    fn run_bias(&self, arrays: &[&GpuArray; 5], [heads, entries]: [usize; 2]) -> GpuArray {
        // Enough workgroups per head to fill a GPU, and few enough that summing their results is cheap.
        const WORKGROUPS: usize = 128;
        let kernel = self.kernel(Pass::BackwardBias);
        let count = self.layout.count();
        let of_length = |extent: u32| self.layout.length().div_ceil(extent as usize);
        let tiles = of_length(kernel.tile()) * of_length(kernel.workgroup);
        let windows_of_part = count.div_ceil((WORKGROUPS / tiles).max(1));
        let parts = count.div_ceil(windows_of_part);
        let sums = arrays[0].empty_like([parts * tiles, heads, entries], Precision::F32);
        let chunk = self.options.chunk.map_or(parts, |chunk| chunk.get().div_ceil(windows_of_part));
        for first in (0..parts).step_by(chunk) {
            let workgroups = [tiles, heads, chunk.min(parts - first)];
            let parameters = [self.plane.frames, self.plane.bins, count, windows_of_part, first];
            let [qkv, positions, gradient, log_sum_exp, delta] = arrays;
            let arrays = [*qkv, *positions, *gradient, *log_sum_exp, *delta, &sums];
            dispatch(kernel, workgroups, &arrays, &parameters.map(|value| value as u32));
        }
        sums
    }
}

/// `(output [b, t, f, c], log-sum-exp [b, t, f, h])`.
pub(crate) fn forward(
    qkv: &GpuArray,
    bias: &GpuArray,
    plane: Plane,
    options: &Attention,
) -> (GpuArray, GpuArray) {
    let launcher = Launcher::new(qkv, plane, options);
    let Plane { batch, frames, bins, channels } = plane;
    let output = qkv.empty_like([batch, frames, bins, channels], qkv.precision());
    let log_sum_exp = qkv.empty_like([batch, frames, bins, options.heads], Precision::F32);
    launcher.run(Pass::Forward, &[qkv, &launcher.positions(bias), &output, &log_sum_exp]);
    (output, log_sum_exp)
}

/// The gradient of qkv and, for windows, partial sums of the gradient of the bias table, `[parts, h, offsets]`.
pub(crate) fn backward(
    saved: &SavedArrays,
    gradient: &GpuArray,
    plane: Plane,
    options: &Attention,
) -> (GpuArray, Option<GpuArray>) {
    let SavedArrays { qkv, bias, output, log_sum_exp } = saved;
    let launcher = Launcher::new(qkv, plane, options);
    let positions = launcher.positions(bias);
    let Plane { batch, frames, bins, channels } = plane;
    let qkv_gradient = qkv.empty_like([batch, frames, bins, 3 * channels], qkv.precision());
    let delta = qkv.empty_like([batch, frames, bins, options.heads], Precision::F32);
    launcher
        .run(Pass::BackwardQuery, &[qkv, &positions, gradient, log_sum_exp, &delta, &qkv_gradient, output]);
    launcher.run(Pass::BackwardKey, &[qkv, &positions, gradient, log_sum_exp, &delta, &qkv_gradient]);
    let bias_parts = options
        .bias_shape()
        .map(|shape| launcher.run_bias(&[qkv, &positions, gradient, log_sum_exp, &delta], shape));
    (qkv_gradient, bias_parts)
}
