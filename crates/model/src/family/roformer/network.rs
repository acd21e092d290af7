//! The RoFormer: waveform in, one waveform per stem out.
//!
//! ```text
//! mixture [b, 2, n] ─ STFT ─┬─ bands ─ tokens [b, t, bands, c] ─ layers ─ masks
//!                           └───────────────── complex product ────────────┘
//!                                                    └── inverse STFT ── stems [b, s, 2, n]
//! ```

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use unbraid_ops::{Stft, istft, stft};

use crate::config::{Config, ModelConfigError, STEREO};
use crate::execution::Execution;
use crate::family::roformer::bands::Bands;
use crate::family::roformer::block::Layer;
use crate::family::roformer::config::RoformerConfig;
use crate::family::roformer::count;
use crate::family::roformer::ends::{BandEmbedding, BandLayout, MaskEstimator, MaskHead, masks, split};
use crate::family::roformer::layers::RmsNorm;
use crate::network::{Family, complex_product};

/// A RoFormer with its weights.
///
/// Each band of a frame is a token. A layer attends along the frames of a band, then along the bands of a frame. An MLP
/// per band and stem estimates an unbounded complex mask from the token. Where bands overlap, masks are averaged.
///
/// The normalisation of the bands removes the scale of the mixture, so the stems scale with the mixture.
#[derive(Module, Debug)]
pub struct Roformer {
    band_split: Vec<BandEmbedding>,
    layers: Vec<Layer>,
    /// Only in a BS-RoFormer.
    norm: Option<RmsNorm>,
    mask_estimators: Vec<MaskEstimator>,
    #[module(skip)]
    config: Config<RoformerConfig>,
    #[module(skip)]
    bands: BandLayout,
    #[module(skip)]
    plan: Stft,
    #[module(skip)]
    execution: Execution,
}

impl Family for Roformer {
    type Config = RoformerConfig;

    fn validate(config: &Config<RoformerConfig>) -> Result<(), ModelConfigError> {
        config.validate_family()
    }

    fn parameters(config: &Config<RoformerConfig>) -> usize {
        count::parameters(config)
    }

    fn planes(config: &Config<RoformerConfig>, samples: usize) -> Vec<[usize; 3]> {
        vec![[samples / config.hop_length + 1, config.band_values().len(), config.family.dim]]
    }

    fn new(config: Config<RoformerConfig>, device: &Device) -> Self {
        let own = &config.family;
        let embedding = |&values: &usize| BandEmbedding::new(values, own.dim, device);
        Self {
            band_split: config.band_values().iter().map(embedding).collect(),
            layers: (0..own.depth).map(|_| Layer::new(own, device)).collect(),
            norm: matches!(own.bands, Bands::Bins(_)).then(|| RmsNorm::new(own.dim, device)),
            mask_estimators: config.stems.iter().map(|_| MaskEstimator::new(&config, device)).collect(),
            bands: BandLayout::new(&config),
            plan: Stft::new(config.n_fft, config.hop_length).expect("valid by the same rules"),
            execution: Execution::default(),
            config,
        }
    }

    fn config(&self) -> &Config<RoformerConfig> {
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
        let (width, stems) = (self.config.family.channels(), self.config.stems.len());
        // A mono network separates the two channels as two items.
        let items = batch * STEREO / width;
        let spectrum = stft(mixture.reshape([batch * STEREO, samples]), &self.plan);
        let [_, frames, bins, _] = spectrum.dims();
        let spectrum: Tensor<5> = spectrum.reshape([items, width, frames, bins, 2]).permute([0, 2, 3, 1, 4]);
        let spectrum: Tensor<4> = spectrum.reshape([items, frames, 1, bins * width * 2]);
        let masks = self.masks(spectrum.clone());

        let parts = |x: Tensor<4>, stems| {
            let x: Tensor<5> = x.reshape([items, frames, stems, bins * width, 2]);
            [0, 1].map(|part| x.clone().narrow(4, part, 1))
        };
        let stem_parts = complex_product(parts(masks, stems), parts(spectrum, 1));
        let spectra: Tensor<6> = Tensor::cat(stem_parts.into(), 4)
            .reshape([items, frames, stems, bins, width, 2])
            .permute([0, 2, 4, 1, 3, 5]);
        let waveforms = istft(spectra.reshape([items * stems * width, frames, bins, 2]), &self.plan, samples);
        if width == STEREO {
            waveforms.reshape([batch, stems, STEREO, samples])
        } else {
            waveforms.reshape([batch, STEREO, stems, samples]).swap_dims(1, 2)
        }
    }
}

impl Roformer {
    /// The spectrum `[b, t, 1, values]` → masks `[b, t, stems, values]`.
    fn masks(&self, spectrum: Tensor<4>) -> Tensor<4> {
        let dtype = self.execution.precision.dtype();
        let mut x = split(&self.band_split, &self.bands, spectrum, dtype);
        let mut outputs: Vec<Tensor<4>> = Vec::new();
        for layer in &self.layers {
            x = outputs.iter().fold(x, |x, output| x + output.clone());
            x = layer.forward(x, &self.execution);
            if self.config.family.skip_connection {
                outputs.push(x.clone());
            }
        }
        let head: MaskHead = (self.norm.clone(), self.mask_estimators.clone());
        masks(&head, &self.bands, x)
    }
}
