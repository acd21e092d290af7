//! Effects of a mixing desk for one stem: equaliser, compressor, saturation, room and stereo width.
//!
//! [`Effects`] is a set of parameters. [`Effects::draw`] draws one from a random stream, and [`Effects::apply`] is a
//! pure function of the samples and the parameters.

use unbraid_base::Stereo;

use crate::filter::{Filter, one_pole};
use crate::math::{gain_from_db, soft_clip};
use crate::random::Random;
use crate::room::{Bus, Room};

/// Samples between two values of the compressor's gain. In between, the gain is interpolated.
const CONTROL: usize = 16;

/// The shape of an equaliser's band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Changes the frequencies below the corner.
    LowShelf,
    /// Changes the frequencies around the centre.
    Bell,
    /// Changes the frequencies above the corner.
    HighShelf,
}

/// A band of the equaliser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// The shape.
    pub shape: Shape,
    /// Corner or centre frequency in Hz.
    pub hertz: f64,
    /// Quality of a bell, above 0. Shelves have 0.707.
    pub quality: f64,
    /// Gain in dB. 0 leaves the samples unchanged.
    pub gain: f64,
}

/// A compressor whose two channels share one gain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compressor {
    /// Level in dB of full scale above which the gain falls.
    pub threshold: f64,
    /// Input level change per output level change above the threshold, at least 1. 1 leaves the samples unchanged.
    pub ratio: f64,
    /// Time constant in seconds of a falling gain.
    pub attack: f64,
    /// Time constant in seconds of a rising gain.
    pub release: f64,
}

/// A reverberation: the room that a seed draws, and how much of it is heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reverb {
    /// Selects the room.
    pub seed: u64,
    /// Gain of the signal that enters the room, from 0 (dry) to 1.
    pub send: f64,
}

/// The effects of one stem, in the order in which they are applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Effects {
    /// The equaliser. Its bands are in series.
    pub bands: Vec<Band>,
    /// The compressor, if there is one.
    pub compressor: Option<Compressor>,
    /// Gain ahead of a soft clipper, which follows it with the inverse gain. 0 is off. Otherwise samples are at most
    /// `1 / drive`.
    pub drive: f64,
    /// The reverberation, if there is one.
    pub reverb: Option<Reverb>,
    /// Gain of the difference of the channels. 0 is mono, 1 leaves the samples unchanged.
    pub width: f64,
}

impl Effects {
    /// Effects that leave the samples unchanged.
    pub fn neutral() -> Self {
        Self { bands: Vec::new(), compressor: None, drive: 0.0, reverb: None, width: 1.0 }
    }

    /// Draws effects for a stem with a level of about −20 dB of full scale. The three numbers select the random stream.
    ///
    /// `strength` from 0 (neutral) to 1 is the probability of each effect, and scales the gains of the equaliser.
    pub fn draw(strength: f64, seed: u64, index: u64, part: u64) -> Self {
        Self::from_random(strength.clamp(0.0, 1.0), &mut Random::new(seed, index, part))
    }

    fn from_random(strength: f64, random: &mut Random) -> Self {
        let mut bands = Vec::new();
        let ranges = [
            (Shape::LowShelf, 60.0, 250.0, 6.0),
            (Shape::Bell, 200.0, 1200.0, 7.0),
            (Shape::Bell, 1200.0, 6000.0, 6.0),
            (Shape::HighShelf, 3000.0, 10_000.0, 7.0),
        ];
        for (shape, low, high, most) in ranges {
            // Equally probable in each octave.
            let hertz = low * libm::exp2(random.uniform() * libm::log2(high / low));
            let quality = if shape == Shape::Bell { random.range(0.5, 2.0) } else { 0.707 };
            let gain = strength * random.range(-most, most);
            if random.chance(0.8) && gain != 0.0 {
                bands.push(Band { shape, hertz, quality, gain });
            }
        }
        let compressor = Compressor {
            threshold: random.range(-28.0, -12.0),
            ratio: random.range(1.5, 6.0),
            attack: random.range(0.001, 0.03),
            release: random.range(0.05, 0.3),
        };
        let compressor = random.chance(0.6 * strength).then_some(compressor);
        let drive = random.range(0.5, 4.0);
        let drive = if random.chance(0.4 * strength) { drive } else { 0.0 };
        let reverb = Reverb { seed: random.bits(), send: random.range(0.03, 0.3) };
        let reverb = random.chance(0.7 * strength).then_some(reverb);
        let width = random.range(0.3, 1.4);
        let width = if random.chance(0.5 * strength) { width } else { 1.0 };
        Self { bands, compressor, drive, reverb, width }
    }

    /// Applies the effects to samples `[c][n]` with a rate in Hz. The length stays the same.
    pub fn apply(&self, mut sound: Stereo, rate: f64) -> Stereo {
        for band in self.bands.iter().filter(|band| band.gain != 0.0) {
            sound.iter_mut().for_each(|side| band.apply(side, rate));
        }
        if let Some(compressor) = self.compressor.filter(|compressor| compressor.ratio > 1.0) {
            compressor.apply(&mut sound, rate);
        }
        if self.drive > 0.0 {
            let (before, after) = (self.drive as f32, (1.0 / self.drive) as f32);
            sound.iter_mut().flatten().for_each(|x| *x = after * soft_clip(before * *x));
        }
        if let Some(reverb) = self.reverb.filter(|reverb| reverb.send > 0.0) {
            sound = reverb.room(rate).render(Bus::of(sound, reverb.send));
        }
        if self.width != 1.0 {
            let width = self.width as f32;
            let [left, right] = &mut sound;
            for (l, r) in left.iter_mut().zip(right) {
                let (middle, side) = (0.5 * (*l + *r), 0.5 * width * (*l - *r));
                (*l, *r) = (middle + side, middle - side);
            }
        }
        sound
    }
}

impl Band {
    /// Filters one channel in place, at a rate in Hz.
    pub fn apply(&self, side: &mut [f32], rate: f64) {
        let mut filter = Filter::new(self.hertz, self.quality.max(0.1), rate);
        let more = (gain_from_db(self.gain) - 1.0) as f32;
        for x in side {
            *x += more
                * match self.shape {
                    Shape::LowShelf => filter.low(*x),
                    Shape::Bell => filter.band(*x),
                    Shape::HighShelf => filter.high(*x),
                };
        }
    }
}

impl Reverb {
    fn room(&self, rate: f64) -> Room {
        Room::draw(rate, &mut Random::new(self.seed, 0, 0))
    }

    /// The reverberation alone of samples `[c][n]`, without the samples themselves. The length stays the same.
    pub fn alone(&self, sound: &Stereo, rate: f64) -> Stereo {
        let mut bus = Bus::of(sound.clone(), self.send);
        bus.dry.iter_mut().for_each(|side| side.fill(0.0));
        self.room(rate).render(bus)
    }
}

impl Compressor {
    /// Compresses samples `[c][n]` in place, at a rate in Hz.
    pub fn apply(&self, sound: &mut Stereo, rate: f64) {
        let threshold = gain_from_db(self.threshold) as f32;
        let slope = 1.0 / self.ratio - 1.0;
        let step = rate / CONTROL as f64;
        let (attack, release) = (one_pole(self.attack, step), one_pole(self.release, step));
        let [left, right] = sound;
        let mut level = 0.0f32;
        let mut gain = 1.0f32;
        for (left, right) in left.chunks_mut(CONTROL).zip(right.chunks_mut(CONTROL)) {
            let peak = left.iter().chain(right.iter()).fold(0.0f32, |p, x| p.max(x.abs()));
            let pole = if peak > level { attack } else { release };
            level = peak + pole * (level - peak);
            let next = if level > threshold {
                libm::exp2(slope * libm::log2(f64::from(level / threshold))) as f32
            } else {
                1.0
            };
            let change = (next - gain) / CONTROL as f32;
            for (l, r) in left.iter_mut().zip(right) {
                gain += change;
                *l *= gain;
                *r *= gain;
            }
            gain = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::sin_turns;

    const RATE: f64 = 44_100.0;

    fn tone(hertz: f64, peak: f64, seconds: f64) -> Stereo {
        [0.0, 0.2].map(|phase| {
            (0..(seconds * RATE) as usize)
                .map(|n| (peak * sin_turns(hertz * n as f64 / RATE + phase)) as f32)
                .collect()
        })
    }

    fn peak(sound: &[f32]) -> f32 {
        sound[sound.len() / 2..].iter().fold(0.0, |p, x| p.max(x.abs()))
    }

    #[test]
    fn neutral_effects_change_no_bit() {
        let sound = tone(440.0, 0.9, 0.2);
        assert_eq!(Effects::neutral().apply(sound.clone(), RATE), sound);
        assert_eq!(Effects::draw(0.0, 1, 2, 3), Effects::neutral());
        let flat = Effects {
            bands: vec![Band { shape: Shape::Bell, hertz: 1000.0, quality: 1.0, gain: 0.0 }],
            compressor: Some(Compressor { threshold: -40.0, ratio: 1.0, attack: 0.01, release: 0.1 }),
            drive: 0.0,
            reverb: Some(Reverb { seed: 1, send: 0.0 }),
            width: 1.0,
        };
        assert_eq!(flat.apply(sound.clone(), RATE), sound);
    }

    #[test]
    fn drawn_effects_are_finite_bounded_and_reproducible() {
        let mut random = Random::new(9, 0, 0);
        let noise: Stereo = [(); 2].map(|()| (0..30_000).map(|_| random.noise()).collect());
        for index in 0..60 {
            let effects = Effects::draw(1.0, 4, index, 0);
            assert_eq!(effects, Effects::draw(1.0, 4, index, 0));
            assert_ne!(effects, Effects::draw(1.0, 4, index, 1));
            for sound in [noise.clone(), [vec![1.0; 30_000], vec![-1.0; 30_000]], tone(50.0, 1.0, 0.5)] {
                let out = effects.apply(sound.clone(), RATE);
                assert_eq!(out, effects.apply(sound.clone(), RATE));
                assert!(out.iter().all(|side| side.len() == sound[0].len()));
                let most = out.iter().flatten().fold(0.0f32, |p, x| p.max(x.abs()));
                assert!(out.iter().flatten().all(|x| x.is_finite()) && most < 40.0, "{effects:?}: {most}");
            }
            let silence = [vec![0.0; 1000], vec![0.0; 1000]];
            assert_eq!(effects.apply(silence.clone(), RATE), silence);
        }
    }

    #[test]
    fn every_effect_does_what_its_parameters_say() {
        let with = |change: &dyn Fn(&mut Effects)| {
            let mut effects = Effects::neutral();
            change(&mut effects);
            effects
        };
        let gains = |shape, hertz: f64| {
            let band = Band { shape, hertz: 1000.0, quality: 0.707, gain: 6.0 };
            let out = with(&|e| e.bands = vec![band]).apply(tone(hertz, 0.1, 1.0), RATE);
            20.0 * (peak(&out[0]) / 0.1).log10()
        };
        assert!((gains(Shape::Bell, 1000.0) - 6.0).abs() < 0.2 && gains(Shape::Bell, 50.0).abs() < 0.3);
        assert!((gains(Shape::LowShelf, 40.0) - 6.0).abs() < 0.3 && gains(Shape::LowShelf, 15e3).abs() < 0.3);
        assert!(
            (gains(Shape::HighShelf, 15e3) - 6.0).abs() < 0.3 && gains(Shape::HighShelf, 40.0).abs() < 0.3
        );

        // 20 dB above the threshold at 4 : 1 become 5 dB.
        let compressor = Compressor { threshold: -26.0, ratio: 4.0, attack: 0.002, release: 0.2 };
        let loud = with(&|e| e.compressor = Some(compressor)).apply(tone(1000.0, 0.5, 1.0), RATE);
        let change = 20.0 * (peak(&loud[0]) / 0.5).log10();
        assert!((change + 15.0).abs() < 0.6, "{change} dB");
        let quiet = tone(1000.0, 0.04, 1.0);
        assert_eq!(with(&|e| e.compressor = Some(compressor)).apply(quiet.clone(), RATE), quiet);

        let driven = with(&|e| e.drive = 4.0).apply(tone(1000.0, 1.0, 0.2), RATE);
        assert!(peak(&driven[0]) <= 0.25 + 1e-6 && peak(&driven[0]) > 0.24);

        let mono = with(&|e| e.width = 0.0).apply(tone(440.0, 0.5, 0.2), RATE);
        assert_eq!(mono[0], mono[1]);

        let mut click = [vec![0.0; 44_100], vec![0.0; 44_100]];
        click[0][0] = 1.0;
        let reverb = Reverb { seed: 3, send: 0.3 };
        let alone = reverb.alone(&click, RATE);
        let room = with(&|e| e.reverb = Some(reverb)).apply(click.clone(), RATE);
        assert!(room[1][2000..10_000].iter().any(|x| x.abs() > 1e-4), "the room is silent");
        for (side, (alone, click)) in room.iter().zip(alone.iter().zip(&click)) {
            assert!(side.iter().zip(alone.iter().zip(click)).all(|(x, (a, c))| (x - a - c).abs() < 1e-6));
        }
    }
}
