//! The scores of songs and their summary. A stem has scores in the songs in which it sounds, and a leak in the others.

use crate::data::grouping::JOIN;
use crate::score::metrics::{Score, SongScore, StemScores, mean, median};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Scores of one song.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SongScores {
    /// The track's name.
    pub name: String,
    /// Length that was scored, in seconds.
    pub seconds: f64,
    /// Scores of the stems that sound in the song.
    pub stems: BTreeMap<String, StemScores>,
    /// Leak of the stems that are silent in the song: the energy of the estimate relative to that of the mixture, dB.
    /// `None` if the mixture is silent too.
    pub silent: BTreeMap<String, Option<f64>>,
}

impl SongScores {
    /// The scores of a song from its sums. `stems` has their order.
    pub(crate) fn of(
        name: String,
        seconds: f64,
        stems: impl IntoIterator<Item = String>,
        sums: &SongScore,
    ) -> Self {
        let mut scores = Self { name, seconds, ..Default::default() };
        for (stem, score) in stems.into_iter().zip(sums.finish()) {
            match score {
                Score::Sounding(sounding) => drop(scores.stems.insert(stem, sounding)),
                Score::Silent { leak } => drop(scores.silent.insert(stem, leak)),
            }
        }
        scores
    }
}

/// The songs in which a stem is silent. They are not part of the stem's scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SilentSongs {
    /// Number of these songs.
    pub songs: usize,
    /// Mean of their leaks: the energy of the estimate relative to that of the mixture, dB. `None` if the mixtures are
    /// silent too.
    pub leak: Option<f64>,
}

/// Scores of a set of songs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Every song.
    pub songs: Vec<SongScores>,
    /// Per stem over the songs in which it sounds: mean uSDR and SI-SDR, median cSDR (as museval reports them). A stem
    /// that is silent in every song is absent. The sum of stems that are not known on their own has its own scores, under
    /// their names (`bass+other`).
    pub stems: BTreeMap<String, StemScores>,
    /// The stems that are silent in some song.
    pub silent: BTreeMap<String, SilentSongs>,
    /// Mean over the stems' uSDR, dB. A sum counts like a stem if one of its stems has no score of its own; otherwise it
    /// does not count. `None` if every stem is silent in every song.
    pub usdr: Option<f64>,
    /// Mean over the stems' cSDR, dB.
    pub csdr: Option<f64>,
    /// Mean over the stems' SI-SDR, dB.
    pub si_sdr: Option<f64>,
    /// Mean over the stems' uSDR of the mixture scaled by its best constant, dB.
    pub baseline_usdr: Option<f64>,
}

impl Evaluation {
    /// Summarises songs (at least one).
    pub(crate) fn of(songs: Vec<SongScores>) -> Self {
        let (mut stems, mut silent) = (BTreeMap::new(), BTreeMap::new());
        for name in songs.iter().flat_map(|song| song.stems.keys()) {
            let of = |f: &dyn Fn(&StemScores) -> Option<f64>| -> Vec<f64> {
                songs.iter().filter_map(|song| song.stems.get(name).and_then(f)).collect()
            };
            let average = |f: &dyn Fn(&StemScores) -> Option<f64>| mean(of(f));
            let scores = StemScores {
                usdr: average(&|s| Some(s.usdr)).expect("the stem sounds in a song"),
                csdr: median(of(&|s| s.csdr)),
                si_sdr: average(&|s| s.si_sdr),
                baseline_usdr: average(&|s| Some(s.baseline_usdr)).expect("the stem sounds in a song"),
            };
            stems.insert(name.clone(), scores);
        }
        for name in songs.iter().flat_map(|song| song.silent.keys()) {
            let leaks: Vec<Option<f64>> =
                songs.iter().filter_map(|song| song.silent.get(name)).copied().collect();
            let songs = leaks.len();
            silent.insert(name.clone(), SilentSongs { songs, leak: mean(leaks.into_iter().flatten()) });
        }
        let counted = counted(&stems);
        let over_stems =
            |f: &dyn Fn(&StemScores) -> Option<f64>| mean(counted.iter().filter_map(|name| f(&stems[*name])));
        let [usdr, csdr, si_sdr, baseline_usdr] = [
            over_stems(&|s| Some(s.usdr)),
            over_stems(&|s| s.csdr),
            over_stems(&|s| s.si_sdr),
            over_stems(&|s| Some(s.baseline_usdr)),
        ];
        Self { songs, stems, silent, usdr, csdr, si_sdr, baseline_usdr }
    }
}

/// The names that count in the averages over stems: every stem, and the sums of which a stem has no score of its own.
pub(crate) fn counted<T>(stems: &BTreeMap<String, T>) -> Vec<&String> {
    let counts =
        |name: &&String| !name.contains(JOIN) || name.split(JOIN).any(|stem| !stems.contains_key(stem));
    stems.keys().filter(counts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(usdr: f64) -> StemScores {
        StemScores { usdr, csdr: Some(usdr), si_sdr: Some(usdr), baseline_usdr: 0.0 }
    }

    fn song(stems: &[(&str, f64)], silent: &[(&str, Option<f64>)]) -> SongScores {
        SongScores {
            stems: stems.iter().map(|&(name, usdr)| (name.into(), scores(usdr))).collect(),
            silent: silent.iter().map(|&(name, leak)| (name.into(), leak)).collect(),
            ..Default::default()
        }
    }

    /// An instrumental among two songs changes no mean of the vocals.
    #[test]
    fn silent_stems_are_no_part_of_the_means() {
        let evaluation = Evaluation::of(vec![
            song(&[("drums", 4.0), ("vocals", 6.0)], &[]),
            song(&[("drums", 2.0)], &[("vocals", Some(-20.0))]),
            song(&[], &[("drums", None), ("vocals", None)]),
        ]);
        assert_eq!((evaluation.stems["drums"].usdr, evaluation.stems["vocals"].usdr), (3.0, 6.0));
        assert_eq!((evaluation.usdr, evaluation.baseline_usdr), (Some(4.5), Some(0.0)));
        assert_eq!(evaluation.silent["vocals"], SilentSongs { songs: 2, leak: Some(-20.0) });
        assert_eq!(evaluation.silent["drums"], SilentSongs { songs: 1, leak: None });
    }

    #[test]
    fn a_sum_counts_only_if_its_stems_have_no_scores() {
        let joined = || song(&[("drums", 2.0), ("bass+other", 8.0)], &[]);
        let evaluation = Evaluation::of(vec![joined(), song(&[("drums", 4.0)], &[])]);
        assert_eq!((evaluation.stems["bass+other"].usdr, evaluation.usdr), (8.0, Some(5.5)));
        let whole = song(&[("drums", 4.0), ("bass", 6.0), ("other", 2.0)], &[]);
        let evaluation = Evaluation::of(vec![joined(), whole]);
        assert_eq!((evaluation.stems["bass"].usdr, evaluation.stems["bass+other"].usdr), (6.0, 8.0));
        assert_eq!(evaluation.usdr, Some((3.0 + 6.0 + 2.0) / 3.0));
    }

    #[test]
    fn a_stem_that_sounds_in_no_song_has_no_score() {
        let evaluation = Evaluation::of(vec![song(&[("drums", 4.0)], &[("vocals", Some(-30.0))])]);
        assert!(!evaluation.stems.contains_key("vocals") && evaluation.silent.contains_key("vocals"));
        assert_eq!(evaluation.usdr, Some(4.0));
        let silent = Evaluation::of(vec![song(&[], &[("drums", None)])]);
        assert_eq!((silent.usdr, silent.baseline_usdr), (None, None));
        let json = serde_json::to_string(&silent).unwrap();
        assert_eq!(serde_json::from_str::<Evaluation>(&json).unwrap(), silent);
    }
}
