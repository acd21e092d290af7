//! Files that hold the same audio, also at another level or through another codec.

use crate::data::check::align::correlate;
use crate::data::check::meter::FLOOR;
use crate::data::check::report::{Fault, FaultKind};
use crate::data::check::song::{Checked, Measured};
use std::collections::BTreeMap;
use std::path::Path;

/// Largest difference of the levels of a second, dB, after that of the files is removed.
const SAME_LEVEL: f32 = 0.2;

/// Least correlation of the same audio. A codec at a low rate reaches it.
const SAME_AUDIO: f64 = 0.98;

/// Levels below this are not compared: a codec's noise changes them.
const QUIET: f32 = -60.0;

/// Seconds of the excerpt that confirms a likeness.
const EXCERPT: usize = 6;

/// The faults of pairs of songs, and of pairs of stems within a song. Mixtures are compared with mixtures only.
pub(super) fn find(songs: &[Checked], root: &Path) -> Vec<Fault> {
    let mut files: Vec<(usize, &Measured)> = Vec::new();
    for (index, song) in songs.iter().enumerate() {
        files.extend(song.files.iter().filter(|file| file.meter.peak > 1e-4).map(|file| (index, file)));
    }
    files.sort_by_key(|(index, file)| (file.meter.levels.len(), *index));
    let mut pairs: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
    for (i, &(first, a)) in files.iter().enumerate() {
        for &(second, b) in &files[i + 1..] {
            if b.meter.levels.len() > a.meter.levels.len() + 1 {
                break;
            }
            if a.stem.is_some() == b.stem.is_some() && same_levels(a, b) && same_audio(a, b) {
                let (x, y) = if first <= second { (a, b) } else { (b, a) };
                let text = format!("{} and {}", x.source.name(root), y.source.name(root));
                pairs.entry((first.min(second), first.max(second))).or_default().push(text);
            }
        }
    }
    let faults = pairs.into_iter().map(|((first, second), mut files)| {
        files.sort();
        let detail = format!("the same audio: {}", files.join("; "));
        let file = (first != second).then(|| songs[second].name.clone());
        Fault { kind: FaultKind::Duplicate, song: songs[first].name.clone(), file, detail }
    });
    faults.collect()
}

/// Whether the levels of all loud seconds differ by one constant.
fn same_levels(a: &Measured, b: &Measured) -> bool {
    let mut constant = None;
    // The last second may be shorter in one of them.
    let both = a.meter.levels.len().min(b.meter.levels.len()).saturating_sub(1).max(1);
    for (x, y) in a.meter.levels.iter().zip(&b.meter.levels).take(both) {
        if x.max(*y) <= QUIET {
            continue;
        }
        if x.min(*y) <= FLOOR {
            return false;
        }
        let difference = x - y;
        if (difference - *constant.get_or_insert(difference)).abs() > SAME_LEVEL {
            return false;
        }
    }
    constant.is_some()
}

/// Whether the loudest excerpts are the same but for a factor.
fn same_audio(a: &Measured, b: &Measured) -> bool {
    let levels = &a.meter.levels;
    let loudest = (0..levels.len()).max_by(|x, y| levels[*x].total_cmp(&levels[*y])).unwrap_or(0);
    let start = loudest.saturating_sub(EXCERPT / 2) as u64 * u64::from(a.rate);
    let read = |file: &Measured| file.source.read(start, EXCERPT * a.rate as usize, a.rate).ok();
    let (Some(x), Some(y)) = (read(a), read(b)) else { return false };
    correlate(&x, &y, 0).is_some_and(|peak| peak.at_zero.abs() > SAME_AUDIO)
}
