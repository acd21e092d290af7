//! The score of a song: tempo, metre, swing, form, instrumentation and chords.
//!
//! Times are in beats from the start of the song. [`Score::seconds`] converts them to seconds.

use unbraid_effects::random::Random;

use crate::harmony::{Chord, Key};

/// The function of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Intro,
    Verse,
    Chorus,
    Break,
}

/// A section of the song and its instrumentation.
#[derive(Clone)]
pub(crate) struct Section {
    pub(crate) kind: Kind,
    pub(crate) bars: usize,
    /// Density of the drums, from 0 (none) to 1.
    pub(crate) drums: f64,
    pub(crate) bass: bool,
    pub(crate) voice: bool,
    pub(crate) comping: bool,
    pub(crate) pad: bool,
    pub(crate) arpeggio: bool,
    pub(crate) lead: bool,
}

/// One bar and its chords.
pub(crate) struct Bar {
    /// Beats from the start of the song.
    pub(crate) start: f64,
    pub(crate) section: usize,
    /// Number of bars of its section before this one.
    pub(crate) since: usize,
    /// Number of bars of its section after this one.
    pub(crate) left: usize,
    /// Chords, each with its beat from the bar's start.
    pub(crate) chords: Vec<(f64, Chord)>,
}

/// The score of a song.
pub(crate) struct Score {
    /// Beats per minute.
    pub(crate) tempo: f64,
    pub(crate) key: Key,
    pub(crate) beats_per_bar: usize,
    /// Position of the second note of a swung pair: 0.5 is straight, 0.66 a triplet.
    swing: f64,
    /// Length of a swung pair in beats: 1 for eighths, ½ for sixteenths.
    swing_pair: f64,
    /// Seconds before the first beat.
    lead_in: f64,
    pub(crate) sections: Vec<Section>,
    pub(crate) bars: Vec<Bar>,
}

impl Score {
    /// Composes a song of at least `seconds`.
    pub(crate) fn write(seconds: f64, random: &mut Random) -> Self {
        let tempo = random.range(70.0, 160.0);
        let key = Key::draw(random);
        let beats_per_bar = if random.chance(0.15) { 3 } else { 4 };
        let swing = if random.chance(0.35) { random.range(0.54, 0.66) } else { 0.5 };
        let swing_pair = if tempo < 100.0 && random.chance(0.6) { 0.5 } else { 1.0 };
        let lead_in = random.range(0.02, 0.15);

        let bars = (seconds * tempo / 60.0 / beats_per_bar as f64).ceil().max(1.0) as usize;
        let sections = form(bars, random);
        // Verse and chorus each have a progression. The intro uses the verse's, the break the chorus'.
        let colour = random.uniform();
        let verse = key.progression(colour, random);
        let chorus = key.progression(colour, random);
        let quick = random.chance(0.25);
        let slow = !quick && random.chance(0.2);
        let mut score =
            Self { tempo, key, beats_per_bar, swing, swing_pair, lead_in, sections, bars: Vec::new() };
        for index in 0..score.sections.len() {
            let section = &score.sections[index];
            let chords = match section.kind {
                Kind::Chorus | Kind::Break => &chorus,
                Kind::Intro | Kind::Verse => &verse,
            };
            for since in 0..section.bars {
                let chord = |slot: usize| chords[slot % chords.len()].clone();
                let inside = if quick {
                    let half = (beats_per_bar / 2) as f64;
                    vec![(0.0, chord(2 * since)), (half, chord(2 * since + 1))]
                } else {
                    vec![(0.0, chord(if slow { since / 2 } else { since }))]
                };
                let start = (score.bars.len() * beats_per_bar) as f64;
                let left = section.bars - 1 - since;
                score.bars.push(Bar { start, section: index, since, left, chords: inside });
            }
        }
        score
    }

    /// Converts a time from beats to seconds. Swing warps the time within each pair.
    pub(crate) fn seconds(&self, beat: f64) -> f64 {
        let pair = (beat / self.swing_pair).floor();
        let inside = beat / self.swing_pair - pair;
        let warped = if inside < 0.5 {
            inside * 2.0 * self.swing
        } else {
            self.swing + (inside - 0.5) * 2.0 * (1.0 - self.swing)
        };
        self.lead_in + (pair + warped) * self.swing_pair * 60.0 / self.tempo
    }

    pub(crate) fn section(&self, bar: &Bar) -> &Section {
        &self.sections[bar.section]
    }

    /// The chord at a beat. After the end of the song it is the last chord.
    pub(crate) fn chord(&self, beat: f64) -> &Chord {
        let index = ((beat.max(0.0) / self.beats_per_bar as f64) as usize).min(self.bars.len() - 1);
        let bar = &self.bars[index];
        let inside = beat - bar.start;
        let (_, chord) =
            bar.chords.iter().rev().find(|(enters, _)| *enters <= inside + 1e-9).unwrap_or(&bar.chords[0]);
        chord
    }
}

/// Divides the bars into sections. Every stem plays in at least half of the song.
fn form(bars: usize, random: &mut Random) -> Vec<Section> {
    let part = match bars {
        0..8 => 2,
        8..40 => 4,
        _ => 8,
    };
    let parts = bars.div_ceil(part);
    let kinds: Vec<Kind> = match parts {
        1 => vec![Kind::Chorus],
        2 => vec![Kind::Verse, Kind::Chorus],
        3 => vec![Kind::Verse, Kind::Chorus, random.pick(&[Kind::Break, Kind::Verse])],
        _ => {
            let mut kinds = if random.chance(0.7) { vec![Kind::Intro] } else { Vec::new() };
            let round = [Kind::Verse, Kind::Chorus, Kind::Verse, Kind::Chorus, Kind::Break, Kind::Chorus];
            let enters = if random.chance(0.25) { 1 } else { 0 };
            kinds.extend(round.iter().cycle().skip(enters).take(parts - kinds.len()));
            kinds
        }
    };
    let mut left = bars;
    let mut sections = Vec::with_capacity(parts);
    let (pad, arpeggio, comping) = (random.chance(0.65), random.chance(0.45), random.chance(0.85));
    for kind in kinds {
        let bars = part.min(left);
        left -= bars;
        let mut section = Section {
            kind,
            bars,
            drums: 1.0,
            bass: true,
            voice: true,
            comping: true,
            pad,
            arpeggio: arpeggio || !pad,
            lead: false,
        };
        match kind {
            Kind::Intro => {
                section.voice = false;
                section.drums = random.pick(&[0.0, 0.3, 1.0]);
                section.bass = random.chance(0.6);
                section.lead = random.chance(0.6);
                section.comping = comping || !section.lead;
            }
            Kind::Verse => {
                section.drums = random.range(0.5, 0.8);
                section.comping = comping;
                section.pad = pad && (!comping || random.chance(0.4));
                section.arpeggio = (arpeggio && random.chance(0.5)) || (!comping && !section.pad);
            }
            Kind::Chorus => section.lead = random.chance(0.25),
            Kind::Break => match random.below(3) {
                0 => {
                    section.drums = 0.0;
                    section.comping = random.chance(0.5);
                    section.pad = true;
                }
                1 => {
                    section.bass = false;
                    section.drums = 0.5;
                }
                _ => {
                    section.voice = false;
                    section.lead = true;
                }
            },
        }
        sections.push(section);
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_covers_its_length_and_every_stem_plays() {
        for index in 0..60 {
            for seconds in [0.5, 6.0, 30.0, 240.0] {
                let score = Score::write(seconds, &mut Random::new(9, index, 0));
                let end = score.seconds((score.bars.len() * score.beats_per_bar) as f64);
                assert!(end >= seconds, "{end} of {seconds}");
                assert_eq!(score.sections.iter().map(|s| s.bars).sum::<usize>(), score.bars.len());
                let share = |plays: &dyn Fn(&Section) -> bool| {
                    let bars: usize = score.sections.iter().filter(|s| plays(s)).map(|s| s.bars).sum();
                    bars as f64 / score.bars.len() as f64
                };
                for heard in [
                    share(&|s| s.drums > 0.0),
                    share(&|s| s.bass),
                    share(&|s| s.voice),
                    share(&|s| s.comping || s.pad || s.arpeggio || s.lead),
                ] {
                    assert!(heard >= 0.5, "a stem plays in {heard} of the song");
                }
            }
        }
    }

    #[test]
    fn swing_is_monotonic_and_keeps_whole_beats() {
        for index in 0..20 {
            let score = Score::write(20.0, &mut Random::new(2, index, 0));
            let beat = 60.0 / score.tempo;
            for k in 0..160 {
                let (now, next) = (score.seconds(f64::from(k) / 8.0), score.seconds(f64::from(k + 1) / 8.0));
                assert!(next > now);
                let whole = score.seconds(f64::from(k)) - score.seconds(0.0);
                assert!((whole - f64::from(k) * beat).abs() < 1e-9, "swing moves a whole beat");
            }
        }
    }
}
