//! The singing voice: source-filter synthesis after Klatt and Klatt (1990).
//!
//! A glottal source and noise pass through a cascade of formant resonators. The articulatory gestures of the syllables
//! and the pitch of the melody control them.

use unbraid_effects::filter::{Filter, one_pole};
use unbraid_effects::math::{hertz_from_midi, sin_turns};
use unbraid_effects::random::Random;
use unbraid_effects::room::{Bus, Position};

use crate::composition::Score;
use crate::melody::{self, Note};
use crate::phonemes::{Consonant, Formants, Gesture, Vowel};
use crate::tract::{BANDWIDTHS, GlottalSource, Resonator, compress};

/// The state of the voice at one step of the control rate.
#[derive(Clone, Copy)]
struct ControlFrame {
    gesture: Gesture,
    /// MIDI pitch.
    pitch: f64,
    /// Depth of the vibrato in semitones.
    vibrato: f64,
}

/// The properties of one singer.
#[derive(Clone)]
struct Singer {
    /// Formant frequencies relative to those of a vocal tract 17.5 cm long.
    tract: f64,
    /// Open quotient, from 0.45 (pressed voice) to 0.75 (soft voice).
    open: f64,
    /// Corner frequency in Hz above which the source's spectrum falls more steeply.
    tilt: f64,
    /// Level of the aspiration noise.
    breath: f64,
    /// Depth of the vibrato in semitones.
    vibrato: f64,
    vibrato_hertz: f64,
    /// Time constant of pitch changes in seconds.
    glide: f64,
    /// The number of semitones below the first note at which a phrase begins.
    scoop: f64,
    /// Irregularity of the period, in semitones.
    jitter: f64,
}

impl Singer {
    fn draw(high: bool, random: &mut Random) -> Self {
        Self {
            tract: if high { random.range(1.1, 1.25) } else { random.range(0.93, 1.08) },
            open: random.range(0.5, 0.72),
            tilt: random.range(2500.0, 6000.0),
            breath: random.range(0.5, 2.5),
            vibrato: random.range(0.15, 0.6),
            vibrato_hertz: random.range(4.8, 6.4),
            glide: random.range(0.014, 0.04),
            scoop: random.range(0.0, 2.0),
            jitter: random.range(0.03, 0.08),
        }
    }

    /// The same singer in another recording.
    fn variation(&self, random: &mut Random) -> Self {
        Self {
            tract: self.tract * random.range(0.98, 1.02),
            breath: 1.3 * self.breath,
            vibrato_hertz: self.vibrato_hertz * random.range(0.93, 1.07),
            scoop: random.range(0.0, 1.0),
            ..self.clone()
        }
    }
}

/// Renders the vocals.
pub(crate) fn render(score: &Score, rate: f64, frames: usize, random: &mut Random) -> Bus {
    let high = random.chance(0.5);
    let centre = if high { 61 + random.below(7) as i32 } else { 48 + random.below(8) as i32 };
    let singer = Singer::draw(high, random);
    let notes = melody::write(score, centre, random);
    let mut bus = Bus::new(frames);
    let depth = random.range(0.15, 0.35);
    let (doubled, harmony) = (random.chance(0.4), random.chance(0.4));
    let lead = Position { pan: random.range(-0.08, 0.08), depth };
    bus.add(0, &sing(&singer, &notes, rate, frames, random), 1.0, lead);
    let chorus: Vec<Note> = notes.iter().filter(|n| n.chorus).cloned().collect();
    let mut choir = |shift: i32, pan: f64, gain: f64, random: &mut Random| {
        let mut part = chorus.clone();
        for note in &mut part {
            let late = 0.012 * random.normal();
            (note.start, note.end) = ((note.start + late).max(0.0), note.end + late);
            note.pitch = score.key.pitch(score.key.degree(note.pitch) + shift);
        }
        let other = singer.variation(random);
        bus.add(0, &sing(&other, &part, rate, frames, random), gain, Position { pan, depth: 1.4 * depth });
    };
    if doubled {
        choir(0, -0.6, 0.35, random);
        choir(0, 0.6, 0.35, random);
    }
    if harmony {
        choir(2, 0.35, 0.4, random);
    }
    bus
}

/// Renders one voice for the whole song.
fn sing(singer: &Singer, notes: &[Note], rate: f64, frames: usize, random: &mut Random) -> Vec<f32> {
    // The control rate is about 1000 Hz.
    let hop = (rate / 1000.0).ceil() as usize;
    let control = rate / hop as f64;
    let mut track = control_track(singer, notes, control, frames / hop + 2, random);
    smooth(&mut track, singer, control);

    let mut out = vec![0.0; frames];
    let mut source = GlottalSource::new(singer.open);
    let mut tract: [Resonator; 9] = Default::default();
    let mut hiss = Filter::default();
    let (mut wander, mut vibrato) = (0.0, random.uniform());
    let mut idle = true;
    for (k, block) in out.chunks_mut(hop).enumerate() {
        let (now, next) = (&track[k], &track[k + 1]);
        let loudest = now.gesture.voice.max(now.gesture.breath).max(now.gesture.hiss);
        if loudest < 1e-4 {
            if !idle {
                tract = Default::default();
                hiss = Filter::default();
            }
            idle = true;
            continue;
        }
        idle = false;
        // The pitch varies by vibrato, a slow drift, and jitter.
        vibrato += singer.vibrato_hertz / control;
        wander = 0.995 * wander + 0.004 * random.normal();
        let deviation = now.vibrato * sin_turns(vibrato) + wander + singer.jitter * random.normal();
        let pitch = hertz_from_midi(now.pitch + deviation);
        let level = |a: f64, b: f64, n: usize| a + (b - a) * n as f64 / hop as f64;
        let formants = singer.formants(&now.gesture.formants, pitch);
        // Above the fifth formant the vocal tract resembles a uniform tube, with one formant about every 1000 Hz.
        let above = [5500.0, 6500.0, 7500.0, 8500.0].map(|f| f * singer.tract);
        for ((resonator, formant), width) in
            tract.iter_mut().zip(formants.into_iter().chain(above)).zip(BANDWIDTHS)
        {
            resonator.tune(formant, width * now.gesture.damping, rate);
        }
        hiss.tune(now.gesture.hiss_hertz, 1.4, rate);
        let shimmer = 1.0 + 0.03 * random.normal();
        let tilt =
            libm::exp(-singer.tilt * (0.4 + 0.6 * now.gesture.voice) * std::f64::consts::TAU / rate) as f32;
        for (n, slot) in block.iter_mut().enumerate() {
            let voice = level(now.gesture.voice, next.gesture.voice, n) * shimmer;
            let breath = level(now.gesture.breath, next.gesture.breath, n) * singer.breath;
            let pulse = source.next(pitch / rate, tilt);
            // Aspiration noise is loudest while the vocal folds are open.
            let gate = if source.phase < source.open { 1.0 } else { 0.4 };
            let air = random.noise();
            let mut x = voice as f32 * pulse + (0.5 * breath * gate) as f32 * air;
            for resonator in &mut tract {
                x = resonator.next(x);
            }
            let turbulence = level(now.gesture.hiss, next.gesture.hiss, n) as f32;
            *slot = x + 0.9 * turbulence * hiss.band(air);
        }
    }
    compress(&mut out, rate);
    out
}

/// The targets at each control step, from the notes and their syllables.
fn control_track(
    singer: &Singer,
    notes: &[Note],
    control: f64,
    len: usize,
    random: &mut Random,
) -> Vec<ControlFrame> {
    let first = notes.first().map_or(60.0, |n| f64::from(n.pitch));
    let mut track = vec![ControlFrame { gesture: Gesture::rest(), pitch: first, vibrato: 0.0 }; len];
    let index = |seconds: f64| ((seconds * control).max(0.0) as usize).min(len);
    let mut free_from = 0.0;
    for (n, note) in notes.iter().enumerate() {
        let vowel = note.syllable.vowel;
        let onset = gestures(note.syllable.onset, vowel);
        let wanted: f64 = onset.iter().map(|g| g.seconds).sum();
        // The consonants before a vowel precede the beat and shorten the previous note.
        let room = (note.start - free_from).max(0.0);
        let squeeze = if wanted > 0.0 { (room / wanted).min(1.0) } else { 0.0 };
        let mut at = note.start - wanted * squeeze;
        if note.first && at - free_from > 0.3 {
            let inhale = Gesture::inhale(random.range(0.18, 0.3));
            let from = at - inhale.seconds - 0.03;
            track[index(from)..index(at - 0.03)].iter_mut().for_each(|p| p.gesture = inhale);
        }
        let pitch = f64::from(note.pitch);
        let begins = index(if note.first { at - 0.02 } else { at });
        track[begins..].iter_mut().for_each(|p| p.pitch = pitch);
        if note.first {
            track[begins..index(note.start + 0.03)].iter_mut().for_each(|p| p.pitch = pitch - singer.scoop);
        }
        for gesture in onset {
            let until = at + gesture.seconds * squeeze;
            track[index(at)..index(until)].iter_mut().for_each(|p| p.gesture = gesture);
            at = until;
        }
        let held = Gesture { voice: note.velocity, ..Gesture::vowel(vowel) };
        let end = note.end.max(note.start + 0.08);
        let glides = end - (0.4 * (end - note.start)).min(0.22);
        for (k, frame) in track.iter_mut().enumerate().take(index(end)).skip(index(note.start)) {
            let t = k as f64 / control;
            frame.gesture = held;
            if let Some(glide) = note.syllable.glide.filter(|_| t > glides) {
                frame.gesture.formants = Gesture::vowel(glide).formants;
                frame.gesture.tau = 0.05;
            }
            if note.last {
                frame.gesture.voice *= 1.0 - 0.35 * (t - note.start) / (end - note.start);
            }
            if end - note.start > 0.4 && t - note.start > 0.22 {
                frame.vibrato = singer.vibrato;
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
                track[index(at)..index(until)].iter_mut().for_each(|p| p.gesture = gesture);
                at = until;
            }
            free_from = at;
        }
    }
    track
}

fn gestures(consonant: Option<Consonant>, vowel: Vowel) -> Vec<Gesture> {
    consonant.map(|c| c.gestures(vowel)).unwrap_or_default()
}

/// Smooths the targets with one-pole filters. Each gesture has its time constant.
fn smooth(track: &mut [ControlFrame], singer: &Singer, control: f64) {
    let glide = 1.0 - f64::from(one_pole(singer.glide, control));
    let deepen = 1.0 - f64::from(one_pole(0.12, control));
    let Some(&first) = track.first() else { return };
    let mut at = first;
    (at.gesture.voice, at.gesture.breath, at.gesture.hiss) = (0.0, 0.0, 0.0);
    let mut half = at.pitch;
    for frame in track {
        let go = 1.0 - f64::from(one_pole(frame.gesture.tau, control));
        let approach = |from: &mut f64, to: f64, share: f64| *from += share * (to - *from);
        for (from, to) in at.gesture.formants.iter_mut().zip(frame.gesture.formants) {
            approach(from, to, go);
        }
        approach(&mut at.gesture.voice, frame.gesture.voice, go);
        approach(&mut at.gesture.breath, frame.gesture.breath, go);
        approach(&mut at.gesture.hiss, frame.gesture.hiss, go);
        approach(&mut at.gesture.damping, frame.gesture.damping, go);
        // While the noise decays, its frequency stays.
        if frame.gesture.hiss > 0.0 {
            at.gesture.hiss_hertz = frame.gesture.hiss_hertz;
        }
        approach(&mut at.vibrato, frame.vibrato, deepen);
        approach(&mut half, frame.pitch, glide);
        approach(&mut at.pitch, half, glide);
        *frame = at;
    }
}

impl Singer {
    /// The formants of this singer. Trained singers keep the first formant above the pitch.
    fn formants(&self, formants: &Formants, pitch: f64) -> Formants {
        let mut scaled = formants.map(|f| f * self.tract);
        scaled[0] = scaled[0].max(1.05 * pitch);
        scaled[1] = scaled[1].max(scaled[0] + 150.0);
        scaled
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
        let mut random = Random::new(1, 0, 0);
        let syllable = Syllable { onset: None, glide: None, coda: None, ..Syllable::draw(&mut random) };
        Note { start: 0.1, end: 2.1, pitch, velocity: 0.9, syllable, first: true, last: false, chorus: false }
    }

    /// Deviation from the pitch in semitones, every 20 ms of the sustained part.
    fn contour(vibrato: f64, pitch: i32) -> Vec<f64> {
        let note = held(pitch);
        let sound = sing(&singer(vibrato), &[note], RATE, 50_000, &mut Random::new(2, 0, 0));
        let hz = hertz_from_midi(f64::from(pitch));
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
            // 60 × 20 ms at 5.5 Hz are 6.6 periods, with two crossings of the mean per period.
            let above: Vec<bool> = shaking.iter().map(|x| *x > mean(&shaking)).collect();
            let crossings = above.windows(2).filter(|w| w[0] != w[1]).count();
            assert!((10..=18).contains(&crossings), "{crossings} crossings");
        }
    }

    #[test]
    fn consonants_are_noise_or_silence_before_the_beat() {
        let sibilant = Consonant::Fricative { hertz: 6000.0, level: 1.0, voice: 0.0 };
        let plosive = Consonant::Plosive { hertz: 2000.0, locus: 2000.0, voiced: false };
        let render = |onset| {
            let mut note = held(55);
            (note.start, note.first, note.syllable.onset) = (0.6, false, onset);
            sing(&singer(0.0), &[note], RATE, 30_000, &mut Random::new(2, 0, 0))
        };
        let part =
            |sound: &[f32], from: f64, to: f64| sound[(from * RATE) as usize..(to * RATE) as usize].to_vec();
        let energy = |part: &[f32]| part.iter().map(|x| f64::from(x * x)).sum::<f64>() / part.len() as f64;
        // Zero crossings per sample. High-frequency noise has far more than a voiced sound.
        let roughness =
            |part: &[f32]| part.windows(2).filter(|w| w[0] * w[1] < 0.0).count() as f64 / part.len() as f64;
        let s = render(Some(sibilant));
        assert!(roughness(&part(&s, 0.52, 0.58)) > 0.35 && roughness(&part(&s, 0.8, 1.0)) < 0.25);
        assert!(energy(&part(&s, 0.53, 0.58)) > 0.02 * energy(&part(&s, 0.8, 1.0)));
        let t = render(Some(plosive));
        assert!(
            energy(&part(&t, 0.53, 0.545)) < 0.01 * energy(&part(&t, 0.8, 1.0)),
            "the closure is not silent"
        );
        assert!(energy(&part(&t, 0.56, 0.6)) > energy(&part(&t, 0.53, 0.545)), "the burst is missing");
        let open = render(None);
        assert!(energy(&part(&open, 0.53, 0.58)) < 0.01 * energy(&part(&open, 0.8, 1.0)));
    }

    #[test]
    fn vowels_have_their_formants() {
        let mut random = Random::new(3, 0, 0);
        let mut seen = Vec::new();
        while seen.len() < 4 {
            let syllable = Syllable { onset: None, glide: None, coda: None, ..Syllable::draw(&mut random) };
            if seen.contains(&syllable) {
                continue;
            }
            seen.push(syllable);
            let note = Note { syllable, ..held(43) };
            let sound = sing(&singer(0.0), &[note], RATE, 50_000, &mut random);
            let band = |hz: f64| {
                let mut filter = Filter::new(hz, 12.0, RATE);
                sound[15_000..40_000].iter().map(|x| f64::from(filter.band(*x)).powi(2)).sum::<f64>()
            };
            let [_, f2, f3, ..] = Gesture::vowel(syllable.vowel).formants;
            assert!(band(f2) > 1.3 * band(0.5 * (f2 + f3)), "no second formant at {f2} Hz");
        }
    }
}
