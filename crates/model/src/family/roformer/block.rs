//! The transformer block: gated attention with rotary positions, and an MLP.

use std::ops::Range;

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};
use unbraid_ops::{self as ops, Attention, CheckpointedOp, Sequences, attention, gelu};

use crate::execution::{Execution, Recompute};
use crate::family::roformer::bands::Bands;
use crate::family::roformer::config::{MLP_RATIO, RoformerConfig};
use crate::family::roformer::layers::{RmsNorm, added, added_for_gradients, linear, mapped};

/// Bytes of the largest f32 tensor within a block. A plane is divided further than the chunk sizes ask for, so that the
/// 128 MiB that every WebGPU device can bind are enough.
const MOST_BYTES: usize = 128 << 20;

/// An attention and its MLP: `x ← x + proj(σ(gates) · attention(qkv))`, then `x ← x + MLP(RMS x)`, where qkv and gates are
/// linear in RMS x. The gates scale the output of each head.
#[derive(Module, Debug)]
pub(crate) struct Block {
    norm_attention: RmsNorm,
    qkv: Linear,
    gates: Linear,
    projection: Linear,
    norm_mlp: RmsNorm,
    expand: Linear,
    contract: Linear,
    #[module(skip)]
    attention: Attention,
}

impl Block {
    fn new(config: &RoformerConfig, sequences: Sequences, device: &Device) -> Self {
        let (dim, inner, hidden) = (config.dim, config.inner(), MLP_RATIO * config.dim);
        Self {
            norm_attention: RmsNorm::new(dim, device),
            qkv: linear(dim, 3 * inner, false, device),
            gates: linear(dim, config.num_heads, true, device),
            projection: linear(inner, dim, false, device),
            norm_mlp: RmsNorm::new(dim, device),
            expand: linear(dim, hidden, true, device),
            contract: linear(hidden, dim, true, device),
            attention: Attention { sequences, heads: config.num_heads, rotary: true, chunk: None },
        }
    }

    /// `last` adds the MLP's second linear map to the residual.
    fn forward(&self, x: Tensor<4>, last: fn(&Linear, Tensor<4>, Tensor<4>) -> Tensor<4>) -> Tensor<4> {
        let [b, t, f, _] = x.dims();
        let heads = self.attention.heads;
        let normalised = self.norm_attention.forward(x.clone());
        let attended = attention(mapped(&self.qkv, normalised.clone()), None, &self.attention);
        let inner = attended.dims()[3];
        let gates = sigmoid(mapped(&self.gates, normalised)).reshape([b, t, f, heads, 1]);
        let gated = attended.reshape([b, t, f, heads, inner / heads]) * gates;
        let x = added(&self.projection, gated.reshape([b, t, f, inner]), x);
        let hidden = gelu(mapped(&self.expand, self.norm_mlp.forward(x.clone())));
        last(&self.contract, hidden, x)
    }

    /// The block as an operation of a checkpointed chain, for planes of these extents. `of` finds the block in the
    /// chain's module.
    fn checkpointed_op<M>(
        &self,
        plane: [usize; 4],
        execution: &Execution,
        of: impl Fn(&M) -> &Self + Copy + Send + Sync + 'static,
    ) -> CheckpointedOp<M> {
        let widest = self.qkv.weight.dims()[1].max(self.expand.weight.dims()[1]);
        let (axis, chunks) = match self.attention.sequences {
            Sequences::Time => (2, chunks(plane, 2, execution.tsa_chunk_size, widest)),
            _ => (1, chunks(plane, 1, execution.fsa_chunk_size, widest)),
        };
        // The output need not be recomputed in the backward pass, because no gradient depends on it.
        CheckpointedOp::chunked(axis, chunks, move |module, x| of(module).forward(x, added))
            .for_gradients(move |module, x| of(module).forward(x, added_for_gradients))
    }
}

/// Divides `axis` of a plane into chunks of `size` (0: all), or smaller ones if a tensor of `widest` channels would be too
/// large.
fn chunks(plane: [usize; 4], axis: usize, size: usize, widest: usize) -> Vec<Range<usize>> {
    let [batch, frames, bands, _] = plane;
    let (extent, sequence) = if axis == 1 { (frames, bands) } else { (bands, frames) };
    let most = (MOST_BYTES / (size_of::<f32>() * widest * batch * sequence)).max(1);
    let size = if size == 0 { most } else { size.min(most) };
    // Chunks of about equal size: a small last chunk takes as many launches as a large one.
    let size = extent.div_ceil(extent.div_ceil(size));
    (0..extent).step_by(size).map(|start| start..(start + size).min(extent)).collect()
}

/// Blocks along one axis.
#[derive(Module, Debug)]
pub(crate) struct Transformer {
    blocks: Vec<Block>,
    /// Only in a Mel-Band RoFormer.
    norm: Option<RmsNorm>,
}

impl Transformer {
    fn new(config: &RoformerConfig, depth: usize, sequences: Sequences, device: &Device) -> Self {
        Self {
            blocks: (0..depth).map(|_| Block::new(config, sequences, device)).collect(),
            norm: matches!(config.bands, Bands::Mel(_)).then(|| RmsNorm::new(config.dim, device)),
        }
    }

    /// The operations of the transformer, for planes of these extents. `of` finds the transformer in the chain's module.
    fn ops<M>(
        &self,
        plane: [usize; 4],
        execution: &Execution,
        of: impl Fn(&M) -> &Self + Copy + Send + Sync + 'static,
    ) -> Vec<CheckpointedOp<M>> {
        let op = |(index, block): (usize, &Block)| {
            block.checkpointed_op(plane, execution, move |module| &of(module).blocks[index])
        };
        let mut ops: Vec<_> = self.blocks.iter().enumerate().map(op).collect();
        if self.norm.is_some() {
            let chunks = chunks(plane, 1, execution.fsa_chunk_size, plane[3]);
            ops.push(CheckpointedOp::chunked(1, chunks, move |module, x| match &of(module).norm {
                Some(norm) => norm.forward(x),
                None => x,
            }));
        }
        ops
    }
}

/// A transformer along time, then one along bands.
#[derive(Module, Debug)]
pub(crate) struct Layer {
    time: Transformer,
    frequency: Transformer,
}

impl Layer {
    pub(crate) fn new(config: &RoformerConfig, device: &Device) -> Self {
        Self {
            time: Transformer::new(config, config.time_depth, Sequences::Time, device),
            frequency: Transformer::new(config, config.frequency_depth, Sequences::Frequency, device),
        }
    }

    /// `x [b, t, f, c]` → `[b, t, f, c]`
    pub(crate) fn forward(&self, x: Tensor<4>, execution: &Execution) -> Tensor<4> {
        let plane = x.dims();
        let mut chain = self.time.ops(plane, execution, |layer: &Self| &layer.time);
        chain.extend(self.frequency.ops(plane, execution, |layer: &Self| &layer.frequency));
        match execution.recompute {
            Recompute::None => chain.iter().fold(x, |x, op| op.apply(self, x)),
            Recompute::Sublayer => {
                chain.into_iter().fold(x, |x, op| ops::checkpointed(self, x, std::slice::from_ref(&op)))
            }
            Recompute::Block => ops::checkpointed(self, x, &chain),
        }
    }
}
