//! The TFSWA U-Net: waveform in, one waveform per stem out.
//!
//! ```text
//! mixture [b, 2, n] ─ STFT ─┬─ features ─ patch embedding ─ encoder ─ bottleneck ─ decoder ─ head ─ masks
//!                           └──────────────────────────── complex product ───────────────────────────┘
//!                                                                └── inverse STFT ── stems [b, s, 2, n]
//! ```
//! Tokens are channels-last, `[b, t, f, c]`, from the patch embedding to the head. So every map over channels is one
//! matrix product over all tokens. A 2 × 2 convolution of stride 2 is such a product after two frames × two bins are
//! moved into the channels. The transposed convolution is such a product before they are moved back.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear};
use burn::tensor::{Device, Tensor};
use unbraid_ops::{self as ops, CheckpointedOp, Stft, Summand, istft, stft, sum_rows};

use crate::config::{Config, ModelConfigError, STEREO};
use crate::execution::{Execution, Recompute};
use crate::family::tfswa::bands::{self, Head};
use crate::family::tfswa::block::{Stage, chunks};
use crate::family::tfswa::config::{FEATURES, MaskedChannels, TfswaConfig};
use crate::family::tfswa::count;
use crate::family::tfswa::layers::{linear, mapped, starting_at, uniform};
use crate::network::{Family, complex_product};

/// Added to the spectrum's mean power, so that silence stays silence: about −110 dB of full scale at n_fft 2048.
const SILENCE: f64 = 1e-8;

/// Added to a bin's power after the mean power is normalised to 1. The compression ends 80 dB below the mean.
const QUIETEST: f64 = 1e-8;

/// A TFSWA U-Net with its weights.
///
/// **Mid and side.** The network reads `(left + right) / √2` and `(left − right) / √2`. Sources in the centre of a mix
/// (voice, bass, kick) and sources to its sides are then separated by which signal they are in, not by the difference of
/// two signals. If the masks apply to left and right, the network reads these too.
///
/// **Masks.** The complex STFT of each channel is multiplied with an unbounded complex mask per stem. The masks do not
/// depend on the mixture's scale, so the stems scale with the mixture. The network processes the lowest n_fft / 2 bins.
/// The topmost bin (Nyquist) gets the mask of the bin below it, so that masks that sum to 1 give stems that sum to the
/// mixture exactly. A consistent network makes them so: each mask gets an equal part of what is missing (Wisdom et al.
/// 2019, arXiv 1811.08521).
///
/// **Features.** The STFT is divided by its root mean square over the segment. Every bin's magnitude m is compressed
/// to m^¼ and its phase is kept, which reduces the 60 dB slope of music to 15 dB. The compressed magnitude is a
/// separate feature, because a linear layer cannot compute it: 3 × channels × sub-bands features in all.
///
/// **Frequency.** Attention encodes relative positions only. A learned vector per row of bins encodes the absolute
/// frequency.
///
/// **Skips.** `up(x) + merge(skip)` is the linear map of the concatenation, without the copy: `up` is linear, so its
/// half of that map is part of it.
#[derive(Module, Debug)]
pub struct Tfswa {
    /// See [`bands::embedding`].
    patch_embed: Vec<Linear>,
    /// `[f, c]`
    frequency: Param<Tensor<2>>,
    encoder: Vec<Stage>,
    down: Vec<Linear>,
    bottleneck: Stage,
    up: Vec<Linear>,
    merge: Vec<Linear>,
    decoder: Vec<Stage>,
    norm: LayerNorm,
    head: Head,
    #[module(skip)]
    config: Config<TfswaConfig>,
    #[module(skip)]
    plan: Stft,
    #[module(skip)]
    execution: Execution,
}

impl Family for Tfswa {
    type Config = TfswaConfig;

    fn validate(config: &Config<TfswaConfig>) -> Result<(), ModelConfigError> {
        config.validate_family()
    }

    fn parameters(config: &Config<TfswaConfig>) -> usize {
        count::parameters(config)
    }

    fn planes(config: &Config<TfswaConfig>, samples: usize) -> Vec<[usize; 3]> {
        config.token_planes(samples)
    }

    fn new(config: Config<TfswaConfig>, device: &Device) -> Self {
        let plan = Stft::new(config.n_fft, config.hop_length).expect("valid by the same rules");
        let own = &config.family;
        let (dims, coarsest) = (&own.dims, own.dims.len() - 1);
        let plain = uniform(1.0);
        let rows = config.padded_bins();
        let stages = || (0..coarsest).map(|resolution| Stage::new(own, resolution, device)).collect();
        let maps = |shape: &dyn Fn(usize) -> [usize; 2]| {
            let shapes = (0..coarsest).map(shape);
            shapes.map(|[inputs, outputs]| linear(inputs, outputs, &plain, device)).collect()
        };
        Self {
            patch_embed: bands::embedding(own, device),
            frequency: starting_at(cosines(rows, dims[0]), [rows, dims[0]], device),
            encoder: stages(),
            down: maps(&|i| [4 * dims[i], dims[i + 1]]),
            bottleneck: Stage::new(own, coarsest, device),
            up: maps(&|i| [dims[i + 1], 4 * dims[i]]),
            merge: maps(&|i| [dims[i], dims[i]]),
            decoder: stages(),
            norm: LayerNormConfig::new(dims[0]).init(device),
            head: bands::head(&config, device),
            plan,
            execution: Execution::default(),
            config,
        }
    }

    fn config(&self) -> &Config<TfswaConfig> {
        &self.config
    }

    fn execution(&self) -> Execution {
        self.execution
    }

    fn with_execution(self, execution: Execution) -> Self {
        Self { execution, ..self }
    }

    /// The STFT reflects n_fft / 2 samples at the ends.
    fn least_samples(&self) -> usize {
        self.config.n_fft / 2 + 1
    }

    fn forward(&self, mixture: Tensor<3>) -> Tensor<4> {
        let [batch, channels, samples] = mixture.dims();
        assert_eq!(channels, STEREO, "the mixture must be stereo");
        let is_mid_side = self.config.family.masks == MaskedChannels::MidSide;
        let turned = |x: Tensor<3>| if is_mid_side { mid_side(x) } else { x };
        let spectrum = stft(turned(mixture).reshape([batch * STEREO, samples]), &self.plan);
        let [_, frames, bins, _] = spectrum.dims();
        let part = |index| spectrum.clone().narrow(3, index, 1).reshape([batch, 1, STEREO, frames, bins]);
        let (real, imaginary) = (part(0), part(1));

        let read = [real.clone(), imaginary.clone()]
            .map(|part| if is_mid_side { part } else { with_mid_side(part) });
        let mask = self.masks(self.features(read));
        let stems = self.config.stems.len();
        let part = |index| mask.clone().narrow(1, index, 1).reshape([batch, stems, STEREO, frames, bins]);
        let stem_parts = complex_product([part(0), part(1)], [real, imaginary]);

        let rows = batch * stems * STEREO;
        let spectra = stem_parts.map(|part| part.reshape([rows, frames, bins, 1]));
        let stems_of_all = istft(Tensor::cat(spectra.into(), 3), &self.plan, samples);
        turned(stems_of_all.reshape([batch * stems, STEREO, samples]))
            .reshape([batch, stems, STEREO, samples])
    }
}

impl Tfswa {
    /// Real and imaginary part `[b, 1, channels, t, n_fft/2 + 1]` → features `[b, t, f, 3 · channels · sub-bands]`, ordered
    /// (feature, waveform channel, sub-band).
    fn features(&self, parts: [Tensor<5>; 2]) -> Tensor<4> {
        let [batch, _, channels, frames, bins] = parts[0].dims();
        let (bins, subbands) = (bins - 1, self.config.family.subbands);
        let [real, imaginary] = parts.map(|part| part.narrow(4, 0, bins));
        let power = real.clone().square() + imaginary.clone().square();
        let count = channels * frames * bins;
        let sum = sum_rows(power.clone().reshape([batch, count]), Summand::Value);
        let mean = sum.div_scalar(count as f64).add_scalar(SILENCE).reshape([batch, 1, 1, 1, 1]);
        let power = power / mean.clone() + QUIETEST;
        let magnitude = power.clone().sqrt().sqrt().sqrt();
        let gain = magnitude.clone() / (power * mean).sqrt();
        let features = Tensor::cat(vec![real * gain.clone(), imaginary * gain, magnitude], 1);
        features
            .reshape([batch, FEATURES * channels, frames, subbands, bins / subbands])
            .permute([0, 2, 4, 1, 3])
            .reshape([batch, frames, bins / subbands, self.config.family.feature_channels()])
    }

    /// Features `[b, t, f, 3 · channels · sub-bands]` → masks `[b, 2, 2s, t, n_fft/2 + 1]`, real part first, then
    /// imaginary.
    fn masks(&self, features: Tensor<4>) -> Tensor<5> {
        let [batch, frames, bins, _] = features.dims();
        let mut x = self.embed(features);
        let mut skips = Vec::with_capacity(self.encoder.len());
        for (stage, down) in self.encoder.iter().zip(&self.down) {
            x = stage.forward(x, &self.execution);
            skips.push(x.clone());
            x = self.apply(
                down,
                x,
                CheckpointedOp::whole(|down: &Linear, x| mapped(down, space_to_channels(x))),
            );
        }
        x = self.bottleneck.forward(x, &self.execution);
        for (resolution, skip) in skips.into_iter().enumerate().rev() {
            x = channels_to_space(mapped(&self.up[resolution], x)) + mapped(&self.merge[resolution], skip);
            x = self.decoder[resolution].forward(x, &self.execution);
        }
        let chunks = chunks(0, self.execution.fsa_chunk_size, x.dims()[1]);
        let head = (self.norm.clone(), self.head.clone());
        let bands = self.config.family.bands.clone();
        let op = CheckpointedOp::chunked(1, chunks, move |(norm, head): &(LayerNorm, Head), x| {
            bands::outputs(norm, head, &bands, x)
        });
        let masks = self.apply(&head, x, op).narrow(1, 0, frames).narrow(2, 0, bins);
        let subbands = self.config.family.subbands;
        let rows = self.config.stems.len() * STEREO;
        let masks = masks.reshape([batch, frames, bins, 2, rows, subbands]).permute([0, 3, 4, 1, 5, 2]);
        let masks: Tensor<5> = masks.reshape([batch, 2, rows, frames, subbands * bins]);
        let masks = if self.config.family.consistent { consistent(masks) } else { masks };
        let topmost = masks.clone().narrow(4, subbands * bins - 1, 1);
        Tensor::cat(vec![masks, topmost], 4)
    }

    /// Applies `op` to a part of the network. If training recomputes anything, it keeps only `x` of this operation.
    fn apply<M: Module + 'static>(&self, part: &M, x: Tensor<4>, op: CheckpointedOp<M>) -> Tensor<4> {
        if self.execution.recompute == Recompute::None {
            op.apply(part, x)
        } else {
            ops::checkpointed(part, x, &[op])
        }
    }

    /// Features `[b, t, f, ·]` → tokens `[b, t', f', c]`. Both axes are padded so that every resolution halves evenly.
    fn embed(&self, features: Tensor<4>) -> Tensor<4> {
        type Embedding = (Vec<Linear>, Param<Tensor<2>>);
        let padded_frames = features.dims()[1].next_multiple_of(self.config.family.unit());
        let precision = self.execution.precision.dtype();
        let bands = self.config.family.bands.clone();
        let map = move |(patch_embed, frequency): &Embedding, features: Tensor<4>| {
            bands::embed(patch_embed, frequency, &bands, &features, padded_frames).cast(precision)
        };
        self.apply(&(self.patch_embed.clone(), self.frequency.clone()), features, CheckpointedOp::whole(map))
    }
}

/// Left and right `[b, 2, n]` → mid and side, or the reverse: `(l + r, l − r) / √2` is its own inverse.
fn mid_side(x: Tensor<3>) -> Tensor<3> {
    let (first, second) = (x.clone().narrow(1, 0, 1), x.narrow(1, 1, 1));
    Tensor::cat(vec![first.clone() + second.clone(), first - second], 1).mul_scalar(FRAC_1_SQRT_2)
}

/// Initial values of the frequency embedding, `[rows, channels]`: cosines of rising order. Every smooth function of
/// frequency is a linear map of them.
fn cosines(rows: usize, channels: usize) -> Vec<f32> {
    let angle = |row: usize, channel: usize| PI * channel as f64 * (row as f64 + 0.5) / rows as f64;
    (0..rows * channels).map(|i| angle(i / channels, i % channels).cos() as f32).collect()
}

/// Left and right `[b, 1, 2, t, f]` → left, right, mid and side.
fn with_mid_side(x: Tensor<5>) -> Tensor<5> {
    let (left, right) = (x.clone().narrow(2, 0, 1), x.clone().narrow(2, 1, 1));
    let mid = (left.clone() + right.clone()).mul_scalar(FRAC_1_SQRT_2);
    let side = (left - right).mul_scalar(FRAC_1_SQRT_2);
    Tensor::cat(vec![x, mid, side], 2)
}

/// Masks `[b, 2, 2s, t, f]` of `s` stems → masks whose sum over the stems is 1.
fn consistent(masks: Tensor<5>) -> Tensor<5> {
    let [batch, parts, rows, frames, bins] = masks.dims();
    let stems = rows / STEREO;
    let masks: Tensor<6> = masks.reshape([batch, parts, stems, STEREO, frames, bins]);
    let part = |index: usize| {
        let part = masks.clone().narrow(1, index, 1);
        // The real parts sum to 1, the imaginary ones to 0.
        let missing = part.clone().sum_dim(2).neg().add_scalar(if index == 0 { 1.0 } else { 0.0 });
        part + missing.div_scalar(stems as f64)
    };
    Tensor::cat(vec![part(0), part(1)], 1).reshape([batch, parts, rows, frames, bins])
}

/// `[b, t, f, c]` → `[b, t/2, f/2, 4c]`
fn space_to_channels(x: Tensor<4>) -> Tensor<4> {
    let [b, t, f, c] = x.dims();
    x.reshape([b, t / 2, 2, f / 2, 2 * c]).swap_dims(2, 3).reshape([b, t / 2, f / 2, 4 * c])
}

/// `[b, t, f, 4c]` → `[b, 2t, 2f, c]`
fn channels_to_space(x: Tensor<4>) -> Tensor<4> {
    let [b, t, f, c] = x.dims();
    x.reshape([b, t, f, 2, c / 2]).swap_dims(2, 3).reshape([b, 2 * t, 2 * f, c / 4])
}
