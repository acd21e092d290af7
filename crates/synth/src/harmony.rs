//! Keys, chord progressions and voice leading. Pitches are MIDI numbers. Pitch class 0 is C.

use unbraid_effects::random::Random;

/// A scale on a tonic.
#[derive(Clone)]
pub(crate) struct Key {
    /// Pitch class of the tonic.
    pub(crate) tonic: i32,
    mode: &'static Mode,
}

struct Mode {
    name: &'static str,
    /// The seven degrees, in semitones above the tonic.
    steps: [i32; 7],
    /// Progressions, as degrees from 0.
    progressions: &'static [&'static [usize]],
}

static MODES: [Mode; 4] = [
    Mode {
        name: "major",
        steps: [0, 2, 4, 5, 7, 9, 11],
        progressions: &[
            &[0, 4, 5, 3],
            &[0, 5, 3, 4],
            &[5, 3, 0, 4],
            &[0, 3, 5, 4],
            &[1, 4, 0, 5],
            &[0, 2, 3, 4],
            &[3, 4, 2, 5],
            &[0, 3, 0, 4],
        ],
    },
    Mode {
        name: "minor",
        steps: [0, 2, 3, 5, 7, 8, 10],
        progressions: &[
            &[0, 5, 2, 6],
            &[0, 3, 6, 2],
            &[0, 6, 5, 4],
            &[0, 3, 0, 4],
            &[0, 5, 3, 4],
            &[5, 6, 0, 0],
            &[0, 2, 6, 3],
        ],
    },
    Mode {
        name: "dorian",
        steps: [0, 2, 3, 5, 7, 9, 10],
        progressions: &[&[0, 3, 0, 3], &[0, 2, 3, 0], &[0, 6, 3, 0], &[0, 1, 2, 3]],
    },
    Mode {
        name: "mixolydian",
        steps: [0, 2, 4, 5, 7, 9, 10],
        progressions: &[&[0, 6, 3, 0], &[0, 4, 6, 3], &[0, 3, 6, 0], &[5, 3, 0, 6]],
    },
];

impl Key {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let mode = match random.uniform() {
            x if x < 0.4 => 0,
            x if x < 0.8 => 1,
            x if x < 0.9 => 2,
            _ => 3,
        };
        Self { tonic: random.below(12) as i32, mode: &MODES[mode] }
    }

    /// For example "F# minor".
    pub(crate) fn name(&self) -> String {
        let notes = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"];
        format!("{} {}", notes[self.tonic as usize], self.mode.name)
    }

    /// The pitch that is `degree` scale steps above the tonic of MIDI octave 0. `degree` may be negative.
    pub(crate) fn pitch(&self, degree: i32) -> i32 {
        self.tonic + self.mode.steps[degree.rem_euclid(7) as usize] + 12 * degree.div_euclid(7)
    }

    /// The scale degree of a pitch, or of the next lower pitch on the scale. The inverse of [`Key::pitch`].
    pub(crate) fn degree(&self, pitch: i32) -> i32 {
        let above = (pitch - self.tonic).rem_euclid(12);
        let octave = (pitch - self.tonic).div_euclid(12);
        let step = self.mode.steps.iter().rposition(|&s| s <= above).unwrap_or(0);
        7 * octave + step as i32
    }

    /// Draws a progression. `colour`, from 0 to 1, is the probability of a seventh in each chord, and
    /// scales that of a suspended fourth.
    pub(crate) fn progression(&self, colour: f64, random: &mut Random) -> Vec<Chord> {
        let degrees = random.pick(self.mode.progressions);
        // The dominant of a minor key may have the leading note.
        let leading = self.mode.name == "minor" && random.chance(0.6);
        degrees
            .iter()
            .map(|&degree| {
                let size = if random.chance(colour) { 4 } else { 3 };
                let third = if random.chance(0.15 * colour) { 3 } else { 2 };
                let mut classes: Vec<i32> = [0, third, 4, 6][..size]
                    .iter()
                    .map(|&above| self.pitch(degree as i32 + above).rem_euclid(12))
                    .collect();
                if leading && degree == 4 && third == 2 {
                    classes[1] = (classes[0] + 4) % 12;
                }
                Chord { classes }
            })
            .collect()
    }
}

/// A chord as pitch classes. The root is the first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chord {
    pub(crate) classes: Vec<i32>,
}

impl Chord {
    pub(crate) fn root(&self) -> i32 {
        self.classes[0]
    }

    pub(crate) fn holds(&self, pitch: i32) -> bool {
        self.classes.contains(&pitch.rem_euclid(12))
    }

    /// The chord note nearest to `pitch`.
    pub(crate) fn nearest(&self, pitch: i32) -> i32 {
        (0..12)
            .flat_map(|d| [pitch - d, pitch + d])
            .find(|&p| self.holds(p))
            .expect("every chord has a note in each octave")
    }
}

/// Voice leading: the voicing of `chord` with the least movement from `previous` and a mean near `centre`. It has one
/// note for each pitch class, in ascending order.
pub(crate) fn lead(chord: &Chord, previous: Option<&[i32]>, centre: i32) -> Vec<i32> {
    let mut best: Option<(f64, Vec<i32>)> = None;
    for turn in 0..chord.classes.len() {
        for open in [false, true] {
            for octave in -2..=1 {
                let mut notes: Vec<i32> = Vec::with_capacity(chord.classes.len());
                for i in 0..chord.classes.len() {
                    let class = chord.classes[(turn + i) % chord.classes.len()];
                    let floor = notes.last().map_or(centre + 12 * octave, |&n| n + 1);
                    notes.push(floor + (class - floor).rem_euclid(12));
                }
                if open {
                    // Drop 2: the second note from the top moves down an octave.
                    let second = notes.len() - 2;
                    notes[second] -= 12;
                    notes.sort_unstable();
                }
                let mean = notes.iter().sum::<i32>() as f64 / notes.len() as f64;
                let strain = (mean - f64::from(centre)).abs();
                let movement: i32 = previous.map_or(0, |p| {
                    notes.iter().map(|n| p.iter().map(|q| (n - q).abs()).min().unwrap_or(0)).sum()
                });
                let cost = f64::from(movement) + 0.6 * strain + if open { 0.5 } else { 0.0 };
                if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                    best = Some((cost, notes));
                }
            }
        }
    }
    best.expect("there is always a voicing").1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_and_pitches_are_inverse() {
        let mut random = Random::new(3, 0, 0);
        for _ in 0..20 {
            let key = Key::draw(&mut random);
            for degree in 20..60 {
                assert_eq!(key.degree(key.pitch(degree)), degree);
                assert!(key.pitch(degree + 1) > key.pitch(degree));
            }
        }
    }

    #[test]
    fn voice_leading_moves_little_and_stays_in_range() {
        let mut random = Random::new(4, 0, 0);
        for _ in 0..40 {
            let key = Key::draw(&mut random);
            let chords = key.progression(0.5, &mut random);
            let mut previous: Option<Vec<i32>> = None;
            for chord in chords.iter().cycle().take(12) {
                let notes = lead(chord, previous.as_deref(), 60);
                assert!(notes.is_sorted() && notes.iter().all(|n| chord.holds(*n)));
                assert!(chord.classes.iter().all(|c| notes.iter().any(|n| n.rem_euclid(12) == *c)));
                assert!(notes.iter().all(|n| (42..=78).contains(n)), "{notes:?}");
                if let Some(old) = &previous {
                    let moved = notes.iter().zip(old).map(|(a, b)| (a - b).abs()).sum::<i32>();
                    assert!(moved <= 7 * notes.len() as i32, "{old:?} → {notes:?}");
                }
                previous = Some(notes);
            }
        }
    }
}
