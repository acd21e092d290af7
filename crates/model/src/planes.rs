//! The planes of tokens that a network makes of a segment.

use crate::config::ModelConfig;

impl ModelConfig {
    /// Frames, bins and channels of the tokens at every resolution, finest first, for `samples` of a waveform.
    pub fn planes(&self, samples: usize) -> Vec<[usize; 3]> {
        let frames = (samples / self.hop_length + 1).next_multiple_of(self.unit());
        let plane = |(resolution, &channels): (usize, &usize)| {
            [frames >> resolution, self.padded_bins() >> resolution, channels]
        };
        self.dims.iter().enumerate().map(plane).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_of_the_original_setting() {
        let config = ModelConfig::preset("tfswa_unet").expect("a preset");
        let planes = config.planes(6 * 44_100);
        assert_eq!(planes, [[520, 1024, 32], [260, 512, 64], [130, 256, 128], [65, 128, 256]]);
    }
}
