//! The song on paper: tempo, metre, swing, form, who plays where, and the chord of every moment.
//! Times are in beats from the start of the song until [`Score::seconds`] turns them into sound's time.

use crate::harmony::{Chord, Key};
use crate::math::Dice;

/// What a part of the song is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Intro,
    Verse,
    Chorus,
    Break,
}

/// A part of the song and who plays in it.
#[derive(Clone)]
pub(crate) struct Section {
    pub(crate) kind: Kind,
    pub(crate) bars: usize,
    /// 0 where the drummer rests, to 1 for everything there is.
    pub(crate) drums: f64,
    pub(crate) bass: bool,
    pub(crate) voice: bool,
    pub(crate) comping: bool,
    pub(crate) pad: bool,
    pub(crate) arpeggio: bool,
    pub(crate) lead: bool,
}

/// One bar, with its chords.
pub(crate) struct Bar {
    /// Beats from the start of the song.
    pub(crate) start: f64,
    pub(crate) section: usize,
    /// Bars since its section began, and until the section ends (0 in its last bar).
    pub(crate) since: usize,
    pub(crate) left: usize,
    /// Chords by the beat they enter, from the bar's start.
    pub(crate) chords: Vec<(f64, Chord)>,
}

/// The whole song on paper.
pub(crate) struct Score {
    /// Beats a minute.
    pub(crate) tempo: f64,
    pub(crate) key: Key,
    pub(crate) beats_per_bar: usize,
    /// Where the middle of each swung pair falls: 0.5 is straight, 0.66 a triplet.
    swing: f64,
    /// Beats a swung pair lasts: 1 swings eighths, ½ swings sixteenths.
    swing_pair: f64,
    /// Seconds before the first beat.
    lead_in: f64,
    pub(crate) sections: Vec<Section>,
    pub(crate) bars: Vec<Bar>,
}

impl Score {
    /// Writes a song of at least `seconds`.
    pub(crate) fn write(seconds: f64, dice: &mut Dice) -> Self {
        let tempo = dice.range(70.0, 160.0);
        let key = Key::draw(dice);
        let beats_per_bar = if dice.chance(0.15) { 3 } else { 4 };
        let swing = if dice.chance(0.35) { dice.range(0.54, 0.66) } else { 0.5 };
        let swing_pair = if tempo < 100.0 && dice.chance(0.6) { 0.5 } else { 1.0 };
        let lead_in = dice.range(0.02, 0.15);

        let bars = (seconds * tempo / 60.0 / beats_per_bar as f64).ceil().max(1.0) as usize;
        let sections = form(bars, dice);
        // Verses and choruses have their own progressions; intro and break borrow one of them.
        let colour = dice.unit();
        let verse = key.progression(colour, dice);
        let chorus = key.progression(colour, dice);
        let quick = dice.chance(0.25);
        let slow = !quick && dice.chance(0.2);
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

    /// When a moment given in beats is played, in seconds: swing bends the time inside each pair.
    pub(crate) fn seconds(&self, beat: f64) -> f64 {
        let pair = (beat / self.swing_pair).floor();
        let inside = beat / self.swing_pair - pair;
        let bent = if inside < 0.5 {
            inside * 2.0 * self.swing
        } else {
            self.swing + (inside - 0.5) * 2.0 * (1.0 - self.swing)
        };
        self.lead_in + (pair + bent) * self.swing_pair * 60.0 / self.tempo
    }

    pub(crate) fn section(&self, bar: &Bar) -> &Section {
        &self.sections[bar.section]
    }

    /// The chord that sounds at a beat; past the end, the last one.
    pub(crate) fn chord(&self, beat: f64) -> &Chord {
        let index = ((beat.max(0.0) / self.beats_per_bar as f64) as usize).min(self.bars.len() - 1);
        let bar = &self.bars[index];
        let inside = beat - bar.start;
        let (_, chord) =
            bar.chords.iter().rev().find(|(enters, _)| *enters <= inside + 1e-9).unwrap_or(&bar.chords[0]);
        chord
    }
}

/// Divides the bars into parts: always some of the song with everybody in, rests in between.
fn form(bars: usize, dice: &mut Dice) -> Vec<Section> {
    let part = match bars {
        0..8 => 2,
        8..40 => 4,
        _ => 8,
    };
    let parts = bars.div_ceil(part);
    let kinds: Vec<Kind> = match parts {
        1 => vec![Kind::Chorus],
        2 => vec![Kind::Verse, Kind::Chorus],
        3 => vec![Kind::Verse, Kind::Chorus, dice.pick(&[Kind::Break, Kind::Verse])],
        _ => {
            let mut kinds = if dice.chance(0.7) { vec![Kind::Intro] } else { Vec::new() };
            let round = [Kind::Verse, Kind::Chorus, Kind::Verse, Kind::Chorus, Kind::Break, Kind::Chorus];
            let enters = if dice.chance(0.25) { 1 } else { 0 };
            kinds.extend(round.iter().cycle().skip(enters).take(parts - kinds.len()));
            kinds
        }
    };
    let mut left = bars;
    let mut sections = Vec::with_capacity(parts);
    let (pad, arpeggio, comping) = (dice.chance(0.65), dice.chance(0.45), dice.chance(0.85));
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
                section.drums = dice.pick(&[0.0, 0.3, 1.0]);
                section.bass = dice.chance(0.6);
                section.lead = dice.chance(0.6);
                section.comping = comping || !section.lead;
            }
            Kind::Verse => {
                section.drums = dice.range(0.5, 0.8);
                section.comping = comping;
                section.pad = pad && (!comping || dice.chance(0.4));
                section.arpeggio = (arpeggio && dice.chance(0.5)) || (!comping && !section.pad);
            }
            Kind::Chorus => section.lead = dice.chance(0.25),
            Kind::Break => match dice.below(3) {
                0 => {
                    section.drums = 0.0;
                    section.comping = dice.chance(0.5);
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
    fn a_score_covers_its_length_and_everybody_plays() {
        for index in 0..60 {
            for seconds in [0.5, 6.0, 30.0, 240.0] {
                let score = Score::write(seconds, &mut Dice::new(9, index, 0));
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
                    assert!(heard >= 0.5, "someone plays {heard} of the song");
                }
            }
        }
    }

    #[test]
    fn swing_keeps_time_in_order() {
        for index in 0..20 {
            let score = Score::write(20.0, &mut Dice::new(2, index, 0));
            let beat = 60.0 / score.tempo;
            for k in 0..160 {
                let (now, next) = (score.seconds(f64::from(k) / 8.0), score.seconds(f64::from(k + 1) / 8.0));
                assert!(next > now);
                let whole = score.seconds(f64::from(k)) - score.seconds(0.0);
                assert!((whole - f64::from(k) * beat).abs() < 1e-9, "swing must leave the beat in place");
            }
        }
    }
}
