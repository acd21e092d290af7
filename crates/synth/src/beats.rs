//! The drum part: patterns, variations, fills, and small random deviations of timing and level.

use unbraid_effects::random::Random;
use unbraid_effects::room::Bus;

use crate::composition::{Bar, Kind, Score};
use crate::drums::{Drum, Kit};
use crate::dsp::fade_edges;

/// A stroke of the score.
struct Hit {
    beat: f64,
    drum: Drum,
    velocity: f64,
}

/// A pattern of sixteenths: X is an accent, x a stroke, g a ghost note, and ? an optional stroke.
#[derive(Clone, Copy)]
struct Style {
    kick: &'static [u8],
    snare: &'static [u8],
    /// Sixteenths between the strokes of the hi-hat.
    hats: usize,
    /// Strokes of the open hi-hat.
    open: &'static [u8],
}

const fn style(kick: &'static [u8], snare: &'static [u8], hats: usize, open: &'static [u8]) -> Style {
    Style { kick, snare, hats, open }
}

static IN_FOUR: [Style; 9] = [
    style(b"X.....x.X.?.....", b"....X.......X...", 2, b"..............?."),
    style(b"X...X...X...X...", b"....X.......X...", 2, b"..x...x...x...x."),
    style(b"X...X...X...X.?.", b"....x..?....x...", 1, b"..x...x...x...x."),
    style(b"X.....?...x..?..", b"........X.......", 2, b"..............?."),
    style(b"X..x..?...X..x..", b"....X..g.g..X..g", 1, b"..........?....."),
    style(b"X.......x.?.....", b"....x.......x...", 2, b"................"),
    style(b"x...x...X...x.?.", b"x...X...x...X...", 2, b"................"),
    style(b"X.x.......xx....", b"....X..g.g..X..g", 2, b"......?........."),
    style(b"X.....x...x..x..", b"........X.....?.", 1, b"................"),
];

static IN_THREE: [Style; 3] = [
    style(b"X.........?.", b"....x...x...", 2, b"............"),
    style(b"X.....?...x.", b"......X.....", 2, b"..........?."),
    style(b"X...?...x...", b"....X...X..g", 2, b"............"),
];

/// Renders the drums.
pub(crate) fn render(score: &Score, rate: f64, frames: usize, random: &mut Random) -> Bus {
    let kit = Kit::draw(rate, random);
    let mut bus = Bus::new(frames);
    let hits = strokes(score, random);
    let timing_deviation = random.range(0.001, 0.006);
    for (n, hit) in hits.iter().enumerate() {
        let at = (score.seconds(hit.beat) + timing_deviation * random.normal()).max(0.0);
        let velocity = (hit.velocity * (1.0 + 0.08 * random.normal())).clamp(0.05, 1.0);
        let mut sound = kit.strike(hit.drum, velocity, random);
        if hit.drum == Drum::Open {
            // An open hi-hat is closed before its next stroke.
            let closes = hits[n + 1..].iter().find(|h| matches!(h.drum, Drum::Closed | Drum::Open));
            if let Some(next) = closes.filter(|h| h.beat > hit.beat) {
                sound.truncate(((score.seconds(next.beat) - at).max(0.03) * rate) as usize);
                fade_edges(&mut sound, 0.0, 0.02, rate);
            }
        }
        bus.add((at * rate) as usize, &sound, 1.0, kit.position(hit.drum));
    }
    bus
}

/// Writes the strokes of the whole song, in order of time.
fn strokes(score: &Score, random: &mut Random) -> Vec<Hit> {
    let styles: &[Style] = if score.beats_per_bar == 4 { &IN_FOUR } else { &IN_THREE };
    let (verse, chorus) = (random.pick(styles), random.pick(styles));
    let backbeat = random.pick(&[Drum::Snare, Drum::Snare, Drum::Snare, Drum::Clap]);
    let quiet = if random.chance(0.3) { Drum::Rim } else { backbeat };
    let (ride, shaker) = (random.chance(0.3), random.chance(0.3));
    let fills = random.range(0.4, 1.0);
    let mut hits = Vec::new();
    for bar in &score.bars {
        let section = score.section(bar);
        if section.drums == 0.0 {
            continue;
        }
        let loud = section.kind == Kind::Chorus;
        let style = if loud { &chorus } else { &verse };
        let steps = style.kick.len();
        // A fill replaces the last beats of a section.
        let fill_from = if bar.left == 0 && section.drums > 0.4 && random.chance(fills) {
            steps - 4 * (1 + random.below(score.beats_per_bar - 1))
        } else {
            steps
        };
        let crash = bar.since == 0 && section.drums > 0.9 && random.chance(0.85);
        let mut hit = |step: usize, drum: Drum, velocity: f64| {
            hits.push(Hit { beat: bar.start + step as f64 / 4.0, drum, velocity });
        };
        if crash {
            hit(0, Drum::Crash, random.range(0.75, 1.0));
        }
        for step in 0..fill_from {
            if section.drums > 0.4 {
                if let Some(velocity) = velocity(style.kick[step], random) {
                    hit(step, Drum::Kick, velocity);
                }
                if let Some(velocity) = velocity(style.snare[step], random) {
                    hit(step, if loud { backbeat } else { quiet }, velocity);
                }
            }
            if shaker && step % 2 == 0 && !loud {
                hit(step, Drum::Shaker, if step % 4 == 0 { 0.5 } else { 0.75 });
            }
            let open = section.drums > 0.6 && velocity(style.open[step], random).is_some();
            if open {
                hit(step, Drum::Open, 0.75);
            } else if step % style.hats == 0 && !(crash && step == 0) {
                let accent = if step % 4 == 0 { 0.85 } else { 0.55 };
                hit(step, if ride && loud { Drum::Ride } else { Drum::Closed }, accent);
            }
        }
        fill(bar, fill_from, steps, &mut hits, random);
    }
    hits.sort_by(|a, b| a.beat.total_cmp(&b.beat));
    hits
}

/// A fill: from the snare down the toms, with a crescendo.
fn fill(bar: &Bar, from: usize, steps: usize, hits: &mut Vec<Hit>, random: &mut Random) {
    let dense = random.range(0.55, 1.0);
    let drums = [Drum::Snare, Drum::Tom(0), Drum::Tom(1), Drum::Tom(2)];
    let mut which = random.below(2);
    for step in from..steps {
        let through = (step - from + 1) as f64 / (steps - from) as f64;
        let beat = bar.start + step as f64 / 4.0;
        if (step - from).is_multiple_of(4) {
            hits.push(Hit { beat, drum: Drum::Kick, velocity: 0.7 });
        } else if !random.chance(dense) {
            continue;
        }
        hits.push(Hit { beat, drum: drums[which], velocity: 0.55 + 0.4 * through });
        if random.chance(0.4) {
            which = (which + 1).min(drums.len() - 1);
        }
    }
}

fn velocity(mark: u8, random: &mut Random) -> Option<f64> {
    match mark {
        b'X' => Some(0.95),
        b'x' => Some(0.75),
        b'g' => random.chance(0.7).then_some(0.25),
        b'?' => random.chance(0.45).then_some(0.65),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fill_their_bar() {
        for (styles, steps) in [(&IN_FOUR[..], 16), (&IN_THREE[..], 12)] {
            for style in styles {
                assert_eq!([style.kick.len(), style.snare.len(), style.open.len()], [steps; 3]);
                assert_eq!(style.kick[0].to_ascii_uppercase(), b'X', "a bar does not begin with the kick");
            }
        }
    }

    #[test]
    fn strokes_are_in_order_and_inside_the_song() {
        for index in 0..30 {
            let mut random = Random::new(8, index, 1);
            let score = Score::write(30.0, &mut random);
            let hits = strokes(&score, &mut random);
            let end = (score.bars.len() * score.beats_per_bar) as f64;
            assert!(hits.is_sorted_by(|a, b| a.beat <= b.beat));
            assert!(hits.iter().all(|h| h.beat >= 0.0 && h.beat < end && h.velocity > 0.0));
            for drum in [Drum::Kick, Drum::Closed] {
                let other = |d: Drum| d == drum || (drum == Drum::Closed && d == Drum::Ride);
                assert!(hits.iter().filter(|h| other(h.drum)).count() > 8, "{drum:?} is missing");
            }
        }
    }
}
