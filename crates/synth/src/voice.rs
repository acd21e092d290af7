//! The singer: vocal folds and turbulence through a chain of formants (source and filter, after Klatt
//! and Klatt, 1990), steered by the gestures of the syllables and by the melody's pitch.

use crate::composition::Score;
use crate::dsp::{Filter, keep};
use crate::math::{Dice, exp, hertz, sin_turns};
use crate::melody::{self, Note};
use crate::phonemes::{Consonant, Formants, Gesture, Vowel};
use crate::room::{Bus, Place};
use crate::tract::{Folds, Resonator, WIDTHS, level_out};

/// Where the tract, lungs and folds are at one moment of the control rate.
#[derive(Clone, Copy)]
struct Pose {
    aim: Gesture,
    /// MIDI pitch.
    pitch: f64,
    /// Depth of the vibrato in semitones.
    vibrato: f64,
}

/// A person.
#[derive(Clone)]
struct Singer {
    /// Formants against those of a tract 17.5 cm long.
    tract: f64,
    /// The part of each period in which the folds are open: 0.45 pressed to 0.75 soft.
    open: f64,
    /// Where the folds' spectrum begins to fall more steeply, in Hz.
    tilt: f64,
    breath: f64,
    vibrato: f64,
    vibrato_hertz: f64,
    /// Seconds from one pitch to the next.
    glide: f64,
    /// Semitones a phrase begins below its note.
    scoop: f64,
    /// Irregularity of the period, in semitones.
    jitter: f64,
}

impl Singer {
    fn draw(high: bool, dice: &mut Dice) -> Self {
        Self {
            tract: if high { dice.range(1.1, 1.25) } else { dice.range(0.93, 1.08) },
            open: dice.range(0.5, 0.72),
            tilt: dice.range(2500.0, 6000.0),
            breath: dice.range(0.5, 2.5),
            vibrato: dice.range(0.15, 0.6),
            vibrato_hertz: dice.range(4.8, 6.4),
            glide: dice.range(0.014, 0.04),
            scoop: dice.range(0.0, 2.0),
            jitter: dice.range(0.03, 0.08),
        }
    }

    /// The same person on another take.
    fn again(&self, dice: &mut Dice) -> Self {
        Self {
            tract: self.tract * dice.range(0.98, 1.02),
            breath: 1.3 * self.breath,
            vibrato_hertz: self.vibrato_hertz * dice.range(0.93, 1.07),
            scoop: dice.range(0.0, 1.0),
            ..self.clone()
        }
    }
}

/// The vocals' stem.
pub(crate) fn render(score: &Score, rate: f64, frames: usize, dice: &mut Dice) -> Bus {
    let high = dice.chance(0.5);
    let centre = if high { 61 + dice.below(7) as i32 } else { 48 + dice.below(8) as i32 };
    let singer = Singer::draw(high, dice);
    let notes = melody::write(score, centre, dice);
    let mut bus = Bus::new(frames);
    let depth = dice.range(0.15, 0.35);
    let (doubled, harmony) = (dice.chance(0.4), dice.chance(0.4));
    let lead = Place { pan: dice.range(-0.08, 0.08), depth };
    bus.add(0, &sing(&singer, &notes, rate, frames, dice), 1.0, lead);
    let chorus: Vec<Note> = notes.iter().filter(|n| n.chorus).cloned().collect();
    let mut choir = |shift: i32, pan: f64, gain: f64, dice: &mut Dice| {
        let mut part = chorus.clone();
        for note in &mut part {
            let late = 0.012 * dice.bell();
            (note.start, note.end) = ((note.start + late).max(0.0), note.end + late);
            note.pitch = score.key.pitch(score.key.degree(note.pitch) + shift);
        }
        let other = singer.again(dice);
        bus.add(0, &sing(&other, &part, rate, frames, dice), gain, Place { pan, depth: 1.4 * depth });
    };
    if doubled {
        choir(0, -0.6, 0.35, dice);
        choir(0, 0.6, 0.35, dice);
    }
    if harmony {
        choir(2, 0.35, 0.4, dice);
    }
    bus
}

/// One voice through the whole song.
fn sing(singer: &Singer, notes: &[Note], rate: f64, frames: usize, dice: &mut Dice) -> Vec<f32> {
    // Gestures are steered about a thousand times a second.
    let hop = (rate / 1000.0).ceil() as usize;
    let control = rate / hop as f64;
    let mut poses = score_gestures(singer, notes, control, frames / hop + 2, dice);
    smooth(&mut poses, singer, control);

    let mut out = vec![0.0; frames];
    let mut folds = Folds::new(singer.open);
    let mut tract: [Resonator; 9] = Default::default();
    let mut hiss = Filter::default();
    let (mut wander, mut vibrato) = (0.0, dice.unit());
    let mut idle = true;
    for (k, block) in out.chunks_mut(hop).enumerate() {
        let (now, next) = (&poses[k], &poses[k + 1]);
        let loudest = now.aim.voice.max(now.aim.breath).max(now.aim.hiss);
        if loudest < 1e-4 {
            if !idle {
                tract = Default::default();
                hiss = Filter::default();
            }
            idle = true;
            continue;
        }
        idle = false;
        // The pitch is never quite still: vibrato, a slow drift, and jitter from period to period.
        vibrato += singer.vibrato_hertz / control;
        wander = 0.995 * wander + 0.004 * dice.bell();
        let shake = now.vibrato * sin_turns(vibrato) + wander + singer.jitter * dice.bell();
        let pitch = hertz(now.pitch + shake);
        let level = |a: f64, b: f64, n: usize| a + (b - a) * n as f64 / hop as f64;
        let reached = singer.reach(&now.aim.formants, pitch);
        // Above the fifth formant the tract is close to a plain tube: one about every 1000 Hz.
        let above = [5500.0, 6500.0, 7500.0, 8500.0].map(|f| f * singer.tract);
        for ((resonator, formant), width) in
            tract.iter_mut().zip(reached.into_iter().chain(above)).zip(WIDTHS)
        {
            resonator.tune(formant, width * now.aim.damping, rate);
        }
        hiss.tune(now.aim.hiss_hertz, 1.4, rate);
        let shimmer = 1.0 + 0.03 * dice.bell();
        let softens = exp(-singer.tilt * (0.4 + 0.6 * now.aim.voice) * std::f64::consts::TAU / rate) as f32;
        for (n, slot) in block.iter_mut().enumerate() {
            let voice = level(now.aim.voice, next.aim.voice, n) * shimmer;
            let breath = level(now.aim.breath, next.aim.breath, n) * singer.breath;
            let pulse = folds.next(pitch / rate, softens);
            // Turbulence is loudest while the folds are open.
            let gate = if folds.phase < folds.open { 1.0 } else { 0.4 };
            let air = dice.noise();
            let mut x = voice as f32 * pulse + (0.5 * breath * gate) as f32 * air;
            for resonator in &mut tract {
                x = resonator.next(x);
            }
            let turbulence = level(now.aim.hiss, next.aim.hiss, n) as f32;
            *slot = x + 0.9 * turbulence * hiss.band(air);
        }
    }
    level_out(&mut out, rate);
    out
}

/// What each moment aims at, from the notes and their syllables.
fn score_gestures(singer: &Singer, notes: &[Note], control: f64, len: usize, dice: &mut Dice) -> Vec<Pose> {
    let first = notes.first().map_or(60.0, |n| f64::from(n.pitch));
    let mut poses = vec![Pose { aim: Gesture::rest(), pitch: first, vibrato: 0.0 }; len];
    let index = |seconds: f64| ((seconds * control).max(0.0) as usize).min(len);
    let mut free_from = 0.0;
    for (n, note) in notes.iter().enumerate() {
        let vowel = note.syllable.vowel;
        let onset = gestures(note.syllable.onset, vowel);
        let wanted: f64 = onset.iter().map(|g| g.seconds).sum();
        // A consonant comes before the beat, out of the end of the note before.
        let room = (note.start - free_from).max(0.0);
        let squeeze = if wanted > 0.0 { (room / wanted).min(1.0) } else { 0.0 };
        let mut at = note.start - wanted * squeeze;
        if note.first && at - free_from > 0.3 {
            let inhale = Gesture::inhale(dice.range(0.18, 0.3));
            let from = at - inhale.seconds - 0.03;
            poses[index(from)..index(at - 0.03)].iter_mut().for_each(|p| p.aim = inhale);
        }
        let pitch = f64::from(note.pitch);
        let begins = index(if note.first { at - 0.02 } else { at });
        poses[begins..].iter_mut().for_each(|p| p.pitch = pitch);
        if note.first {
            poses[begins..index(note.start + 0.03)].iter_mut().for_each(|p| p.pitch = pitch - singer.scoop);
        }
        for gesture in onset {
            let until = at + gesture.seconds * squeeze;
            poses[index(at)..index(until)].iter_mut().for_each(|p| p.aim = gesture);
            at = until;
        }
        let held = Gesture { voice: note.velocity, ..Gesture::vowel(vowel) };
        let end = note.end.max(note.start + 0.08);
        let glides = end - (0.4 * (end - note.start)).min(0.22);
        for (k, pose) in poses.iter_mut().enumerate().take(index(end)).skip(index(note.start)) {
            let t = k as f64 / control;
            pose.aim = held;
            if let Some(glide) = note.syllable.glide.filter(|_| t > glides) {
                pose.aim.formants = Gesture::vowel(glide).formants;
                pose.aim.tau = 0.05;
            }
            if note.last {
                pose.aim.voice *= 1.0 - 0.35 * (t - note.start) / (end - note.start);
            }
            if end - note.start > 0.4 && t - note.start > 0.22 {
                pose.vibrato = singer.vibrato;
            }
        }
        free_from = note.start + 0.07;
        let coda = gestures(note.syllable.coda, note.syllable.glide.unwrap_or(vowel));
        let length: f64 = coda.iter().map(|g| g.seconds).sum();
        let until_next = notes.get(n + 1).map_or(f64::MAX, |next| next.start) - end;
        let mut at = if until_next > length + 0.15 { end } else { end - length };
        if length > 0.0 && at - note.start > 0.15 {
            for mut gesture in coda {
                gesture.voice *= 0.7 * note.velocity;
                let until = at + gesture.seconds;
                poses[index(at)..index(until)].iter_mut().for_each(|p| p.aim = gesture);
                at = until;
            }
            free_from = at;
        }
    }
    poses
}

fn gestures(consonant: Option<Consonant>, vowel: Vowel) -> Vec<Gesture> {
    consonant.map(|c| c.gestures(vowel)).unwrap_or_default()
}

/// Muscles take time: every aim is approached, each with its own speed.
fn smooth(poses: &mut [Pose], singer: &Singer, control: f64) {
    let glide = 1.0 - f64::from(keep(singer.glide, control));
    let deepen = 1.0 - f64::from(keep(0.12, control));
    let Some(&first) = poses.first() else { return };
    let mut at = first;
    (at.aim.voice, at.aim.breath, at.aim.hiss) = (0.0, 0.0, 0.0);
    let mut half = at.pitch;
    for pose in poses {
        let go = 1.0 - f64::from(keep(pose.aim.tau, control));
        let approach = |from: &mut f64, to: f64, share: f64| *from += share * (to - *from);
        for (from, to) in at.aim.formants.iter_mut().zip(pose.aim.formants) {
            approach(from, to, go);
        }
        approach(&mut at.aim.voice, pose.aim.voice, go);
        approach(&mut at.aim.breath, pose.aim.breath, go);
        approach(&mut at.aim.hiss, pose.aim.hiss, go);
        approach(&mut at.aim.damping, pose.aim.damping, go);
        // Turbulence keeps its place while it dies away.
        if pose.aim.hiss > 0.0 {
            at.aim.hiss_hertz = pose.aim.hiss_hertz;
        }
        approach(&mut at.vibrato, pose.vibrato, deepen);
        approach(&mut half, pose.pitch, glide);
        approach(&mut at.pitch, half, glide);
        *pose = at;
    }
}

impl Singer {
    /// The formants of this tract; the first stays above the pitch, as singers learn to do.
    fn reach(&self, formants: &Formants, pitch: f64) -> Formants {
        let mut reached = formants.map(|f| f * self.tract);
        reached[0] = reached[0].max(1.05 * pitch);
        reached[1] = reached[1].max(reached[0] + 150.0);
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phonemes::Syllable;
    use crate::tests::pitch_of;

    const RATE: f64 = 22_050.0;

    fn singer(vibrato: f64) -> Singer {
        Singer {
            tract: 1.0,
            open: 0.6,
            tilt: 3000.0,
            breath: 1.0,
            vibrato,
            vibrato_hertz: 5.5,
            glide: 0.02,
            scoop: 0.5,
            jitter: 0.03,
        }
    }

    fn held(pitch: i32) -> Note {
        let mut dice = Dice::new(1, 0, 0);
        let syllable = Syllable { onset: None, glide: None, coda: None, ..Syllable::draw(&mut dice) };
        Note { start: 0.1, end: 2.1, pitch, velocity: 0.9, syllable, first: true, last: false, chorus: false }
    }

    /// Pitch in semitones every 20 ms of the held part.
    fn contour(vibrato: f64, pitch: i32) -> Vec<f64> {
        let note = held(pitch);
        let sound = sing(&singer(vibrato), &[note], RATE, 50_000, &mut Dice::new(2, 0, 0));
        let hz = hertz(f64::from(pitch));
        (0..60)
            .map(|k| {
                let from = (0.7 * RATE) as usize + k * 441;
                let found = pitch_of(&sound[from..from + 1100], RATE, 0.8 * hz, 1.25 * hz);
                12.0 * (found / hz).log2()
            })
            .collect()
    }

    #[test]
    fn a_held_note_is_in_tune_and_has_vibrato() {
        for pitch in [48, 60, 69] {
            let (still, shaking) = (contour(0.0, pitch), contour(0.5, pitch));
            let mean = |c: &[f64]| c.iter().sum::<f64>() / c.len() as f64;
            let spread =
                |c: &[f64]| (c.iter().map(|x| (x - mean(c)).powi(2)).sum::<f64>() / c.len() as f64).sqrt();
            assert!(mean(&still).abs() < 0.3, "{} semitones off", mean(&still));
            assert!(mean(&shaking).abs() < 0.3, "{} semitones off", mean(&shaking));
            assert!(spread(&still) < 0.15, "unsteady by {}", spread(&still));
            assert!(spread(&shaking) > 0.2, "vibrato of {}", spread(&shaking));
            // 60 × 20 ms at 5.5 Hz is 6.6 turns: twice as many crossings of the mean.
            let above: Vec<bool> = shaking.iter().map(|x| *x > mean(&shaking)).collect();
            let crossings = above.windows(2).filter(|w| w[0] != w[1]).count();
            assert!((10..=18).contains(&crossings), "{crossings} crossings");
        }
    }

    #[test]
    fn consonants_are_noise_nasals_or_gaps_before_the_beat() {
        let sibilant = Consonant::Fricative { hertz: 6000.0, level: 1.0, voice: 0.0 };
        let plosive = Consonant::Plosive { hertz: 2000.0, locus: 2000.0, voiced: false };
        let render = |onset| {
            let mut note = held(55);
            (note.start, note.first, note.syllable.onset) = (0.6, false, onset);
            sing(&singer(0.0), &[note], RATE, 30_000, &mut Dice::new(2, 0, 0))
        };
        let part =
            |sound: &[f32], from: f64, to: f64| sound[(from * RATE) as usize..(to * RATE) as usize].to_vec();
        let energy = |part: &[f32]| part.iter().map(|x| f64::from(x * x)).sum::<f64>() / part.len() as f64;
        // Sign changes a sample: near 1 for hiss at half the rate, far lower for voice.
        let roughness =
            |part: &[f32]| part.windows(2).filter(|w| w[0] * w[1] < 0.0).count() as f64 / part.len() as f64;
        let s = render(Some(sibilant));
        assert!(roughness(&part(&s, 0.52, 0.58)) > 0.35 && roughness(&part(&s, 0.8, 1.0)) < 0.25);
        assert!(energy(&part(&s, 0.53, 0.58)) > 0.02 * energy(&part(&s, 0.8, 1.0)));
        let t = render(Some(plosive));
        assert!(energy(&part(&t, 0.53, 0.545)) < 0.01 * energy(&part(&t, 0.8, 1.0)), "the closure is silent");
        assert!(energy(&part(&t, 0.56, 0.6)) > energy(&part(&t, 0.53, 0.545)), "and its burst is not");
        let open = render(None);
        assert!(energy(&part(&open, 0.53, 0.58)) < 0.01 * energy(&part(&open, 0.8, 1.0)));
    }

    #[test]
    fn vowels_have_their_formants() {
        let mut dice = Dice::new(3, 0, 0);
        let mut seen = Vec::new();
        while seen.len() < 4 {
            let syllable = Syllable { onset: None, glide: None, coda: None, ..Syllable::draw(&mut dice) };
            if seen.contains(&syllable) {
                continue;
            }
            seen.push(syllable);
            let note = Note { syllable, ..held(43) };
            let sound = sing(&singer(0.0), &[note], RATE, 50_000, &mut dice);
            let band = |hz: f64| {
                let mut filter = Filter::new(hz, 12.0, RATE);
                sound[15_000..40_000].iter().map(|x| f64::from(filter.band(*x)).powi(2)).sum::<f64>()
            };
            let [_, f2, f3, ..] = Gesture::vowel(syllable.vowel).formants;
            assert!(band(f2) > 1.3 * band(0.5 * (f2 + f3)), "no second formant at {f2} Hz");
        }
    }
}
