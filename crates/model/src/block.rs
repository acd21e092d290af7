//! The TFSWA block: time attention, frequency attention, windowed attention, each with its MLP.

use std::ops::Range;

use burn::module::{Module, Param};
use burn::nn::{Initializer, LayerNorm, LayerNormConfig, Linear};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};
use unbraid_ops::{self as ops, Attention, CheckpointedOp, Sequences, attention, gelu, layer_norm};

use crate::config::{ModelConfig, Positional};

/// What the forward pass of training keeps for the backward pass. Memory against time: gradients are the same to
/// rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recompute {
    /// All that the backward pass reads.
    #[default]
    None,
    /// The input of every attention and its MLP, and of every map between resolutions.
    Sublayer,
    /// The input of every block, and of every map between resolutions.
    Block,
}

pub use unbraid_ops::Precision;

/// Standard deviation of a fresh relative-position bias table, as in the Swin Transformer.
const BIAS_TABLE_STD: f64 = 0.02;

/// A linear map with the weights of `initializer` and a bias of zeros.
pub(crate) fn linear(inputs: usize, outputs: usize, initializer: &Initializer, device: &Device) -> Linear {
    Linear {
        weight: initializer.init_with([inputs, outputs], Some(inputs), Some(outputs), device),
        bias: Some(Initializer::Zeros.init([outputs], device)),
    }
}

/// Uniform weights of variance `gain² / (3 · inputs)`.
pub(crate) fn uniform(gain: f64) -> Initializer {
    Initializer::KaimingUniform { gain: gain / 3f64.sqrt(), fan_out_only: false }
}

/// `map` of `x [.., inputs]`, in the precision of `x`.
pub(crate) fn mapped(map: &Linear, x: Tensor<4>) -> Tensor<4> {
    let bias = map.bias.as_ref().expect("made with a bias").val();
    ops::linear(x, map.weight.val(), bias)
}

/// The gradients of [`mapped`], without its values.
fn mapped_for_gradients(map: &Linear, x: Tensor<4>) -> Tensor<4> {
    let bias = map.bias.as_ref().expect("made with a bias").val();
    ops::linear_for_gradients(x, map.weight.val(), bias)
}

/// `norm`'s layer normalisation of `x [b, t, f, c]`.
pub(crate) fn normalised(norm: &LayerNorm, x: Tensor<4>) -> Tensor<4> {
    let offset = norm.beta.as_ref().expect("made with an offset").val();
    layer_norm(x, norm.gamma.val(), offset)
}

/// One attention and its MLP: `x ← x + proj(attention(qkv(LN x)))`, then `x ← x + MLP(LN x)`.
///
/// Keeps the shape of its input, `[b, t, f, c]`.
#[derive(Module, Debug)]
pub struct SubLayer {
    norm_attention: LayerNorm,
    qkv: Linear,
    position_bias: Option<Param<Tensor<2>>>,
    projection: Linear,
    norm_mlp: LayerNorm,
    expand: Linear,
    contract: Linear,
    #[module(skip)]
    attention: Attention,
    /// Bins (time) or frames (the others) taken through at once; 0 takes all. Windows take whole rows of them.
    chunk: usize,
}

impl SubLayer {
    fn new(config: &ModelConfig, channels: usize, sequences: Sequences, device: &Device) -> Self {
        let window = matches!(sequences, Sequences::Window { .. });
        let attention = Attention {
            sequences,
            heads: config.num_heads,
            rotary: !window && config.positional == Positional::Rotary,
            chunk: None,
        };
        let hidden = channels * config.mlp_ratio;
        // Every residual branch starts small, so that their sum does not grow with depth.
        let branches = 2 * sub_layers(config);
        let quiet = uniform(1.0 / (branches as f64).sqrt());
        Self {
            norm_attention: LayerNormConfig::new(channels).init(device),
            qkv: linear(channels, 3 * channels, &uniform(1.0), device),
            position_bias: bias_shape(config, sequences)
                .map(|shape| Initializer::Normal { mean: 0.0, std: BIAS_TABLE_STD }.init(shape, device)),
            projection: linear(channels, channels, &quiet, device),
            norm_mlp: LayerNormConfig::new(channels).init(device),
            expand: linear(channels, hidden, &uniform(1.0), device),
            contract: linear(hidden, channels, &quiet, device),
            attention,
            chunk: match sequences {
                Sequences::Time => config.tsa_chunk_size,
                Sequences::Frequency | Sequences::Window { .. } => config.fsa_chunk_size,
            },
        }
    }

    /// `x [b, t, f, c]` → `[b, t, f, c]`, `chunk` sequences of every batch item at a time.
    ///
    /// Sequences do not see each other and the rest is per token, so chunks change what exists at once and
    /// nothing else.
    pub fn forward(&self, x: Tensor<4>, recompute: Recompute) -> Tensor<4> {
        let link = self.link(x.dims(), |layer| layer);
        if recompute == Recompute::None { link.apply(self, x) } else { ops::checkpointed(self, x, &[link]) }
    }

    /// This sub-layer, where `of` finds it in a block, as a link of a chain over a plane of these extents.
    fn link<M>(
        &self,
        [_, frames, bins, _]: [usize; 4],
        of: impl Fn(&M) -> &Self + Copy + Send + Sync + 'static,
    ) -> CheckpointedOp<M> {
        let mut options = self.attention;
        let (axis, pieces) = match &mut options.sequences {
            Sequences::Time => (2, pieces(0, self.chunk, bins)),
            Sequences::Frequency => (1, pieces(0, self.chunk, frames)),
            Sequences::Window { size, shift } => {
                // A plane within one window is not rolled: that would only part its edges.
                for ((shift, size), extent) in shift.iter_mut().zip(*size).zip([frames, bins]) {
                    *shift = if extent > size { *shift } else { 0 };
                }
                // Whole rows of windows. What the roll brings into the last row from the first frames is a
                // region of its own there; it is a row of its own here, and nothing is rolled along frames.
                let rows = pieces(shift[0], self.chunk.next_multiple_of(size[0]), frames);
                if rows.len() > 1 {
                    shift[0] = 0;
                }
                (1, rows)
            }
        };
        // The sum at its end is for those who come after: its gradients are those of its terms.
        CheckpointedOp::chunked(axis, pieces, move |block, x| of(block).forward_piece(x, &options, mapped))
            .for_gradients(move |block, x| of(block).forward_piece(x, &options, mapped_for_gradients))
    }

    /// `last` is the map at its end.
    fn forward_piece(
        &self,
        x: Tensor<4>,
        options: &Attention,
        last: fn(&Linear, Tensor<4>) -> Tensor<4>,
    ) -> Tensor<4> {
        let bias = self.position_bias.as_ref().map(Param::val);
        let qkv = mapped(&self.qkv, normalised(&self.norm_attention, x.clone()));
        let x = x + mapped(&self.projection, attention(qkv, bias, options));
        let hidden = gelu(mapped(&self.expand, normalised(&self.norm_mlp, x.clone())));
        x + last(&self.contract, hidden)
    }
}

/// Pieces of `chunk` (0: all that there is) that follow each other from `first` to `end`, after one of `first`.
pub(crate) fn pieces(first: usize, chunk: usize, end: usize) -> Vec<Range<usize>> {
    if chunk == 0 || chunk >= end {
        return std::iter::once(0..end).collect();
    }
    let rest = (first..end).step_by(chunk).map(|start| start..(start + chunk).min(end));
    std::iter::once(0..first).filter(|piece| !piece.is_empty()).chain(rest).collect()
}

/// Time attention, frequency attention, then attention within windows.
#[derive(Module, Debug)]
pub struct Block {
    time: SubLayer,
    frequency: SubLayer,
    window: SubLayer,
}

impl Block {
    fn new(config: &ModelConfig, channels: usize, shifted: bool, device: &Device) -> Self {
        let size = config.window_size;
        let shift = if shifted { size.map(|side| side / 2) } else { [0, 0] };
        Self {
            time: SubLayer::new(config, channels, Sequences::Time, device),
            frequency: SubLayer::new(config, channels, Sequences::Frequency, device),
            window: SubLayer::new(config, channels, Sequences::Window { size, shift }, device),
        }
    }

    fn forward(&self, x: Tensor<4>, recompute: Recompute) -> Tensor<4> {
        if recompute == Recompute::Block {
            let plane = x.dims();
            let chain = [
                self.time.link(plane, |block: &Self| &block.time),
                self.frequency.link(plane, |block: &Self| &block.frequency),
                self.window.link(plane, |block: &Self| &block.window),
            ];
            return ops::checkpointed(self, x, &chain);
        }
        [&self.time, &self.frequency, &self.window]
            .into_iter()
            .fold(x, |x, layer| layer.forward(x, recompute))
    }
}

/// The blocks of one resolution; windows are shifted in every second one.
#[derive(Module, Debug)]
pub struct Stage {
    blocks: Vec<Block>,
}

impl Stage {
    pub(crate) fn new(config: &ModelConfig, resolution: usize, device: &Device) -> Self {
        let block = |index| Block::new(config, config.dims[resolution], index % 2 == 1, device);
        Self { blocks: (0..config.depths[resolution]).map(block).collect() }
    }

    pub(crate) fn forward(&self, x: Tensor<4>, recompute: Recompute) -> Tensor<4> {
        self.blocks.iter().fold(x, |x, block| block.forward(x, recompute))
    }
}

/// Shape of the relative-position bias table, `[h, (2·size_t − 1)(2·size_f − 1)]`, for windows.
fn bias_shape(config: &ModelConfig, sequences: Sequences) -> Option<[usize; 2]> {
    match sequences {
        Sequences::Window { size: [t, f], .. } => Some([config.num_heads, (2 * t - 1) * (2 * f - 1)]),
        Sequences::Time | Sequences::Frequency => None,
    }
}

/// Sub-layers of the whole network: three a block, every resolution but the coarsest twice.
fn sub_layers(config: &ModelConfig) -> usize {
    let depths = config.depths.iter().sum::<usize>();
    3 * (2 * depths - config.depths.last().copied().unwrap_or(0))
}

/// Learned values of one block of `channels`.
pub(crate) fn block_parameters(config: &ModelConfig, channels: usize) -> usize {
    let hidden = channels * config.mlp_ratio;
    let map = |inputs: usize, outputs: usize| inputs * outputs + outputs;
    let sub_layer = 4 * channels
        + map(channels, 3 * channels)
        + map(channels, channels)
        + map(channels, hidden)
        + map(hidden, channels);
    let [t, f] = config.window_size;
    3 * sub_layer + config.num_heads * (2 * t - 1) * (2 * f - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;

    fn config(tsa_chunk_size: usize, fsa_chunk_size: usize) -> ModelConfig {
        let tiny = ModelConfig::preset("tfswa_unet_tiny").expect("a preset");
        ModelConfig { tsa_chunk_size, fsa_chunk_size, ..tiny }
    }

    #[test]
    fn pieces_cover_all_and_whole_windows_only() {
        assert_eq!((pieces(0, 0, 5).len(), pieces(4, 32, 22).len()), (1, 1));
        assert_eq!(pieces(0, 2, 5), [0..2, 2..4, 4..5]);
        assert_eq!(pieces(4, 8, 22), [0..4, 4..12, 12..20, 20..22]);
    }

    /// The same weights under several chunk sizes: chunks must not show in a single bit.
    #[test]
    fn chunks_change_nothing() {
        let device = Device::flex();
        device.seed(7);
        let x = Tensor::<4>::random([2, 19, 23, 32], Distribution::Normal(0.0, 2.0), &device);
        let window = |shift| Sequences::Window { size: [8, 8], shift };
        for sequences in [Sequences::Time, Sequences::Frequency, window([0, 0]), window([4, 4])] {
            let whole = SubLayer::new(&config(0, 0), 32, sequences, &device);
            let expected = whole.forward(x.clone(), Recompute::None).into_data();
            for chunk in [1, 2, 5, 17, 64] {
                let chunked = SubLayer { chunk, ..whole.clone() };
                let result = chunked.forward(x.clone(), Recompute::None).into_data();
                assert_eq!(result, expected, "{sequences:?}, chunk {chunk}");
            }
        }
    }

    /// A time sub-layer joins the frames of a bin, a frequency sub-layer the bins of a frame: a token reaches
    /// exactly its own sequence.
    #[test]
    fn a_token_reaches_its_sequence_only() {
        let device = Device::flex();
        device.seed(3);
        let x = Tensor::<4>::random([1, 6, 7, 32], Distribution::Normal(0.0, 1.0), &device);
        let at = [0..1, 2..3, 4..5, 0..32];
        let poke = Tensor::<4>::random([1, 1, 1, 32], Distribution::Normal(0.0, 1.0), &device);
        let poked = x.clone().slice_assign(at, poke);
        for (sequences, expected) in [(Sequences::Time, [6, 1]), (Sequences::Frequency, [1, 7])] {
            let layer = SubLayer::new(&config(0, 0), 32, sequences, &device);
            let forward = |x: &Tensor<4>| layer.forward(x.clone(), Recompute::None);
            let change = (forward(&x) - forward(&poked)).abs().sum_dim(3);
            let change = change.into_data().try_to_vec::<f32>().expect("f32");
            let moved = |t: usize, f: usize| change[t * 7 + f] > 0.0;
            assert!(moved(2, 4));
            let frames = (0..6).filter(|&t| moved(t, 4)).count();
            let bins = (0..7).filter(|&f| moved(2, f)).count();
            assert_eq!([frames, bins], expected, "{sequences:?}");
            assert_eq!(change.iter().filter(|&&c| c > 0.0).count(), expected[0] * expected[1]);
        }
    }
}
