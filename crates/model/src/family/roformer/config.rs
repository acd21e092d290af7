//! The configuration of a RoFormer.

use serde::{Deserialize, Serialize};
use unbraid_ops::MAX_HEAD_WIDTH;

use crate::config::{Config, ModelConfigError, STEREO, within, wrong};
use crate::family::roformer::bands::{Bands, band_bins, bands_per_bin};

/// Hidden channels of the MLP of a transformer block, as a multiple of its channels.
pub(crate) const MLP_RATIO: usize = 4;

/// The fields of a RoFormer's configuration that other families do not have.
///
/// Weights files and checkpoints store this struct. A field that is added to it needs a serde default
/// (`#[serde(default)]`) that keeps the meaning of files without the field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoformerConfig {
    /// How the bins are divided into bands.
    pub bands: Bands,
    /// Channels of a token.
    pub dim: usize,
    /// Layers: pairs of a transformer along time and a transformer along bands.
    pub depth: usize,
    /// Blocks of each transformer along time.
    pub time_depth: usize,
    /// Blocks of each transformer along bands.
    pub frequency_depth: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Channels of a head.
    pub head_width: usize,
    /// Linear maps of the MLP that estimates the mask of a band.
    pub mask_depth: usize,
    /// Hidden channels of that MLP, as a multiple of `dim`.
    pub mask_expansion: usize,
    /// Whether both waveform channels are separated together. Otherwise each is separated as a mono waveform.
    pub stereo: bool,
    /// Whether the lowest bin of every stem is 0.
    pub zero_dc: bool,
    /// Whether a layer's input is the sum of the outputs of all layers before it.
    pub skip_connection: bool,
}

impl RoformerConfig {
    /// Waveform channels that are separated together.
    pub(crate) fn channels(&self) -> usize {
        if self.stereo { STEREO } else { 1 }
    }

    /// Channels of all heads together.
    pub(crate) fn inner(&self) -> usize {
        self.num_heads * self.head_width
    }

    /// Input and output channels of every linear map of a mask MLP, for a band of `values` spectrum values. The gated
    /// linear unit at its end halves the channels.
    pub(crate) fn mask_maps(&self, values: usize) -> Vec<[usize; 2]> {
        let hidden = self.dim * self.mask_expansion;
        (0..self.mask_depth)
            .map(|map| {
                let inputs = if map == 0 { self.dim } else { hidden };
                [inputs, if map + 1 == self.mask_depth { 2 * values } else { hidden }]
            })
            .collect()
    }
}

impl Config<RoformerConfig> {
    /// Real numbers of the spectrum of a frame in each band.
    pub(crate) fn band_values(&self) -> Vec<usize> {
        let own = &self.family;
        let bands = band_bins(&own.bands, self.n_fft, self.sample_rate);
        bands.iter().map(|band| 2 * own.channels() * band.len()).collect()
    }

    /// Checks the family's fields. No arithmetic in it can overflow.
    pub(crate) fn validate_family(&self) -> Result<(), ModelConfigError> {
        let own = &self.family;
        within("dim", own.dim, 4, 1024)?;
        within("depth", own.depth, 1, 64)?;
        within("time_depth", own.time_depth, 1, 8)?;
        within("frequency_depth", own.frequency_depth, 1, 8)?;
        within("num_heads", own.num_heads, 1, 64)?;
        within("head_width", own.head_width, 2, MAX_HEAD_WIDTH)?;
        if own.head_width % 2 == 1 {
            return wrong(
                "head_width",
                format!("rotary positions need an even head width, not {}", own.head_width),
            );
        }
        within("mask_depth", own.mask_depth, 1, 4)?;
        within("mask_expansion", own.mask_expansion, 1, 8)?;
        self.validate_bands()
    }

    fn validate_bands(&self) -> Result<(), ModelConfigError> {
        const MOST_BANDS: usize = 512;
        let bins = self.n_fft / 2 + 1;
        match &self.family.bands {
            Bands::Bins(widths) => {
                within("bands", widths.len(), 2, MOST_BANDS)?;
                for &width in widths {
                    within("bands", width, 1, bins)?;
                }
                let sum: usize = widths.iter().sum();
                if sum != bins {
                    return wrong("bands", format!("they have {sum} bins, but n_fft / 2 + 1 is {bins}"));
                }
            }
            Bands::Mel(count) => {
                within("bands", *count, 2, MOST_BANDS)?;
                let bands = band_bins(&self.family.bands, self.n_fft, self.sample_rate);
                let empty = bands.iter().any(std::ops::Range::is_empty);
                if empty || bands_per_bin(&bands, bins).contains(&0) {
                    return wrong("bands", format!("{count} mel bands are too many for {bins} bins"));
                }
            }
        }
        Ok(())
    }
}
