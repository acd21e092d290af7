//! The vocal melody: phrases over the chords, and their syllables.

use unbraid_effects::random::Random;

use crate::composition::{Kind, Score};
use crate::phonemes::Syllable;

/// A sung note. Times are in seconds. The pitch is a MIDI number.
#[derive(Clone)]
pub(crate) struct Note {
    pub(crate) start: f64,
    pub(crate) end: f64,
    pub(crate) pitch: i32,
    pub(crate) velocity: f64,
    pub(crate) syllable: Syllable,
    /// Whether it is the first note of its phrase.
    pub(crate) first: bool,
    /// Whether it is the last note of its phrase.
    pub(crate) last: bool,
    pub(crate) chorus: bool,
}

/// Two bars of melody: for each note its beat, its length in beats, and its scale steps from the centre of the range.
struct Phrase(Vec<(f64, f64, i32)>);

impl Phrase {
    fn draw(beats_per_bar: usize, tempo: f64, random: &mut Random) -> Self {
        let total = 2.0 * beats_per_bar as f64;
        // A syllable needs about a fifth of a second.
        let lengths: &[f64] = match tempo {
            t if t < 85.0 => &[0.25, 0.25, 0.5, 0.5, 0.5, 1.0, 1.5],
            t if t < 130.0 => &[0.5, 0.5, 0.5, 1.0, 1.0, 1.5],
            _ => &[0.5, 0.5, 1.0, 1.0, 1.5, 2.0],
        };
        let rest = random.pick(&[0.5, 1.0, 1.0]);
        let mut beat = random.pick(&[0.0, 0.0, 0.5, 1.0]);
        let mut step: i32 = random.pick(&[-2, 0, 0, 2]);
        let mut notes = Vec::new();
        // The last note lasts until the rest.
        let closing = random.pick(&[1.0, 1.5, 2.0]);
        while total - rest - beat > closing + 0.75 {
            let beats = random.pick(lengths).min(total - rest - beat - closing);
            notes.push((beat, beats, step));
            let leap = random.pick(&[-1i32, 1, -1, 1, 0, -2, 2, 3, -3]);
            step += if (step + leap).abs() > 5 { -leap } else { leap };
            beat += beats;
        }
        notes.push((beat, total - rest - beat, step));
        Self(notes)
    }
}

/// Writes the melody of the whole song. The centre of its range is near the MIDI pitch `centre`.
pub(crate) fn write(score: &Score, centre: i32, random: &mut Random) -> Vec<Note> {
    // Two phrases, antecedent and consequent, for the verse and for the chorus.
    let [verse, refrain] =
        [(); 2].map(|()| [(); 2].map(|()| Phrase::draw(score.beats_per_bar, score.tempo, random)));
    // The chorus is higher than the verses, by this number of scale steps.
    let lift = 1 + random.below(3) as i32;
    let melisma = random.range(0.0, 0.2);
    let mut words: Vec<Vec<Syllable>> = Vec::new();
    let mut notes: Vec<Note> = Vec::new();
    for bar in score.bars.iter().filter(|bar| bar.since % 2 == 0) {
        let section = score.section(bar);
        if !section.voice {
            continue;
        }
        let chorus = section.kind == Kind::Chorus;
        let turn = bar.since / 2;
        let phrase = &(if chorus { &refrain } else { &verse })[turn % 2];
        let end = bar.start + ((bar.left + 1).min(2) * score.beats_per_bar) as f64;
        let inside: Vec<_> =
            phrase.0.iter().filter(|(beat, beats, _)| bar.start + beat + beats <= end).collect();
        // All choruses share their syllables. Each verse has new ones.
        let known = words.get(turn).filter(|_| chorus).cloned();
        let text = known.unwrap_or_else(|| {
            let mut text: Vec<Syllable> = Vec::new();
            for _ in 0..phrase.0.len() {
                let syllable = match text.last() {
                    Some(last) if random.chance(melisma) => last.carried(),
                    _ => Syllable::draw(random),
                };
                text.push(syllable);
            }
            if chorus {
                words.push(text.clone());
            }
            text
        });
        let middle = score.key.degree(centre) + if chorus { lift } else { 0 };
        for (n, (beat, beats, step)) in inside.iter().enumerate() {
            let at = bar.start + beat;
            let chord = score.chord(at);
            let free = score.key.pitch(middle + step);
            let tied = *beats >= 1.0 || beat.fract() == 0.0 || n + 1 == inside.len();
            let pitch = if tied { chord.nearest(free) } else { free };
            let accent = if beat.fract() == 0.0 { 0.85 } else { 0.72 };
            notes.push(Note {
                start: (score.seconds(at) + 0.012 * random.normal() + 0.015).max(0.0),
                end: score.seconds(at + beats),
                pitch,
                velocity: (accent + if chorus { 0.1 } else { 0.0 } + 0.05 * random.normal()).clamp(0.4, 1.0),
                syllable: text[n],
                first: n == 0,
                last: n + 1 == inside.len(),
                chorus,
            });
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn melodies_are_singable() {
        for index in 0..40 {
            let mut random = Random::new(21, index, 4);
            let score = Score::write(40.0, &mut random);
            let notes = write(&score, 60, &mut random);
            assert!(notes.len() > 8);
            for pair in notes.windows(2) {
                assert!(pair[1].start > pair[0].start && pair[0].end > pair[0].start);
                assert!(pair[1].start > pair[0].end - 0.1, "notes overlap");
            }
            assert!(notes.iter().all(|n| (48..=76).contains(&n.pitch)), "out of range");
            assert_eq!(notes.iter().filter(|n| n.first).count(), notes.iter().filter(|n| n.last).count());
            let span = notes.iter().map(|n| n.pitch).max().expect("notes")
                - notes.iter().map(|n| n.pitch).min().expect("notes");
            assert!(span >= 4, "a melody of {span} semitones");
            let sung: f64 = notes.iter().map(|n| n.end - n.start).sum();
            assert!(sung > 0.3 * 40.0, "sung for {sung} s only");
        }
    }
}
