//! The TFSWA U-Net: waveform in, a waveform per stem out.
//!
//! ```text
//! mixture [b, 2, n] ── STFT ──┬─ features ─ stem ─ stages down ─ bottleneck ─ stages up ─ head ─ masks
//!                             └────────────────────────── complex product ─────────────────────────┘
//!                                                               └── inverse STFT ── stems [b, s, 2, n]
//! ```
//! Tokens stay channels-last, `[b, t, f, c]`, from the stem to the head: every map over channels is one matrix
//! product over all tokens. A 2 × 2 convolution of stride 2 is such a product after two frames × two bins
//! became channels, and its transpose one before they become frames and bins again.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use burn::module::{Module, Param, ParamId};
use burn::nn::{Initializer, LayerNorm, LayerNormConfig, Linear};
use burn::tensor::{DType, Device, Tensor, TensorData, s};
use unbraid_ops::{self as ops, CheckpointedOp, Stft, istft, stft};

use crate::block::{
    Precision, Recompute, Stage, block_parameters, linear, mapped, normalised, pieces, uniform,
};
use crate::config::ModelConfig;

/// Waveform channels of every mixture and stem.
pub(crate) const STEREO: usize = 2;

/// Features of one bin of one waveform channel: compressed real and imaginary part, and magnitude.
const FEATURES: usize = 3;

/// Added to a spectrum's mean power, so that silence stays silence: about −110 dB of full scale at n_fft 2048.
const SILENCE: f64 = 1e-8;

/// Added to a bin's power once the mean is 1: 80 dB below it, compression ends.
const QUIETEST: f64 = 1e-8;

/// Standard deviation of fresh weights of the masks.
const SMALL: f64 = 0.02;

/// A TFSWA U-Net with its weights.
///
/// **Mid and side.** It works on `(left + right) / √2` and `(left − right) / √2`: what a mix holds in its middle
/// (voice, bass, kick) and what is spread are told apart by one of two signals, not by the difference of two.
///
/// **Masks.** Each stem and waveform channel gets an unbounded complex mask, multiplied with the mixture's own
/// complex STFT; whatever the network sees, its masks have no scale, so the stems scale with the mixture. The
/// bins the network sees are the lowest n_fft / 2; the topmost one (Nyquist) takes the mask of the bin below
/// it, so that masks that sum to 1 give stems that sum to the mixture, exactly.
///
/// **Features.** The STFT is divided by its root mean square over the segment, and every bin's magnitude m is
/// compressed to m^¼ with its phase kept, which brings the 60 dB slope of music to 15 dB. The compressed
/// magnitude is a feature of its own, for a first linear layer cannot find it: 3 × 2 × sub-bands in all.
///
/// **Frequency.** Attention sees relative positions; a learned vector per bin row tells the absolute ones.
///
/// **Skips.** `up(x) + merge(skip)` is the linear map of the two concatenated, without the copy: `up` is linear
/// itself, so its half of that map is already in it.
#[derive(Module, Debug)]
pub struct Tfswa {
    /// A 3 × 3 convolution: one matrix `[3 · features, c]` for each of three neighbouring frames.
    stem: Vec<Linear>,
    /// `[f, c]`
    frequency: Param<Tensor<2>>,
    encoder: Vec<Stage>,
    down: Vec<Linear>,
    bottleneck: Stage,
    up: Vec<Linear>,
    merge: Vec<Linear>,
    decoder: Vec<Stage>,
    norm: LayerNorm,
    head: Linear,
    #[module(skip)]
    config: ModelConfig,
    #[module(skip)]
    plan: Stft,
    #[module(skip)]
    recompute: Recompute,
    #[module(skip)]
    precision: Precision,
}

impl Tfswa {
    pub(crate) fn new(config: &ModelConfig, device: &Device) -> Self {
        config.validate().unwrap_or_else(|error| panic!("an unvalidated configuration: {error}"));
        let plan = Stft::new(config.n_fft, config.hop_length).expect("validated with the same rules");
        let (dims, coarsest) = (&config.dims, config.dims.len() - 1);
        let plain = uniform(1.0);
        let patch = 3 * feature_channels(config);
        let stages = || (0..coarsest).map(|resolution| Stage::new(config, resolution, device)).collect();
        let maps = |shape: &dyn Fn(usize) -> [usize; 2]| {
            let shapes = (0..coarsest).map(shape);
            shapes.map(|[inputs, outputs]| linear(inputs, outputs, &plain, device)).collect()
        };
        Self {
            stem: (0..3).map(|_| linear(patch, dims[0], &plain, device)).collect(),
            frequency: starting_at(
                cosines(config.padded_bins(), dims[0]),
                [config.padded_bins(), dims[0]],
                device,
            ),
            encoder: stages(),
            down: maps(&|i| [4 * dims[i], dims[i + 1]]),
            bottleneck: Stage::new(config, coarsest, device),
            up: maps(&|i| [dims[i + 1], 4 * dims[i]]),
            merge: maps(&|i| [dims[i], dims[i]]),
            decoder: stages(),
            norm: LayerNormConfig::new(dims[0]).init(device),
            head: head(config, device),
            config: config.clone(),
            plan,
            recompute: Recompute::None,
            precision: Precision::F32,
        }
    }

    /// The same network, with this kept in training. Without autodiff it makes no difference.
    pub fn with_recompute(self, recompute: Recompute) -> Self {
        Self { recompute, ..self }
    }

    /// The same network, with its tokens stored so.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// What this network is.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The device of its weights.
    pub fn device(&self) -> Device {
        self.devices().swap_remove(0)
    }

    /// Fewest samples [`Tfswa::forward`] takes: the STFT reflects n_fft / 2 of them at the ends.
    pub fn least_samples(&self) -> usize {
        self.config.n_fft / 2 + 1
    }

    /// `mixture [b, 2, n]` → stems `[b, s, 2, n]`, n at least [`Tfswa::least_samples`].
    ///
    /// # Panics
    /// If the mixture is not stereo or too short.
    pub fn forward(&self, mixture: Tensor<3>) -> Tensor<4> {
        let [batch, channels, samples] = mixture.dims();
        assert_eq!(channels, STEREO, "the mixture must be stereo");
        let spectrum = stft(mid_side(mixture).reshape([batch * STEREO, samples]), &self.plan);
        let [_, frames, bins, _] = spectrum.dims();
        let part = |index| spectrum.clone().narrow(3, index, 1).reshape([batch, 1, STEREO, frames, bins]);
        let (real, imaginary) = (part(0), part(1));

        let mask = self.masks(self.features(real.clone(), imaginary.clone()));
        let stems = self.config.stems.len();
        let part = |index| mask.clone().narrow(1, index, 1).reshape([batch, stems, STEREO, frames, bins]);
        let (mask_real, mask_imaginary) = (part(0), part(1));
        let stem_real = mask_real.clone() * real.clone() - mask_imaginary.clone() * imaginary.clone();
        let stem_imaginary = mask_real * imaginary + mask_imaginary * real;

        let rows = batch * stems * STEREO;
        let spectra = [stem_real, stem_imaginary].map(|part| part.reshape([rows, frames, bins, 1]));
        let stems_of_all = istft(Tensor::cat(spectra.into(), 3), &self.plan, samples);
        mid_side(stems_of_all.reshape([batch * stems, STEREO, samples]))
            .reshape([batch, stems, STEREO, samples])
    }

    /// Real and imaginary part `[b, 1, 2, t, n_fft/2 + 1]` → features `[b, t, f, 3 · 2 · sub-bands]`, channels
    /// ordered (feature, waveform channel, sub-band).
    fn features(&self, real: Tensor<5>, imaginary: Tensor<5>) -> Tensor<4> {
        let [batch, _, _, frames, bins] = real.dims();
        let (bins, subbands) = (bins - 1, self.config.subbands);
        let [real, imaginary] = [real, imaginary].map(|part| part.narrow(4, 0, bins));
        let power = real.clone().square() + imaginary.clone().square();
        let mean = power.clone().reshape([batch, STEREO * frames * bins]).mean_dim(1) + SILENCE;
        let mean = mean.reshape([batch, 1, 1, 1, 1]);
        let power = power / mean.clone() + QUIETEST;
        let magnitude = power.clone().sqrt().sqrt().sqrt();
        let gain = magnitude.clone() / (power * mean).sqrt();
        let features = Tensor::cat(vec![real * gain.clone(), imaginary * gain, magnitude], 1);
        features
            .reshape([batch, FEATURES * STEREO, frames, subbands, bins / subbands])
            .permute([0, 2, 4, 1, 3])
            .reshape([batch, frames, bins / subbands, feature_channels(&self.config)])
    }

    /// Features `[b, t, f, 3 · 2 · sub-bands]` → masks `[b, 2, 2s, t, n_fft/2 + 1]`, real part first, then
    /// imaginary.
    fn masks(&self, features: Tensor<4>) -> Tensor<5> {
        let [batch, frames, bins, _] = features.dims();
        let mut x = self.embed(features);
        let mut skips = Vec::with_capacity(self.encoder.len());
        for (stage, down) in self.encoder.iter().zip(&self.down) {
            x = stage.forward(x, self.recompute);
            skips.push(x.clone());
            x = self.apply(
                down,
                x,
                CheckpointedOp::whole(|down: &Linear, x| mapped(down, space_to_channels(x))),
            );
        }
        x = self.bottleneck.forward(x, self.recompute);
        for (resolution, skip) in skips.into_iter().enumerate().rev() {
            x = channels_to_space(mapped(&self.up[resolution], x)) + mapped(&self.merge[resolution], skip);
            x = self.decoder[resolution].forward(x, self.recompute);
        }
        let pieces = pieces(0, self.config.fsa_chunk_size, x.dims()[1]);
        let head = (self.norm.clone(), self.head.clone());
        let link = CheckpointedOp::chunked(1, pieces, |(norm, head): &(LayerNorm, Linear), x| {
            mapped(head, normalised(norm, x.cast(DType::F32)))
        });
        let masks = self.apply(&head, x, link).narrow(1, 0, frames).narrow(2, 0, bins);
        let subbands = self.config.subbands;
        let rows = self.config.stems.len() * STEREO;
        let masks = masks.reshape([batch, frames, bins, 2, rows, subbands]).permute([0, 3, 4, 1, 5, 2]);
        let masks: Tensor<5> = masks.reshape([batch, 2, rows, frames, subbands * bins]);
        let topmost = masks.clone().narrow(4, subbands * bins - 1, 1);
        Tensor::cat(vec![masks, topmost], 4)
    }

    /// `link` on a part of the network; in training, all that is kept of it is `x` where anything is recomputed.
    fn apply<M: Module + 'static>(&self, part: &M, x: Tensor<4>, link: CheckpointedOp<M>) -> Tensor<4> {
        if self.recompute == Recompute::None {
            link.apply(part, x)
        } else {
            ops::checkpointed(part, x, &[link])
        }
    }

    /// Features `[b, t, f, ·]` → tokens `[b, t', f', c]`, both axes padded to halve evenly at every resolution.
    fn embed(&self, features: Tensor<4>) -> Tensor<4> {
        type Embedding = (Vec<Linear>, Param<Tensor<2>>);
        let [batch, frames, bins, channels] = features.dims();
        let (padded_frames, padded_bins) =
            (frames.next_multiple_of(self.config.unit()), self.config.padded_bins());
        let precision = self.precision.dtype();
        let map = move |(stem, frequency): &Embedding, features: Tensor<4>| {
            let edge = [batch, padded_frames + 2, padded_bins + 2, channels];
            let edge = Tensor::zeros(edge, (&features.device(), features.dtype()));
            let features = edge.slice_assign(s![.., 1..=frames, 1..=bins, ..], features);
            let neighbours = (0..3).map(|offset| features.clone().narrow(2, offset, padded_bins)).collect();
            let patches = Tensor::cat(neighbours, 3);
            let tokens =
                stem.iter().enumerate().fold(frequency.val().unsqueeze::<4>(), |x, (offset, map)| {
                    x + mapped(map, patches.clone().narrow(1, offset, padded_frames))
                });
            tokens.cast(precision)
        };
        self.apply(&(self.stem.clone(), self.frequency.clone()), features, CheckpointedOp::whole(map))
    }
}

/// Left and right `[b, 2, n]` → mid and side, and back: `(l + r, l − r) / √2` is its own inverse.
fn mid_side(x: Tensor<3>) -> Tensor<3> {
    let (first, second) = (x.clone().narrow(1, 0, 1), x.narrow(1, 1, 1));
    Tensor::cat(vec![first.clone() + second.clone(), first - second], 1).mul_scalar(FRAC_1_SQRT_2)
}

/// The embedding of frequency, `[rows, channels]`, starts as cosines of rising order: any smooth function of
/// frequency is a linear map away.
fn cosines(rows: usize, channels: usize) -> Vec<f32> {
    let angle = |row: usize, channel: usize| PI * channel as f64 * (row as f64 + 0.5) / rows as f64;
    (0..rows * channels).map(|i| angle(i / channels, i % channels).cos() as f32).collect()
}

/// The last layer. It starts by giving every stem an equal part of the mixture.
fn head(config: &ModelConfig, device: &Device) -> Linear {
    let half = config.stems.len() * STEREO * config.subbands;
    let mut head = linear(config.dims[0], 2 * half, &Initializer::Normal { mean: 0.0, std: SMALL }, device);
    let share = 1.0 / config.stems.len() as f32;
    let shares = (0..2 * half).map(|i| if i < half { share } else { 0.0 }).collect();
    head.bias = Some(starting_at(shares, [2 * half], device));
    head
}

/// A parameter with these values to begin with.
fn starting_at<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    let start = move |device: &Device, require_grad: bool| {
        let tensor = Tensor::from_data(TensorData::new(values.clone(), shape), device);
        if require_grad { tensor.require_grad() } else { tensor }
    };
    Param::uninitialized(ParamId::new(), start, device.clone(), true, shape.into())
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

/// Channels of a token before the stem.
fn feature_channels(config: &ModelConfig) -> usize {
    FEATURES * STEREO * config.subbands
}

/// Learned values of the network of `config`, in the order of [`Tfswa`]'s fields. `config`'s single fields must
/// be within their bounds: then nothing here overflows.
pub(crate) fn parameters(config: &ModelConfig) -> usize {
    let map = |inputs: usize, outputs: usize| inputs * outputs + outputs;
    let dims = &config.dims;
    let mut count = 3 * map(3 * feature_channels(config), dims[0]) + config.padded_bins() * dims[0];
    for pair in dims.windows(2) {
        count += map(4 * pair[0], pair[1]) + map(pair[1], 4 * pair[0]) + map(pair[0], pair[0]);
    }
    for (resolution, (&channels, &depth)) in dims.iter().zip(&config.depths).enumerate() {
        let ways = if resolution + 1 == dims.len() { 1 } else { 2 };
        count += ways * depth * block_parameters(config, channels);
    }
    count + 2 * dims[0] + map(dims[0], 2 * STEREO * config.stems.len() * config.subbands)
}
