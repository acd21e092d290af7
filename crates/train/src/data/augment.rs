//! Augmentation of training segments.
//!
//! The order: the excerpts of a song are read and resampled with one speed, each stem is shifted in time, other excerpts
//! of the same stem are added (mix-up), then each stem gets an equaliser, a compressor, a reverberation, a gain, a sign
//! and perhaps swapped channels, then some stems become silent, and last all stems go through one lossy codec. The mixture
//! is the sum of the result. Stems of which only the sum is known are one stem here.
//!
//! A probability of 0 draws no random number. The segments of a run therefore do not depend on augmentations that it does
//! not use.

use crate::settings::config::TrainConfig;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use unbraid_audio::Resampler;
use unbraid_base::Stereo;
use unbraid_effects::{Band, Coding, Compressor, Reverb, Shape};

/// Speeds are multiples of 1 / GRID, so that the resampler's block stays short.
const GRID: u32 = 100;

/// Additional samples at each end of an excerpt that is resampled: more than half the resampler's filter, which would
/// otherwise see the edge of the excerpt.
const MARGIN: usize = 2048;

/// Bands of the equaliser, and the lowest and the highest centre frequency in Hz.
const BANDS: usize = 3;
const CENTRES: [f64; 2] = [60.0, 10_000.0];

/// Attack and release of the compressor in seconds.
const ATTACK: f64 = 0.005;
const RELEASE: f64 = 0.1;

/// The augmentation of segments of one length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Augment<'a> {
    config: &'a TrainConfig,
    /// Samples of a segment.
    samples: usize,
    /// Sample rate in Hz.
    rate: f64,
}

/// How the stems of one excerpt are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Excerpt {
    /// The speed in parts of [`GRID`].
    speed: u32,
    /// Samples of a segment, and the largest shift of a stem.
    samples: usize,
    shift: usize,
}

impl<'a> Augment<'a> {
    /// For segments of `samples` samples, which last `segment_seconds`.
    pub(crate) fn new(config: &'a TrainConfig, samples: usize) -> Self {
        Self { config, samples, rate: samples as f64 / config.segment_seconds }
    }

    /// Draws how the stems of an excerpt are read. They share the speed.
    pub(crate) fn excerpt(&self, rng: &mut ChaCha8Rng) -> Excerpt {
        let config = self.config;
        let speed = if chance(rng, config.speed_probability) {
            (f64::from(between(rng, config.speed_range)) * f64::from(GRID)).round() as u32
        } else {
            GRID
        };
        let shifts = chance(rng, config.shift_probability);
        let shift = if shifts { (config.shift_seconds * self.rate).round() as usize } else { 0 };
        Excerpt { speed, samples: self.samples, shift }
    }

    /// Whether a `place`-th further excerpt (0 or 1) of a stem is added, and its factor.
    pub(crate) fn mixup(&self, rng: &mut ChaCha8Rng, place: usize) -> Option<f32> {
        let mixed = chance(rng, self.config.mixup_probability[place]);
        mixed.then(|| between(rng, self.config.mixup_gain_range))
    }

    /// Augments one stem.
    pub(crate) fn stem(&self, rng: &mut ChaCha8Rng, stem: &mut Stereo) {
        let config = self.config;
        if chance(rng, config.eq_probability) {
            self.equalise(rng, stem);
        }
        if chance(rng, config.compression_probability) {
            let ratio = between(rng, config.compression_ratio_range).into();
            let threshold = 10.0 * power(stem).log10();
            Compressor { threshold, ratio, attack: ATTACK, release: RELEASE }.apply(stem, self.rate);
        }
        if chance(rng, config.reverb_probability) {
            self.reverberate(rng, stem);
        }
        let [low, high] = config.gain_range;
        let gain = rng.random_range(low..=high);
        let sign = if rng.random_bool(config.sign_flip_probability) { -1.0 } else { 1.0 };
        if rng.random_bool(config.channel_swap_probability) {
            stem.swap(0, 1);
        }
        for sample in stem.iter_mut().flatten() {
            *sample *= gain * sign;
        }
    }

    /// Bells at random frequencies, uniform in octaves. Both channels get the same.
    fn equalise(&self, rng: &mut ChaCha8Rng, stem: &mut Stereo) {
        let [low, high] = [CENTRES[0], CENTRES[1].min(0.45 * self.rate)];
        let most = self.config.eq_gain_db;
        for _ in 0..BANDS {
            let hertz = low * (high / low).max(1.0).powf(rng.random_range(0.0..=1.0));
            let gain = rng.random_range(-most..=most);
            let band = Band { shape: Shape::Bell, hertz, quality: rng.random_range(0.5..=2.0), gain };
            stem.iter_mut().for_each(|channel| band.apply(channel, self.rate));
        }
    }

    /// The reverberation of a random room. The segment begins without the reverberation of what was before it.
    fn reverberate(&self, rng: &mut ChaCha8Rng, stem: &mut Stereo) {
        let below = between(rng, self.config.reverb_db_range);
        let reverb = Reverb { seed: rng.random(), send: 1.0 };
        let reverberation = reverb.alone(stem, self.rate);
        let (dry, wet) = (power(stem), power(&reverberation));
        if wet > 0.0 {
            let gain = ((dry / wet).sqrt() * 10f64.powf(f64::from(-below) / 20.0)) as f32;
            let samples = stem.iter_mut().flatten().zip(reverberation.iter().flatten());
            samples.for_each(|(sample, wet)| *sample += gain * wet);
        }
    }

    /// Sends all stems of a segment through the same lossy codec.
    pub(crate) fn code(&self, rng: &mut ChaCha8Rng, stems: &mut [Stereo]) {
        let config = self.config;
        if chance(rng, config.codec_probability) {
            let snr = between(rng, config.codec_snr_range).into();
            let cutoff = between(rng, config.codec_cutoff_range).into();
            stems.iter_mut().for_each(|stem| Coding { cutoff, snr }.apply(stem, self.rate));
        }
    }

    /// Silences some of the stems, but never the last one that is left.
    pub(crate) fn drop_stems(&self, rng: &mut ChaCha8Rng, stems: &mut [Stereo]) {
        let mut left = stems.len();
        for stem in stems {
            if chance(rng, self.config.drop_probability) && left > 1 {
                stem.iter_mut().for_each(|channel| channel.fill(0.0));
                left -= 1;
            }
        }
    }
}

impl Excerpt {
    /// Samples to read of each stem.
    pub(crate) fn read(&self) -> usize {
        let samples = self.samples + 2 * self.shift;
        if self.speed == GRID {
            return samples;
        }
        (samples * self.speed as usize).div_ceil(GRID as usize) + 2 * MARGIN
    }

    /// The stems at the excerpt's speed, each shifted by a different time and cut to a segment.
    pub(crate) fn cut(&self, rng: &mut ChaCha8Rng, mut stems: Vec<Stereo>) -> Vec<Stereo> {
        for stem in &mut stems {
            let margin = if self.speed == GRID {
                0
            } else {
                let mut resampled = Stereo::default();
                let mut resampler = Resampler::new(self.speed, GRID);
                let total = (stem[0].len() as u64 * u64::from(GRID)).div_ceil(self.speed.into());
                resampler.push(stem, &mut resampled);
                resampler.finish_at(total, &mut resampled);
                *stem = resampled;
                (MARGIN as u64 * u64::from(GRID) / u64::from(self.speed)) as usize
            };
            let start = margin + if self.shift > 0 { rng.random_range(0..=2 * self.shift) } else { 0 };
            for channel in stem.iter_mut() {
                channel.drain(..start);
                channel.truncate(self.samples);
            }
        }
        stems
    }
}

/// The mean square over both channels.
fn power(sound: &Stereo) -> f64 {
    let squares = sound.iter().flatten().map(|x| f64::from(*x).powi(2));
    squares.sum::<f64>() / (2 * sound[0].len()).max(1) as f64
}

/// Whether an event of this probability happens. Draws nothing if it cannot.
fn chance(rng: &mut ChaCha8Rng, probability: f64) -> bool {
    probability > 0.0 && rng.random_bool(probability)
}

fn between(rng: &mut ChaCha8Rng, [low, high]: [f32; 2]) -> f32 {
    rng.random_range(low..=high)
}

#[cfg(test)]
mod tests;
