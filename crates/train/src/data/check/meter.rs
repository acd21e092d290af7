//! Measurements of one signal, block by block.

use unbraid_base::Stereo;

/// Equal loudest samples in a row that form a flat top.
const FLAT: u32 = 4;

/// Levels below this are taken for silence, dB of full scale.
pub(super) const FLOOR: f32 = -100.0;

/// Measures a signal.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter {
    /// The largest absolute sample.
    pub(super) peak: f32,
    /// Sum of the squares of both channels.
    pub(super) energy: f64,
    pub(super) frames: u64,
    /// Samples in flat tops at `peak`.
    flat: u64,
    /// Length of the run at `peak` that each channel is in.
    run: [u32; 2],
    /// Level of each block, dB.
    pub(super) levels: Vec<f32>,
}

impl Meter {
    /// Adds a block.
    pub(super) fn push(&mut self, block: &Stereo) {
        let mut energy = 0.0;
        for (channel, samples) in block.iter().enumerate() {
            // A multiple of f64 sums that the compiler can vectorise.
            energy += samples.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>();
            let top = samples.iter().fold(0.0_f32, |top, x| top.max(x.abs()));
            if top < self.peak {
                self.run[channel] = 0;
                continue;
            }
            for x in samples {
                let x = x.abs();
                if x > self.peak {
                    (self.peak, self.flat, self.run) = (x, 0, [0; 2]);
                }
                if x < self.peak || x == 0.0 {
                    self.run[channel] = 0;
                    continue;
                }
                self.run[channel] += 1;
                match self.run[channel] {
                    FLAT => self.flat += u64::from(FLAT),
                    run if run > FLAT => self.flat += 1,
                    _ => {}
                }
            }
        }
        let samples = 2 * block[0].len().max(1);
        self.energy += energy;
        self.frames += block[0].len() as u64;
        self.levels.push((10.0 * (energy / samples as f64).log10()).max(f64::from(FLOOR)) as f32);
    }

    /// Root mean square, dB of full scale. `None` for digital silence.
    pub(super) fn level(&self) -> Option<f64> {
        let mean = self.energy / (2 * self.frames.max(1)) as f64;
        (mean > 0.0).then(|| 10.0 * mean.log10())
    }

    /// The samples in flat tops, if they are more than one in 100 000 and more than 20.
    pub(super) fn clipped(&self) -> Option<u64> {
        (self.flat > 20 && self.flat * 50_000 > self.frames).then_some(self.flat)
    }
}

#[cfg(test)]
mod tests {
    use super::Meter;

    fn metered(samples: &[f32]) -> Meter {
        let mut meter = Meter::default();
        for block in samples.chunks(100) {
            meter.push(&[block.to_vec(), block.to_vec()]);
        }
        meter
    }

    #[test]
    fn flat_tops_are_counted_across_blocks_and_forgotten_below_a_new_peak() {
        let sine = |gain: f32, most: f32| -> Vec<f32> {
            (0..4000).map(|n| (gain * (n as f32 * 0.0731).sin()).clamp(-most, most)).collect()
        };
        assert_eq!(metered(&sine(0.5, 1.0)).clipped(), None);
        let meter = metered(&sine(2.0, 0.8));
        assert!(meter.clipped().unwrap() > 3000 && meter.peak == 0.8);
        assert_eq!(metered(&[sine(2.0, 0.8), vec![0.9]].concat()).clipped(), None);
        assert_eq!(metered(&vec![0.0; 4000]).clipped(), None);
        assert!((metered(&vec![0.1; 400]).level().unwrap() + 20.0).abs() < 1e-4);
    }
}
