//! Composes and renders one song.

use std::f64::consts::TAU;
use std::ops::RangeInclusive;

use unbraid_base::Stereo;
use unbraid_effects::filter::one_pole;
use unbraid_effects::math::{cos_turns, gain_from_db, soft_clip};
use unbraid_effects::random::Random;
use unbraid_effects::room::Room;

use crate::composition::Score;
use crate::{bass, beats, chords, voice};

/// The stems' names, in the order of [`Song::stems`].
pub const STEMS: [&str; 4] = ["drums", "bass", "other", "vocals"];

/// The sample rates at which songs can be rendered, in Hz.
pub const RATES: RangeInclusive<u32> = 8_000..=192_000;

/// One step of a 16-bit sample. Every sample of a song is an integer multiple of it, so the sum of the stems in 16-bit
/// files equals the mixture exactly.
pub(crate) const STEP: f64 = 1.0 / 32_768.0;

/// A synthetic song.
pub struct Song {
    /// Beats per minute.
    pub tempo: f64,
    /// For example "F# minor".
    pub key: String,
    /// Drums, bass, other and vocals ([`STEMS`]), each `[c][n]`, all of equal length, in steps of 2⁻¹⁵.
    pub stems: [Stereo; 4],
}

impl Song {
    /// The exact sum of the stems `[c][n]`, within ±1.
    pub fn mixture(&self) -> Stereo {
        sum(&self.stems)
    }
}

/// The sum of the stems.
pub(crate) fn sum(stems: &[Stereo; 4]) -> Stereo {
    [0, 1].map(|c| {
        let mut sum = stems[0][c].clone();
        for stem in &stems[1..] {
            sum.iter_mut().zip(&stem[c]).for_each(|(s, x)| *s += x);
        }
        sum
    })
}

/// Generates song number `index` of the series that `seed` selects, `seconds` long, at a sample rate of `rate` Hz.
///
/// # Panics
/// If `rate` is outside [`RATES`], or if `seconds` is not a positive number.
/// [`write_dataset`](crate::write_dataset) checks both.
pub fn song(seed: u64, index: u64, seconds: f64, rate: u32) -> Song {
    assert!(RATES.contains(&rate) && seconds > 0.0 && seconds.is_finite(), "{seconds} s at {rate} Hz");
    let frames = (seconds * f64::from(rate)).round() as usize;
    let random = |part: u64| Random::new(seed, index, part);
    let score = Score::write(seconds, &mut random(0));
    let rate = f64::from(rate);
    let room = Room::draw(rate, &mut random(1));
    let mut stems = [
        beats::render(&score, rate, frames, &mut random(2)),
        bass::render(&score, rate, frames, &mut random(3)),
        chords::render(&score, rate, frames, &mut random(4)),
        voice::render(&score, rate, frames, &mut random(5)),
    ]
    .map(|bus| room.render(bus));
    balance(&mut stems, rate, &mut random(6));
    Song { tempo: score.tempo, key: score.key.name(), stems }
}

/// Sets the stems' levels, and finishes the song.
fn balance(stems: &mut [Stereo; 4], rate: f64, random: &mut Random) {
    for (stem, ceiling) in stems.iter_mut().zip([4.0, 5.0, 5.0, 5.0]) {
        for side in stem.iter_mut() {
            remove_offset(side, rate);
        }
        // Soft clipping at 12 dB (drums) or 14 dB (the others) above the stem's level.
        scale_to(stem, 1.0);
        stem.iter_mut().flatten().for_each(|x| *x = ceiling * soft_clip(*x / ceiling));
        // Levels within 5 dB of each other, so that every stem is worth separating.
        scale_to(stem, gain_from_db(random.range(-2.5, 2.5)));
    }
    finish(stems, rate, random);
}

/// Sets the song's peak level, fades out its end, and rounds each sample to a multiple of [`STEP`].
pub(crate) fn finish(stems: &mut [Stereo; 4], rate: f64, random: &mut Random) {
    let frames = stems[0][0].len();
    let fade = ((0.25 * rate) as usize).min(frames / 4);
    let mut peak = 0.0f32;
    for c in 0..2 {
        for n in 0..frames {
            let left = frames - n;
            let shape = if left <= fade {
                (0.5 - 0.5 * cos_turns(0.5 * left as f64 / (fade + 1) as f64)) as f32
            } else {
                1.0
            };
            let mut sum = 0.0;
            for stem in stems.iter_mut() {
                let x = &mut stem[c][n];
                *x *= shape;
                sum += *x;
                peak = peak.max(x.abs());
            }
            peak = peak.max(sum.abs());
        }
    }
    // The highest peak of the mixture and of all stems is 6 to 0.5 dB below full scale.
    let gain = gain_from_db(random.range(-6.0, -0.5)) / f64::from(peak).max(1e-9);
    for x in stems.iter_mut().flatten().flatten() {
        *x = ((f64::from(*x) * gain / STEP).round() * STEP) as f32;
    }
}

/// Scales a stem to an RMS of `level`. A nearly silent stem (of a song cut after its first moment) is not amplified.
fn scale_to(stem: &mut Stereo, level: f64) {
    let rms = rms(stem);
    let gain = if rms > 1e-4 { (level / rms) as f32 } else { 1.0 };
    stem.iter_mut().flatten().for_each(|x| *x *= gain);
}

/// Removes inaudibly low frequencies with a one-pole high-pass filter at 12 Hz.
pub(crate) fn remove_offset(side: &mut [f32], rate: f64) {
    let pole = one_pole(1.0 / (TAU * 12.0), rate);
    let (mut before, mut out) = (0.0, 0.0);
    for x in side {
        out = pole * (out + *x - before);
        before = *x;
        *x = out;
    }
}

/// Root mean square over both channels.
pub(crate) fn rms(stem: &Stereo) -> f64 {
    let total: f64 = stem.iter().flatten().map(|x| f64::from(x * x)).sum();
    (total / (2 * stem[0].len()).max(1) as f64).sqrt()
}
