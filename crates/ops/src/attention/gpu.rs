//! Attention on wgpu: the kernels' specialisations and their launches. The formulas are in `shaders/attention/`.

use std::cell::RefCell;

use super::{Attention, Layout, Plane, Sequences, rotary_table};
use crate::backend::{GpuArray, MAX_WORKGROUPS, dispatch};
use crate::kernel::{Element, Kernel};

/// The passes of attention, a shader each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pass {
    /// Outputs and their log-sum-exps.
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
    /// Which shader.
    pub pass: Pass,
    /// How sequences are laid.
    pub sequences: Sequences,
    /// Number of heads.
    pub heads: u32,
    /// Channels of a head.
    pub head_width: u32,
    /// Rotary positions on queries and keys.
    pub rotary: bool,
    /// Storage type of qkv, outputs and their gradients.
    pub element: Element,
    /// Invocations of a workgroup: 32 or 64.
    pub workgroup: u32,
    /// Queries, or keys, of an invocation; the bias table's pass counts them in fours.
    pub own: u32,
}

impl AttentionKernel {
    /// Queries, or keys, in workgroup memory at once.
    fn tile(&self) -> u32 {
        match self.pass {
            Pass::BackwardBias => 4 * self.own,
            // Two tiles of vectors in 8 KiB, half of the workgroup memory of WebGPU's default limits. The forward pass
            // goes through its tiles by fours.
            _ => (256 / self.head_width.div_ceil(4)).clamp(8, 32) / 4 * 4,
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
        let head_vectors = self.head_width.div_ceil(4);
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
            ("HEAD_VECTORS", head_vectors),
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
        constants
    }

    fn element(&self) -> Element {
        self.element
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

/// What the forward pass leaves for the backward pass.
pub(crate) struct Saved {
    pub(crate) qkv: GpuArray,
    pub(crate) bias: GpuArray,
    pub(crate) output: GpuArray,
    pub(crate) log_sum_exp: GpuArray,
}

/// Rotary tables kept on their devices: a network has two to a resolution.
const MOST_TABLES: usize = 16;

thread_local! {
    /// The last rotary tables that this thread uploaded, under their positions and head width: an upload at every launch
    /// would have all that is queued submitted before it.
    static KEPT_TABLES: RefCell<Vec<([usize; 2], GpuArray)>> = const { RefCell::new(Vec::new()) };
}

/// How many queries (or keys) of `head_vectors` vectors an invocation should own where one would make `workgroups`
/// workgroups of a sequence.
fn owned(pass: Pass, head_vectors: u32, workgroups: u32) -> u32 {
    // Vectors of a query and of its sums, in 128 registers of four bytes.
    let most = match pass {
        Pass::Forward => 32 / (2 * head_vectors),
        Pass::BackwardQuery => 32 / (3 * head_vectors),
        Pass::BackwardKey => 32 / (4 * head_vectors),
        // More would not leave its tile of heads of 128 channels room enough.
        Pass::BackwardBias => return if head_vectors > 16 { 2 } else { 4 },
    };
    // What an invocation reads of tiles is taken to cost as much as its work for one query.
    (1..=most.clamp(1, 4)).min_by_key(|own| workgroups.div_ceil(*own) * (own + 1)).unwrap_or(1)
}

/// Launches of one attention on one plane.
struct Launcher<'a> {
    options: &'a Attention,
    plane: Plane,
    layout: Layout,
    element: Element,
}

impl<'a> Launcher<'a> {
    fn new(qkv: &GpuArray, plane: Plane, options: &'a Attention) -> Self {
        let layout = Layout::new(plane, options.sequences);
        Self { options, plane, layout, element: qkv.element() }
    }

    fn kernel(&self, pass: Pass) -> AttentionKernel {
        let head_width = (self.plane.channels / self.options.heads) as u32;
        let length = self.layout.length() as u32;
        // Short sequences (windows, deep stages) would leave half of 64 invocations idle.
        let workgroup = if length <= 64 && pass != Pass::BackwardBias { 32 } else { 64 };
        AttentionKernel {
            pass,
            sequences: self.options.sequences,
            heads: self.options.heads as u32,
            head_width,
            rotary: self.options.rotary,
            element: self.element,
            workgroup,
            own: owned(pass, head_width.div_ceil(4), length.div_ceil(workgroup)),
        }
    }

    /// The `positions` binding: rotary table, bias table or placeholder.
    fn positions(&self, bias: &GpuArray) -> GpuArray {
        if !self.options.rotary {
            return bias.clone();
        }
        let extents = [self.layout.length(), self.plane.channels / self.options.heads];
        let [positions, head_width] = extents;
        KEPT_TABLES.with_borrow_mut(|tables| {
            let kept = tables.iter().position(|(kept, table)| *kept == extents && table.is_beside(bias));
            // The last to be used stands last.
            let table = match kept {
                Some(index) => tables.remove(index).1,
                None => bias.upload_like(&rotary_table(positions, head_width)),
            };
            tables.push((extents, table.clone()));
            if tables.len() > MOST_TABLES {
                tables.remove(0);
            }
            table
        })
    }

    /// Dispatches a pass over all sequences, `chunk` of them at a time.
    fn run(&self, pass: Pass, arrays: &[&GpuArray]) {
        // Pairs of query and key: at some twenty instructions each (reckoned, not measured) enough to fill the largest
        // GPU, and tens of milliseconds of the smallest. A page's frames wait for a dispatch, and drivers end those
        // that take seconds.
        const PAIRS: usize = 1 << 28;
        let kernel = self.kernel(pass);
        let (length, count) = (self.layout.length(), self.layout.count());
        let blocks = length.div_ceil((kernel.workgroup * kernel.own) as usize);
        let enough = PAIRS / (length * length * self.options.heads).max(1);
        let chunk = self.options.chunk.map_or(enough, std::num::NonZero::get).clamp(1, MAX_WORKGROUPS);
        for first in (0..count).step_by(chunk) {
            let workgroups = [blocks, self.options.heads, chunk.min(count - first)];
            let parameters = [self.plane.frames, self.plane.bins, first].map(|value| value as u32);
            dispatch(kernel, workgroups, arrays, &parameters);
        }
    }

    /// Parts of the bias gradient, `[parts, h, offsets]`, to be added up.
    fn run_bias(&self, arrays: &[&GpuArray; 5], [heads, entries]: [usize; 2]) -> GpuArray {
        // Enough workgroups of a head to fill a GPU, few enough that the sum of what they give costs nothing.
        const WORKGROUPS: usize = 128;
        let kernel = self.kernel(Pass::BackwardBias);
        let count = self.layout.count();
        let of_length = |extent: u32| self.layout.length().div_ceil(extent as usize);
        let tiles = of_length(kernel.tile()) * of_length(kernel.workgroup);
        let windows_of_part = count.div_ceil((WORKGROUPS / tiles).max(1));
        let parts = count.div_ceil(windows_of_part);
        let sums = arrays[0].empty_like([parts * tiles, heads, entries], Element::F32);
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
    let output = qkv.empty_like([batch, frames, bins, channels], qkv.element());
    let log_sum_exp = qkv.empty_like([batch, frames, bins, options.heads], Element::F32);
    launcher.run(Pass::Forward, &[qkv, &launcher.positions(bias), &output, &log_sum_exp]);
    (output, log_sum_exp)
}

/// Gradient of qkv, and for windows the parts of the bias table's gradient, `[parts, h, offsets]`.
pub(crate) fn backward(
    saved: &Saved,
    gradient: &GpuArray,
    plane: Plane,
    options: &Attention,
) -> (GpuArray, Option<GpuArray>) {
    let Saved { qkv, bias, output, log_sum_exp } = saved;
    let launcher = Launcher::new(qkv, plane, options);
    let positions = launcher.positions(bias);
    let Plane { batch, frames, bins, channels } = plane;
    let qkv_gradient = qkv.empty_like([batch, frames, bins, 3 * channels], qkv.element());
    let delta = qkv.empty_like([batch, frames, bins, options.heads], Element::F32);
    launcher
        .run(Pass::BackwardQuery, &[qkv, &positions, gradient, log_sum_exp, &delta, &qkv_gradient, output]);
    launcher.run(Pass::BackwardKey, &[qkv, &positions, gradient, log_sum_exp, &delta, &qkv_gradient]);
    let bias_parts = options
        .bias_shape()
        .map(|shape| launcher.run_bias(&[qkv, &positions, gradient, log_sum_exp, &delta], shape));
    (qkv_gradient, bias_parts)
}
