//! The TFSWA block: time attention, frequency attention and windowed attention, each followed by its MLP.

use std::ops::Range;

use burn::module::{Module, Param};
use burn::nn::{Initializer, LayerNorm, LayerNormConfig, Linear};
use burn::tensor::{Device, Tensor};
use unbraid_ops::{self as ops, Attention, CheckpointedOp, Sequences, attention, gelu};

use crate::execution::{Execution, Recompute};
use crate::family::tfswa::config::{Positional, TfswaConfig};
use crate::family::tfswa::layers::{added, added_for_gradients, linear, mapped, normalised, uniform};

/// Standard deviation of the initial relative-position bias table, as in the Swin Transformer.
const BIAS_TABLE_STD: f64 = 0.02;

/// An attention and its MLP: `x ← x + proj(attention(qkv(LN x)))`, then `x ← x + MLP(LN x)`.
///
/// The output has the shape of the input, `[b, t, f, c]`.
#[derive(Module, Debug)]
pub(crate) struct SubLayer {
    norm_attention: LayerNorm,
    qkv: Linear,
    position_bias: Option<Param<Tensor<2>>>,
    projection: Linear,
    norm_mlp: LayerNorm,
    expand: Linear,
    contract: Linear,
    #[module(skip)]
    attention: Attention,
}

impl SubLayer {
    fn new(config: &TfswaConfig, channels: usize, sequences: Sequences, device: &Device) -> Self {
        let window = matches!(sequences, Sequences::Window { .. });
        let attention = Attention {
            sequences,
            heads: config.num_heads,
            rotary: !window && config.positional == Positional::Rotary,
            chunk: None,
        };
        let hidden = channels * config.mlp_ratio;
        // The initial output of a residual branch is small, so that the sum of all branches does not grow with depth.
        let branches = 2 * config.sub_layers();
        let branch_end = uniform(1.0 / (branches as f64).sqrt());
        Self {
            norm_attention: LayerNormConfig::new(channels).init(device),
            qkv: linear(channels, 3 * channels, &uniform(1.0), device),
            position_bias: attention
                .bias_shape()
                .map(|shape| Initializer::Normal { mean: 0.0, std: BIAS_TABLE_STD }.init(shape, device)),
            projection: linear(channels, channels, &branch_end, device),
            norm_mlp: LayerNormConfig::new(channels).init(device),
            expand: linear(channels, hidden, &uniform(1.0), device),
            contract: linear(hidden, channels, &branch_end, device),
            attention,
        }
    }

    /// `x [b, t, f, c]` → `[b, t, f, c]`, one chunk of sequences at a time.
    ///
    /// Sequences are independent of each other, and everything else is computed per token. So the chunk size changes
    /// how much memory is used at once, but not the result.
    fn forward(&self, x: Tensor<4>, execution: &Execution) -> Tensor<4> {
        let op = self.checkpointed_op(x.dims(), execution, |layer| layer);
        if execution.recompute == Recompute::None {
            op.apply(self, x)
        } else {
            ops::checkpointed(self, x, &[op])
        }
    }

    /// This sub-layer as an operation of a checkpointed chain, for planes of these extents. `of` finds the sub-layer in
    /// the chain's module.
    fn checkpointed_op<M>(
        &self,
        [_, frames, bins, _]: [usize; 4],
        execution: &Execution,
        of: impl Fn(&M) -> &Self + Copy + Send + Sync + 'static,
    ) -> CheckpointedOp<M> {
        let mut options = self.attention;
        let (axis, chunks) = match &mut options.sequences {
            Sequences::Time => (2, chunks(0, execution.tsa_chunk_size, bins)),
            Sequences::Frequency => (1, chunks(0, execution.fsa_chunk_size, frames)),
            Sequences::Window { size, shift } => {
                // Within a single window, a cyclic shift would only separate tokens at the edges.
                for ((shift, size), extent) in shift.iter_mut().zip(*size).zip([frames, bins]) {
                    *shift = if extent > size { *shift } else { 0 };
                }
                // A chunk is whole rows of windows. With the whole plane, the cyclic shift moves the first frames
                // into the last row of windows, where they form a separate mask region. In chunks, they are a
                // separate row, so no shift along frames is needed.
                let chunk = execution.fsa_chunk_size.min(frames).next_multiple_of(size[0]);
                let rows = chunks(shift[0], chunk, frames);
                if rows.len() > 1 {
                    shift[0] = 0;
                }
                (1, rows)
            }
        };
        // The output need not be recomputed in the backward pass, because no gradient depends on it.
        CheckpointedOp::chunked(axis, chunks, move |block, x| of(block).forward_chunk(x, &options, added))
            .for_gradients(move |block, x| of(block).forward_chunk(x, &options, added_for_gradients))
    }

    /// `last` adds the MLP's second linear map to the residual.
    fn forward_chunk(
        &self,
        x: Tensor<4>,
        options: &Attention,
        last: fn(&Linear, Tensor<4>, Tensor<4>) -> Tensor<4>,
    ) -> Tensor<4> {
        let bias = self.position_bias.as_ref().map(Param::val);
        let qkv = mapped(&self.qkv, normalised(&self.norm_attention, x.clone()));
        let x = added(&self.projection, attention(qkv, bias, options), x);
        let hidden = gelu(mapped(&self.expand, normalised(&self.norm_mlp, x.clone())));
        last(&self.contract, hidden, x)
    }
}

/// Splits `0..end` into `0..first` (if not empty), followed by ranges of `chunk`. A chunk of 0, or of at least `end`,
/// gives one range. A remainder of at most a thirty-second of a chunk joins the last range, because a small chunk takes as
/// many launches as a large one.
pub(crate) fn chunks(first: usize, chunk: usize, end: usize) -> Vec<Range<usize>> {
    if chunk == 0 || chunk >= end {
        return std::iter::once(0..end).collect();
    }
    let count = (end - first).div_ceil(chunk);
    let remainder = (end - first) - (count - 1) * chunk;
    let count = if count > 1 && remainder <= chunk / 32 { count - 1 } else { count };
    let rest = (0..count).map(|index| {
        let start = first + index * chunk;
        start..if index + 1 == count { end } else { start + chunk }
    });
    std::iter::once(0..first).filter(|range| !range.is_empty()).chain(rest).collect()
}

/// Time attention, frequency attention, then windowed attention.
#[derive(Module, Debug)]
pub(crate) struct Block {
    time: SubLayer,
    frequency: SubLayer,
    window: SubLayer,
}

impl Block {
    fn new(config: &TfswaConfig, channels: usize, shifted: bool, device: &Device) -> Self {
        let size = config.window_size;
        let shift = if shifted { size.map(|side| side / 2) } else { [0, 0] };
        Self {
            time: SubLayer::new(config, channels, Sequences::Time, device),
            frequency: SubLayer::new(config, channels, Sequences::Frequency, device),
            window: SubLayer::new(config, channels, Sequences::Window { size, shift }, device),
        }
    }

    fn forward(&self, x: Tensor<4>, execution: &Execution) -> Tensor<4> {
        if execution.recompute == Recompute::Block {
            let plane = x.dims();
            let chain = [
                self.time.checkpointed_op(plane, execution, |block: &Self| &block.time),
                self.frequency.checkpointed_op(plane, execution, |block: &Self| &block.frequency),
                self.window.checkpointed_op(plane, execution, |block: &Self| &block.window),
            ];
            return ops::checkpointed(self, x, &chain);
        }
        [&self.time, &self.frequency, &self.window]
            .into_iter()
            .fold(x, |x, layer| layer.forward(x, execution))
    }
}

/// The blocks of one resolution. Windows are shifted in every second block.
#[derive(Module, Debug)]
pub(crate) struct Stage {
    blocks: Vec<Block>,
}

impl Stage {
    pub(crate) fn new(config: &TfswaConfig, resolution: usize, device: &Device) -> Self {
        let block = |index| Block::new(config, config.dims[resolution], index % 2 == 1, device);
        Self { blocks: (0..config.depths[resolution]).map(block).collect() }
    }

    pub(crate) fn forward(&self, x: Tensor<4>, execution: &Execution) -> Tensor<4> {
        self.blocks.iter().fold(x, |x, block| block.forward(x, execution))
    }
}

#[cfg(test)]
mod tests;
