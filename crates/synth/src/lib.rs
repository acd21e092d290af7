//! Invented songs, so that nobody needs a data set to begin.
//!
//! [`song`] writes a piece (tempo, key, chords, form) and plays it on four stems: a drum kit, a bass,
//! chords and melodies on other instruments, and a sung-like voice, all in one room. [`write_dataset`]
//! puts many of them into folders laid out like MUSDB18-HQ. A seed and an index give the same bits on
//! every machine: the songs use no elementary function of the platform (see `math`), and no result
//! depends on threads.

mod bass;
mod beats;
mod chords;
mod composition;
mod dataset;
mod drums;
mod dsp;
mod harmony;
mod instruments;
mod math;
mod melody;
mod phonemes;
mod room;
mod tract;
mod voice;

#[cfg(test)]
mod tests;

use unbraid_audio::Stereo;

pub use dataset::{Options, SynthError, write_dataset};

use composition::Score;
use math::{Dice, cos_turns, decibels, soft_clip};
use room::Room;

/// The stems' names, in the order of [`Song::stems`].
pub const STEMS: [&str; 4] = ["drums", "bass", "other", "vocals"];

/// The sample rates songs can be played at, in Hz.
pub const RATES: std::ops::RangeInclusive<u32> = 8_000..=192_000;

/// One step of a 16-bit sample. Every sample of a song is a whole multiple of it, so that the stems in
/// 16-bit files add up to the mixture exactly.
const STEP: f64 = 1.0 / 32_768.0;

/// An invented song.
pub struct Song {
    /// Beats a minute.
    pub tempo: f64,
    /// Such as "F# minor".
    pub key: String,
    /// Drums, bass, other and vocals ([`STEMS`]), each `[c][n]`, of one length, in steps of 2^−15.
    pub stems: [Stereo; 4],
}

impl Song {
    /// The sum of the stems `[c][n]`: exact, and within ±1.
    pub fn mixture(&self) -> Stereo {
        [0, 1].map(|c| {
            let mut sum = self.stems[0][c].clone();
            for stem in &self.stems[1..] {
                sum.iter_mut().zip(&stem[c]).for_each(|(s, x)| *s += x);
            }
            sum
        })
    }
}

/// Invents song number `index` of the endless series of `seed`, `seconds` long, sampled at `rate` Hz.
///
/// # Panics
/// If `rate` is outside [`RATES`], or `seconds` is not a positive number; [`write_dataset`] checks both.
pub fn song(seed: u64, index: u64, seconds: f64, rate: u32) -> Song {
    assert!(RATES.contains(&rate) && seconds > 0.0 && seconds.is_finite(), "{seconds} s at {rate} Hz");
    let frames = (seconds * f64::from(rate)).round() as usize;
    let dice = |part: u64| Dice::new(seed, index, part);
    let score = Score::write(seconds, &mut dice(0));
    let rate = f64::from(rate);
    let room = Room::draw(rate, &mut dice(1));
    let mut stems = [
        beats::render(&score, rate, frames, &mut dice(2)),
        bass::render(&score, rate, frames, &mut dice(3)),
        chords::render(&score, rate, frames, &mut dice(4)),
        voice::render(&score, rate, frames, &mut dice(5)),
    ]
    .map(|bus| room.render(bus));
    balance(&mut stems, rate, &mut dice(6));
    Song { tempo: score.tempo, key: score.key.name(), stems }
}

/// Brings the stems to levels a mix could have, the song to its peak level and its end to silence, and
/// rounds each sample to a whole step.
fn balance(stems: &mut [Stereo; 4], rate: f64, dice: &mut Dice) {
    for (stem, ceiling) in stems.iter_mut().zip([4.0, 5.0, 5.0, 5.0]) {
        for side in stem.iter_mut() {
            remove_offset(side, rate);
        }
        // A bus driven a little: no moment is more than 12 to 14 dB above the stem's level.
        scale_to(stem, 1.0);
        stem.iter_mut().flatten().for_each(|x| *x = ceiling * soft_clip(*x / ceiling));
        // Within 5 dB of each other, so that every stem is worth separating.
        scale_to(stem, decibels(dice.range(-2.5, 2.5)));
    }
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
    // The loudest moment, of the mixture or of a stem alone, is 6 to 0.5 dB below full scale.
    let gain = decibels(dice.range(-6.0, -0.5)) / f64::from(peak).max(1e-9);
    for x in stems.iter_mut().flatten().flatten() {
        *x = ((f64::from(*x) * gain / STEP).round() * STEP) as f32;
    }
}

/// Brings a stem to the level `rms`; what is all but silent (a song cut after its first moment) is not
/// blown up.
fn scale_to(stem: &mut Stereo, level: f64) {
    let rms = rms(stem);
    let gain = if rms > 1e-4 { (level / rms) as f32 } else { 1.0 };
    stem.iter_mut().flatten().for_each(|x| *x *= gain);
}

/// Takes away what lies below hearing (a one-pole high-pass at 12 Hz).
fn remove_offset(side: &mut [f32], rate: f64) {
    let keep = dsp::keep(1.0 / (std::f64::consts::TAU * 12.0), rate);
    let (mut before, mut out) = (0.0, 0.0);
    for x in side {
        out = keep * (out + *x - before);
        before = *x;
        *x = out;
    }
}

/// Root of the mean square over both channels.
fn rms(stem: &Stereo) -> f64 {
    let total: f64 = stem.iter().flatten().map(|x| f64::from(x * x)).sum();
    (total / (2 * stem[0].len()).max(1) as f64).sqrt()
}
