//! Lays recordings of a voice over a song.

use std::path::PathBuf;

use unbraid_audio::{AudioError, AudioReader, ReadOptions};
use unbraid_base::Stereo;
use unbraid_effects::random::Random;

use crate::dsp::fade_edges;

/// The part of a recording that is read at a time, in seconds.
const MOST: f64 = 40.0;

/// Silent recordings in a row after which the rest of the song has no voice.
const SILENT_TAKES: usize = 8;

/// Vocals of `frames` frames, made of phrases of recordings.
///
/// A part of a random recording is cut into phrases at its pauses. Longer pauses become shorter. Then comes another
/// recording. In half of the songs the voice is resampled, which shifts pitch and formants by up to 2.5 semitones.
pub(super) fn lay_over(
    takes: &[PathBuf],
    rate: u32,
    frames: usize,
    random: &mut Random,
) -> Result<Stereo, AudioError> {
    let hertz = f64::from(rate);
    let samples = |seconds: f64| (seconds * hertz) as usize;
    let mut out: Stereo = [vec![0.0; frames], vec![0.0; frames]];
    let semitones = random.range(-2.5, 2.5);
    let ratio = if random.chance(0.5) { libm::exp2(semitones / 12.0) } else { 1.0 };
    let (mut at, mut silent) = (samples(random.range(0.0, 5.0)), 0);
    while at < frames && silent < SILENT_TAKES {
        let path = &takes[random.below(takes.len())];
        let place = random.uniform();
        let mut reader = AudioReader::open(path, rate, ReadOptions::NEARLY_COMPLETE)?;
        let spare = reader.frames().map_or(0.0, |length| (length as f64 - MOST * hertz).max(0.0));
        if spare > 0.0 {
            reader.seek((place * spare) as u64)?;
        }
        let sound = reader.read(samples(MOST))?;
        let phrases = phrases(&sound, hertz);
        silent = if phrases.is_empty() { silent + 1 } else { 0 };
        let mut last = phrases.first().map_or(0, |phrase| phrase.start);
        for phrase in phrases {
            at += (((phrase.start - last) as f64 / ratio) as usize).min(samples(2.0));
            last = phrase.end;
            let mut length = 0;
            for (side, sound) in out.iter_mut().zip(&sound) {
                let mut cut = resampled(&sound[phrase.clone()], ratio);
                fade_edges(&mut cut, 0.02, 0.04, hertz);
                length = cut.len();
                let slots = side.get_mut(at..).unwrap_or_default();
                slots.iter_mut().zip(cut).for_each(|(slot, x)| *slot = x);
            }
            at += length;
        }
        at += samples(random.range(0.8, 6.0));
    }
    Ok(out)
}

/// The parts of a recording between its pauses.
fn phrases(sound: &Stereo, rate: f64) -> Vec<std::ops::Range<usize>> {
    let block = (0.02 * rate) as usize;
    let powers: Vec<f32> = sound[0]
        .chunks(block)
        .zip(sound[1].chunks(block))
        .map(|(l, r)| l.iter().chain(r).map(|x| x * x).sum::<f32>() / (2 * l.len()) as f32)
        .collect();
    let loudest = powers.iter().fold(0.0f32, |p, &x| p.max(x));
    // −70 dB of full scale is silence.
    if loudest < 1e-7 {
        return Vec::new();
    }
    let mut parts: Vec<std::ops::Range<usize>> = Vec::new();
    // 35 dB below the loudest block.
    for (index, _) in powers.iter().enumerate().filter(|(_, power)| **power > 3e-4 * loudest) {
        // 60 ms of margin. A pause shorter than 0.4 s does not end a phrase.
        let (start, end) = ((index.saturating_sub(3)) * block, ((index + 4) * block).min(sound[0].len()));
        match parts.last_mut() {
            Some(part) if start <= part.end + (0.3 * rate) as usize => part.end = end,
            _ => parts.push(start..end),
        }
    }
    parts.retain(|part| part.len() as f64 > 0.2 * rate);
    parts
}

/// Reads at `ratio` times the speed, with cubic interpolation after Hermite.
fn resampled(sound: &[f32], ratio: f64) -> Vec<f32> {
    if ratio == 1.0 {
        return sound.to_vec();
    }
    let sample = |index: usize| sound[index.saturating_sub(1).min(sound.len() - 1)];
    let length = (sound.len() as f64 / ratio) as usize;
    (0..length)
        .map(|n| {
            let place = n as f64 * ratio;
            let (index, t) = (place as usize, place.fract() as f32);
            let [a, b, c, d] = [0, 1, 2, 3].map(|k| sample(index + k));
            let (slope, next) = (0.5 * (c - a), 0.5 * (d - b));
            let bend = b - c;
            ((2.0 * bend + slope + next) * t - (3.0 * bend + 2.0 * slope + next)) * t * t + slope * t + b
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::pitch_of;
    use unbraid_effects::math::sin_turns;

    #[test]
    fn recordings_are_cut_at_their_pauses() {
        let rate = 8000.0;
        let mut sound = vec![0.0f32; 40_000];
        for n in (4000..12_000).chain(13_000..16_000).chain(28_000..36_000) {
            sound[n] = sin_turns(n as f64 / 40.0) as f32;
        }
        let cut = phrases(&[sound.clone(), sound], rate);
        assert_eq!(cut.len(), 2, "{cut:?}");
        assert!(cut[0].start.abs_diff(4000) < 700 && cut[0].end.abs_diff(16_000) < 700);
        assert!(cut[1].start.abs_diff(28_000) < 700 && cut[1].end.abs_diff(36_000) < 700);
        assert!(phrases(&[vec![0.0; 9000], vec![0.0; 9000]], rate).is_empty());
    }

    #[test]
    fn resampling_shifts_the_pitch() {
        let sound: Vec<f32> =
            (0..22_050).map(|n| sin_turns(220.0 * f64::from(n) / 22_050.0) as f32).collect();
        let high = resampled(&sound, 1.2);
        assert_eq!(high.len(), 18_375);
        assert!((pitch_of(&high[1000..17_000], 22_050.0, 150.0, 400.0) - 264.0).abs() < 1.0);
        assert!(high.iter().all(|x| x.abs() < 1.01));
        assert!(resampled(&[], 1.2).is_empty());
    }
}
