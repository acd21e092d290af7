//! The number of parameters of a TFSWA U-Net, without building it.

use crate::config::{Config, STEREO};
use crate::family::tfswa::config::TfswaConfig;

/// Parameters of the whole network, in the order of the network's fields. Every field of `config` must be within its
/// bounds: then nothing here overflows.
pub(crate) fn parameters(config: &Config<TfswaConfig>) -> usize {
    let own = &config.family;
    let dims = &own.dims;
    let masks = 2 * STEREO * config.stems.len() * own.subbands;
    let ends = |bins: usize| linear(bins * own.feature_channels(), dims[0]);
    let mut count = config.padded_bins() * dims[0];
    if own.bands.is_empty() {
        count += 3 * ends(3) + linear(dims[0], masks);
    }
    for [_, width] in &own.bands {
        count += ends(3 * width) + linear(dims[0], width * masks);
    }
    for pair in dims.windows(2) {
        count += linear(4 * pair[0], pair[1]) + linear(pair[1], 4 * pair[0]) + linear(pair[0], pair[0]);
    }
    for (resolution, (&channels, &depth)) in dims.iter().zip(&own.depths).enumerate() {
        let stages = if resolution + 1 == dims.len() { 1 } else { 2 };
        count += stages * depth * block(own, channels);
    }
    count + 2 * dims[0]
}

/// Parameters of one block of `channels`.
fn block(config: &TfswaConfig, channels: usize) -> usize {
    let hidden = channels * config.mlp_ratio;
    let sub_layer = 4 * channels
        + linear(channels, 3 * channels)
        + linear(channels, channels)
        + linear(channels, hidden)
        + linear(hidden, channels);
    let [t, f] = config.window_size;
    3 * sub_layer + config.num_heads * (2 * t - 1) * (2 * f - 1)
}

/// Parameters of a linear map with a bias.
fn linear(inputs: usize, outputs: usize) -> usize {
    inputs * outputs + outputs
}
