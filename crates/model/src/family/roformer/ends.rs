//! The two ends of the network: bands to tokens, and tokens to masks.

use std::ops::Range;

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::{sigmoid, tanh};
use burn::tensor::{DType, Device, Tensor};
use unbraid_ops::{CheckpointedOp, Piece, checkpointed};

use crate::config::Config;
use crate::family::roformer::bands::{band_bins, bands_per_bin, lanes};
use crate::family::roformer::config::RoformerConfig;
use crate::family::roformer::layers::{RmsNorm, linear, mapped};

/// Where the values of the bands lie in the spectrum of a frame, whose values are ordered (bin, waveform channel, real or
/// imaginary part).
#[derive(Debug, Clone)]
pub(crate) struct BandLayout {
    /// The values of each band.
    values: Vec<Range<usize>>,
    /// Bands of one lane do not overlap.
    lane_of: Vec<usize>,
    lanes: usize,
    /// What each value of a mask is multiplied with; `None` if all are 1. Overlapping masks are averaged.
    weights: Option<Vec<f32>>,
}

impl BandLayout {
    pub(crate) fn new(config: &Config<RoformerConfig>) -> Self {
        let own = &config.family;
        let bands = band_bins(&own.bands, config.n_fft, config.sample_rate);
        let per_bin = 2 * own.channels();
        let mut weights: Vec<f32> = bands_per_bin(&bands, config.n_fft / 2 + 1)
            .iter()
            .flat_map(|&number| std::iter::repeat_n(1.0 / number as f32, per_bin))
            .collect();
        if own.zero_dc {
            weights[..per_bin].fill(0.0);
        }
        let (lane_of, lanes) = lanes(&bands);
        Self {
            values: bands.into_iter().map(|band| band.start * per_bin..band.end * per_bin).collect(),
            lane_of,
            lanes,
            weights: weights.iter().any(|&weight| weight != 1.0).then_some(weights),
        }
    }
}

/// The map from the spectrum of one band to a token.
#[derive(Module, Debug)]
pub(crate) struct BandEmbedding {
    norm: RmsNorm,
    map: Linear,
}

impl BandEmbedding {
    pub(crate) fn new(values: usize, dim: usize, device: &Device) -> Self {
        Self { norm: RmsNorm::new(values, device), map: linear(values, dim, true, device) }
    }
}

/// The spectrum `[b, t, 1, values]` → tokens `[b, t, bands, c]` of type `dtype`.
pub(crate) fn split(
    bands: &Vec<BandEmbedding>,
    layout: &BandLayout,
    spectrum: Tensor<4>,
    dtype: DType,
) -> Tensor<4> {
    let [batch, frames, _, _] = spectrum.dims();
    let dim = bands[0].map.weight.dims()[1];
    let pieces = layout.values.iter().enumerate().map(|(band, values)| {
        Piece::new(
            [0..batch, 0..frames, 0..1, values.clone()],
            [0..batch, 0..frames, band..band + 1, 0..dim],
            move |bands: &Vec<BandEmbedding>, x| {
                let BandEmbedding { norm, map } = &bands[band];
                let token = mapped(map, norm.forward(x));
                if dtype == DType::F32 { token } else { token.cast(dtype) }
            },
        )
    });
    let op = CheckpointedOp::pieces([batch, frames, bands.len(), dim], pieces.collect());
    checkpointed(bands, spectrum, &[op])
}

/// The MLP that estimates the mask of one band for one stem: linear maps with tanh between them, and a gated linear
/// unit.
#[derive(Module, Debug)]
struct MaskMlp {
    maps: Vec<Linear>,
}

impl MaskMlp {
    /// `[b, t, 1, c]` → `[b, t, 1, values]`
    fn forward(&self, mut x: Tensor<4>) -> Tensor<4> {
        for (index, map) in self.maps.iter().enumerate() {
            x = mapped(map, if index == 0 { x } else { tanh(x) });
        }
        let values = x.dims()[3] / 2;
        x.clone().narrow(3, 0, values) * sigmoid(x.narrow(3, values, values))
    }
}

/// The MLPs of all bands for one stem.
#[derive(Module, Debug)]
pub(crate) struct MaskEstimator {
    bands: Vec<MaskMlp>,
}

impl MaskEstimator {
    pub(crate) fn new(config: &Config<RoformerConfig>, device: &Device) -> Self {
        let mlp = |&values: &usize| MaskMlp {
            maps: (config.family.mask_maps(values).iter())
                .map(|&[inputs, outputs]| linear(inputs, outputs, true, device))
                .collect(),
        };
        Self { bands: config.band_values().iter().map(mlp).collect() }
    }
}

/// The norm at the end of a BS-RoFormer, and a mask estimator for each stem.
pub(crate) type MaskHead = (Option<RmsNorm>, Vec<MaskEstimator>);

/// Tokens `[b, t, bands, c]` → masks `[b, t, stems, values]` in f32.
pub(crate) fn masks(head: &MaskHead, layout: &BandLayout, x: Tensor<4>) -> Tensor<4> {
    let [batch, frames, _, dim] = x.dims();
    let stems = head.1.len();
    let all = layout.values.iter().map(|values| values.end).max().unwrap_or(0);
    let pieces = layout.values.iter().zip(&layout.lane_of).enumerate().map(|(band, (values, lane))| {
        Piece::new(
            [0..batch, 0..frames, band..band + 1, 0..dim],
            [0..batch, 0..frames, lane * stems..(lane + 1) * stems, values.clone()],
            move |(norm, estimators): &MaskHead, x: Tensor<4>| {
                let x = if x.dtype() == DType::F32 { x } else { x.cast(DType::F32) };
                let x = match norm {
                    Some(norm) => norm.forward(x),
                    None => x,
                };
                let masks = estimators.iter().map(|stem| stem.bands[band].forward(x.clone())).collect();
                Tensor::cat(masks, 2)
            },
        )
    });
    let op = CheckpointedOp::pieces([batch, frames, layout.lanes * stems, all], pieces.collect());
    let lanes = checkpointed(head, x, &[op]);
    let sum = (1..layout.lanes).fold(lanes.clone().narrow(2, 0, stems), |sum, lane| {
        sum + lanes.clone().narrow(2, lane * stems, stems)
    });
    match &layout.weights {
        Some(weights) => {
            let device = sum.device();
            sum * Tensor::<1>::from_floats(weights.as_slice(), &device).unsqueeze::<4>()
        }
        None => sum,
    }
}
