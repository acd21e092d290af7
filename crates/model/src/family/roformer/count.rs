//! The number of parameters of a RoFormer, without building it.

use crate::config::Config;
use crate::family::roformer::bands::Bands;
use crate::family::roformer::config::{MLP_RATIO, RoformerConfig};

/// Parameters of the whole network. Every field of `config` must be within its bounds.
pub(crate) fn parameters(config: &Config<RoformerConfig>) -> usize {
    let own = &config.family;
    let dim = own.dim as u64;
    let values = config.band_values();
    let band_split: u64 = values.iter().map(|&values| values as u64 + linear(values, own.dim)).sum();
    let blocks = (own.depth * (own.time_depth + own.frequency_depth)) as u64;
    // One norm at the end, or one at the end of each transformer.
    let norms = match own.bands {
        Bands::Bins(_) => 1,
        Bands::Mel(_) => 2 * own.depth as u64,
    };
    let mask = |&values: &usize| own.mask_maps(values).iter().map(|&[i, o]| linear(i, o)).sum::<u64>();
    let masks = config.stems.len() as u64 * values.iter().map(mask).sum::<u64>();
    let count = band_split + blocks * block(own) + norms * dim + masks;
    // A count that a 32-bit address space cannot hold is too large in any case.
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Parameters of one transformer block.
fn block(own: &RoformerConfig) -> u64 {
    let (dim, inner) = (own.dim as u64, own.inner() as u64);
    let attention = dim + dim * 3 * inner + linear(own.dim, own.num_heads) + inner * dim;
    let hidden = MLP_RATIO * own.dim;
    attention + dim + linear(own.dim, hidden) + linear(hidden, own.dim)
}

/// Parameters of a linear map with a bias.
fn linear(inputs: usize, outputs: usize) -> u64 {
    (inputs as u64 + 1) * outputs as u64
}
