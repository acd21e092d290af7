//! The two ends of the network: spectral features → tokens, and tokens → masks.
//!
//! Without bands, every bin of a sub-band is a token, and neighbouring bins and frames share a 3 × 3 convolution. With
//! bands, neighbouring bins form one token, few at low frequencies and many at high ones, as hearing resolves them. All
//! bands of one width share their maps. The learned vector of a row tells the network which band a token is.

use burn::module::{Module, Param};
use burn::nn::{Initializer, LayerNorm, Linear};
use burn::tensor::{DType, Device, Tensor, s};

use crate::config::{Config, STEREO};
use crate::family::tfswa::config::TfswaConfig;
use crate::family::tfswa::layers::{linear, mapped, normalised, starting_at, uniform};

/// Standard deviation of the head's initial weights.
const HEAD_STD: f64 = 0.02;

/// The maps to the masks of each token.
#[derive(Module, Debug)]
pub(crate) enum Head {
    /// One for all bins.
    Bins(Linear),
    /// One for each width of a band.
    Bands(Vec<Linear>),
}

/// The maps from features to tokens: a 3 × 3 convolution as one matrix `[3 · features, c]` for each of three neighbouring
/// frames, or for each width of a band one matrix `[3 · width · features, c]` over three frames.
pub(crate) fn embedding(config: &TfswaConfig, device: &Device) -> Vec<Linear> {
    let map = |bins: usize| linear(bins * config.feature_channels(), config.dims[0], &uniform(1.0), device);
    if config.bands.is_empty() {
        return (0..3).map(|_| map(3)).collect();
    }
    config.bands.iter().map(|[_, width]| map(3 * width)).collect()
}

/// The last layer. Its initial masks give every stem an equal part of the mixture.
pub(crate) fn head(config: &Config<TfswaConfig>, device: &Device) -> Head {
    let own = &config.family;
    let share = 1.0 / config.stems.len() as f32;
    let half = config.stems.len() * STEREO * own.subbands;
    // The outputs of each bin are the real parts, then the imaginary ones.
    let map = |width: usize| {
        let outputs = 2 * half * width;
        let weights = Initializer::Normal { mean: 0.0, std: HEAD_STD };
        let mut map = linear(own.dims[0], outputs, &weights, device);
        let shares = (0..outputs).map(|i| if i % (2 * half) < half { share } else { 0.0 }).collect();
        map.bias = Some(starting_at(shares, [outputs], device));
        map
    };
    if own.bands.is_empty() {
        Head::Bins(map(1))
    } else {
        Head::Bands(own.bands.iter().map(|[_, width]| map(*width)).collect())
    }
}

/// Features `[b, t, f, c]` → tokens `[b, frames, rows, c']`, whose frames and rows are padded.
pub(crate) fn embed(
    maps: &[Linear],
    frequency: &Param<Tensor<2>>,
    bands: &[[usize; 2]],
    features: &Tensor<4>,
    padded_frames: usize,
) -> Tensor<4> {
    let [batch, frames, bins, channels] = features.dims();
    let rows = frequency.val().dims()[0];
    let padded = |rows: usize, first: usize| {
        let edge = [batch, padded_frames + 2, rows, channels];
        let edge = Tensor::zeros(edge, (&features.device(), features.dtype()));
        edge.slice_assign(s![.., 1..=frames, first..first + bins, ..], features.clone())
    };
    let frequency = frequency.val().unsqueeze::<4>();
    if bands.is_empty() {
        let features = padded(rows + 2, 1);
        let neighbours = (0..3).map(|offset| features.clone().narrow(2, offset, rows)).collect();
        let patches = Tensor::cat(neighbours, 3);
        return maps.iter().enumerate().fold(frequency, |x, (offset, map)| {
            x + mapped(map, patches.clone().narrow(1, offset, padded_frames))
        });
    }
    let features = padded(bins, 0);
    let mut first = 0;
    let mut parts = Vec::with_capacity(bands.len() + 1);
    for (map, &[tokens, width]) in maps.iter().zip(bands) {
        let band = features.clone().narrow(2, first, tokens * width);
        let band = band.reshape([batch, padded_frames + 2, tokens, width * channels]);
        let neighbours = (0..3).map(|offset| band.clone().narrow(1, offset, padded_frames)).collect();
        parts.push(mapped(map, Tensor::cat(neighbours, 3)));
        first += tokens * width;
    }
    let used = bands.iter().map(|[tokens, _]| tokens).sum::<usize>();
    if used < rows {
        let [.., channels] = frequency.dims();
        let rest = [batch, padded_frames, rows - used, channels];
        parts.push(Tensor::zeros(rest, (&features.device(), features.dtype())));
    }
    Tensor::cat(parts, 2) + frequency
}

/// Tokens `[b, t, rows, c]` → the outputs of each bin, `[b, t, f, c']`.
pub(crate) fn outputs(norm: &LayerNorm, head: &Head, bands: &[[usize; 2]], x: Tensor<4>) -> Tensor<4> {
    let x = normalised(norm, x.cast(DType::F32));
    let maps = match head {
        Head::Bins(map) => return mapped(map, x),
        Head::Bands(maps) => maps,
    };
    let [batch, frames, ..] = x.dims();
    let mut first = 0;
    let parts = maps.iter().zip(bands).map(|(map, &[tokens, width])| {
        let own = mapped(map, x.clone().narrow(2, first, tokens));
        first += tokens;
        let [.., outputs] = own.dims();
        own.reshape([batch, frames, tokens * width, outputs / width])
    });
    Tensor::cat(parts.collect(), 2)
}
