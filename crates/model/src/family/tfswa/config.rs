//! The configuration of a TFSWA U-Net, and the sizes that it determines.

use serde::{Deserialize, Serialize};
use unbraid_ops::MAX_HEAD_WIDTH;

use crate::config::{Config, ModelConfigError, STEREO, within, wrong};

/// Features of one bin of one waveform channel: compressed real part, compressed imaginary part, and magnitude.
pub(crate) const FEATURES: usize = 3;

/// How tokens of a time or frequency sequence encode their position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Positional {
    /// Queries and keys are rotated by their position (rotary embedding).
    Rotary,
    /// Tokens do not encode their position.
    None,
}

/// The waveform channels whose spectra the masks multiply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskedChannels {
    /// `(left + right) / √2` and `(left − right) / √2`.
    #[default]
    MidSide,
    /// Left and right. A stem of a silent channel is silent, whatever the masks are.
    LeftRight,
}

/// The fields of a TFSWA U-Net's configuration that other families do not have.
///
/// Weights files and checkpoints store this struct. A field that is added to it needs a serde default
/// (`#[serde(default)]`) that keeps the meaning of files without the field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TfswaConfig {
    /// Equal parts that the bins are split into, stacked as channels.
    pub subbands: usize,
    /// Neighbouring bins that form one token, lowest first: pairs of the number of tokens and the bins of each. All of
    /// them together hold n_fft / 2 bins. If it is empty, every bin of a sub-band forms a token.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bands: Vec<[usize; 2]>,
    /// The channels that the masks apply to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub masks: MaskedChannels,
    /// Whether the masks of all stems sum to 1, so that the stems sum to the mixture.
    #[serde(default, skip_serializing_if = "is_default")]
    pub consistent: bool,
    /// Channels at each resolution, finest first. The last entry is the bottleneck's.
    pub dims: Vec<usize>,
    /// TFSWA blocks at each resolution, for the encoder and again for the decoder.
    pub depths: Vec<usize>,
    /// Attention heads, the same number at every resolution.
    pub num_heads: usize,
    /// Frames and bins of an attention window.
    pub window_size: [usize; 2],
    /// Hidden channels of an MLP, as a multiple of its channels.
    pub mlp_ratio: usize,
    /// Position encoding of time and frequency attention. Windows always have a relative-position bias.
    pub positional: Positional,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Config<TfswaConfig> {
    /// Checks the family's fields. No arithmetic in it can overflow.
    pub(crate) fn validate_family(&self) -> Result<(), ModelConfigError> {
        let TfswaConfig { subbands, mlp_ratio, .. } = self.family;
        within("subbands", subbands, 1, 64)?;
        let bins = self.n_fft / 2;
        if !bins.is_multiple_of(subbands) {
            return wrong("subbands", format!("{subbands} does not divide n_fft / 2 = {bins}"));
        }
        self.validate_bands()?;
        self.family.validate_stages()?;
        within("mlp_ratio", mlp_ratio, 1, 8)
    }

    fn validate_bands(&self) -> Result<(), ModelConfigError> {
        let TfswaConfig { bands, subbands, .. } = &self.family;
        if bands.is_empty() {
            return Ok(());
        }
        if *subbands != 1 {
            return wrong("subbands", format!("is {subbands}, but a network with `bands` has 1"));
        }
        within("bands", bands.len(), 1, 64)?;
        for &[tokens, width] in bands {
            within("bands", tokens, 1, self.n_fft)?;
            within("bands", width, 1, 512)?;
        }
        let (bins, all) = (bands.iter().map(|[tokens, width]| tokens * width).sum::<usize>(), self.n_fft / 2);
        if bins == all { Ok(()) } else { wrong("bands", format!("hold {bins} bins, n_fft / 2 is {all}")) }
    }

    /// Rows of tokens along frequency: the bands, or the bins of a sub-band, padded so that every resolution halves
    /// evenly.
    pub(crate) fn padded_bins(&self) -> usize {
        let bands = self.family.bands.iter().map(|[tokens, _]| tokens).sum::<usize>();
        let rows = if bands > 0 { bands } else { self.n_fft / 2 / self.family.subbands };
        rows.next_multiple_of(self.family.unit())
    }

    /// Frames, bins and channels of the tokens at every resolution, finest first, for `samples` of a waveform.
    pub(crate) fn token_planes(&self, samples: usize) -> Vec<[usize; 3]> {
        let frames = (samples / self.hop_length + 1).next_multiple_of(self.family.unit());
        let plane = |(resolution, &channels): (usize, &usize)| {
            [frames >> resolution, self.padded_bins() >> resolution, channels]
        };
        self.family.dims.iter().enumerate().map(plane).collect()
    }
}

impl TfswaConfig {
    fn validate_stages(&self) -> Result<(), ModelConfigError> {
        within("dims", self.dims.len(), 1, 6)?;
        if self.depths.len() != self.dims.len() {
            return wrong(
                "depths",
                format!("has {} entries, dims has {}", self.depths.len(), self.dims.len()),
            );
        }
        within("num_heads", self.num_heads, 1, 64)?;
        for &channels in &self.dims {
            within("dims", channels, 4, 1024)?;
            if !channels.is_multiple_of(self.num_heads) {
                return wrong("dims", format!("{channels} does not divide into {} heads", self.num_heads));
            }
            let head_width = channels / self.num_heads;
            if head_width > MAX_HEAD_WIDTH {
                return wrong(
                    "num_heads",
                    format!(
                        "{channels} channels in {} heads make a head of {head_width}; at most {} fit",
                        self.num_heads, MAX_HEAD_WIDTH
                    ),
                );
            }
            if self.positional == Positional::Rotary && head_width % 2 == 1 {
                return wrong(
                    "num_heads",
                    format!(
                        "rotary positions need an even head width; {channels} channels give {head_width}"
                    ),
                );
            }
        }
        for &depth in &self.depths {
            within("depths", depth, 1, 32)?;
        }
        for side in self.window_size {
            within("window_size", side, 1, 32)?;
        }
        Ok(())
    }

    /// Tokens of the finest resolution per token of the coarsest, along each axis.
    pub(crate) fn unit(&self) -> usize {
        1 << (self.dims.len() - 1)
    }

    /// Channels of the features that the patch embedding reads.
    pub(crate) fn feature_channels(&self) -> usize {
        let channels = match self.masks {
            MaskedChannels::MidSide => STEREO,
            // Left, right, mid and side.
            MaskedChannels::LeftRight => 2 * STEREO,
        };
        FEATURES * channels * self.subbands
    }

    /// Sub-layers of the whole network: three per block. Every resolution except the coarsest has its blocks twice.
    pub(crate) fn sub_layers(&self) -> usize {
        let depths = self.depths.iter().sum::<usize>();
        3 * (2 * depths - self.depths.last().copied().unwrap_or(0))
    }
}
