//! How a network is executed: the options that do not change the network.

use serde::{Deserialize, Serialize};
use unbraid_ops::Precision;

/// The values that the forward pass of training keeps for the backward pass. Less memory costs more time. The gradients
/// are the same up to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recompute {
    /// Everything that the backward pass reads.
    #[default]
    None,
    /// The input of every attention with its MLP, and the input of every map between resolutions.
    Sublayer,
    /// The input of every block, and the input of every map between resolutions.
    Block,
}

/// How a network is executed. It is not part of a network's identity: the same weights give the same stems, up to
/// rounding, under every execution. On the CPU, chunk sizes do not change a single bit.
///
/// The default processes everything at once, keeps everything for the backward pass, and stores f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Execution {
    /// Bins (of every item of the batch) that a time sub-layer processes at once. 0: all. Less memory, same result.
    pub tsa_chunk_size: usize,
    /// Frames (of every item of the batch) that a frequency or window sub-layer processes at once. 0: all. Windows
    /// round it up to whole rows of windows.
    pub fsa_chunk_size: usize,
    /// The values that training keeps for the backward pass. It has no effect without autodiff.
    pub recompute: Recompute,
    /// Storage of the tokens between embedding and masks. Weights, spectra and all sums are f32 in any case. Training
    /// in f16 must scale its loss, because small gradients underflow.
    pub precision: Precision,
}
