//! Excerpts of a data set: of whole songs, and of single sources for segments that remix several songs.

use crate::data::dataset::{DataError, Dataset, Excerpt, Grouping, Series};
use crate::data::index::Levels;
use crate::data::places::{Places, Wanted};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use unbraid_base::Stereo;

/// What excerpts are drawn from.
#[derive(Clone)]
pub(crate) struct Excerpts {
    dataset: Arc<dyn Dataset>,
    /// Each grouping of the songs, with the weight of its songs and of those before it.
    groupings: Vec<(Grouping, f64)>,
    /// Where an excerpt of all stems may begin.
    songs: Part,
    /// Where an excerpt of a source may begin, by the source's stems.
    sources: BTreeMap<Vec<usize>, Part>,
    /// Songs without end, with the weight of each and of those before it.
    series: Vec<(Arc<dyn Series>, f64)>,
    /// The least mean absolute sample.
    level: f32,
}

/// The songs of the data set that an excerpt may come from.
#[derive(Clone, Default)]
struct Part {
    /// `None` if there is no such song.
    places: Option<Places>,
    /// Their weight.
    weight: f64,
}

impl Excerpts {
    /// Excerpts of `tracks` of `dataset`, of which the levels are known. There is a track or a series.
    pub(crate) fn new(dataset: Arc<dyn Dataset>, tracks: &[usize], levels: &Levels, wanted: Wanted) -> Self {
        let stems = dataset.stems();
        let weight = |track: usize| dataset.weight(track) * dataset.tracks()[track].frames.max(1) as f64;
        let part = |tracks: &[usize], stems: Range<usize>| {
            let places = |tracks| Places::of(&*dataset, tracks, levels, stems, wanted);
            Part {
                weight: tracks.iter().map(|&track| weight(track)).sum(),
                places: (!tracks.is_empty()).then(|| places(tracks)),
            }
        };
        let songs = part(tracks, 0..stems);
        let made = dataset.series();
        let share: f64 = made.iter().map(|series| series.share()).sum();
        // Folders have the rest of the shares. Without folders, only the ratios of the shares count.
        let whole = if tracks.is_empty() { 1.0 } else { songs.weight / (1.0 - share) };
        let mut of_series = 0.0;
        let series = made.into_iter().map(|series| {
            of_series += whole * series.share();
            (series, of_series)
        });
        let series: Vec<_> = series.collect();

        let mut by_source: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
        let mut by_grouping: BTreeMap<Grouping, f64> = BTreeMap::new();
        for &track in tracks {
            let grouping = dataset.grouping(track);
            for first in grouping.sources() {
                by_source.entry(grouping.members(first).collect()).or_default().push(track);
            }
            *by_grouping.entry(grouping).or_default() += weight(track);
        }
        if of_series > 0.0 {
            *by_grouping.entry(Grouping::separate(stems)).or_default() += of_series;
            for stem in 0..stems {
                by_source.entry(vec![stem]).or_default();
            }
        }
        let mut sum = 0.0;
        let groupings = by_grouping.into_iter().map(|(grouping, weight)| {
            sum += weight;
            (grouping, sum)
        });
        let groupings = groupings.collect();
        let source = |(stems, tracks): (Vec<usize>, Vec<usize>)| {
            let first = stems[0];
            (stems, part(&tracks, first..first + 1))
        };
        let sources = by_source.into_iter().map(source).collect();
        Self { dataset, groupings, songs, sources, series, level: wanted.level }
    }

    /// Number of stems.
    pub(crate) fn stems(&self) -> usize {
        self.dataset.stems()
    }

    /// The grouping of a song, drawn by the length of the songs that have it.
    pub(crate) fn grouping(&self, rng: &mut ChaCha8Rng) -> Grouping {
        let [.., (last, total)] = &self.groupings[..] else { return Grouping::separate(self.stems()) };
        if self.groupings.len() == 1 {
            return last.clone();
        }
        let at = rng.random_range(0.0..*total);
        let found = self.groupings.iter().find(|(_, end)| at < *end);
        found.map_or(last, |(grouping, _)| grouping).clone()
    }

    /// `samples` of all sources of one song, from a random place at which their sum is loud enough, for segment `k`.
    ///
    /// A single source may be silent there: the model also has to learn that a stem is absent.
    pub(crate) fn of_song(
        &self,
        rng: &mut ChaCha8Rng,
        k: u64,
        samples: usize,
    ) -> Result<(Grouping, Vec<Stereo>), DataError> {
        let stems = self.stems();
        if let Some(series) = self.series(rng, &self.songs) {
            let excerpt = self.made(rng, series, k, 0..stems, samples)?;
            return Ok((Grouping::separate(stems), excerpt));
        }
        let (track, start) = self.place(rng, &self.songs, samples);
        let grouping = self.dataset.grouping(track);
        let read = |first| self.dataset.read(track, first, start, samples);
        let excerpt = grouping.sources().map(read).collect::<Result<_, _>>()?;
        Ok((grouping, excerpt))
    }

    /// `samples` of the source with these stems, from a random place at which it is loud enough, for segment `k`.
    pub(crate) fn of_source(
        &self,
        rng: &mut ChaCha8Rng,
        k: u64,
        stems: &[usize],
        samples: usize,
    ) -> Result<Stereo, DataError> {
        let (part, first) = (&self.sources[stems], stems[0]);
        let series = if stems.len() == 1 { self.series(rng, part) } else { None };
        if let Some(series) = series {
            let excerpt = self.made(rng, series, k, first..first + 1, samples)?;
            return Ok(excerpt.into_iter().next().unwrap_or_default());
        }
        let (track, start) = self.place(rng, part, samples);
        self.dataset.read(track, first, start, samples)
    }

    /// The series that an excerpt comes from. `None` if it comes from a song of `part`.
    fn series(&self, rng: &mut ChaCha8Rng, part: &Part) -> Option<&dyn Series> {
        let (last, of_series) = self.series.last()?;
        let at = rng.random_range(0.0..part.weight + of_series);
        if at >= *of_series && part.places.is_some() {
            return None;
        }
        Some(&**self.series.iter().find(|(_, end)| at < *end).map_or(last, |(series, _)| series))
    }

    fn made(
        &self,
        rng: &mut ChaCha8Rng,
        series: &dyn Series,
        segment: u64,
        stems: Range<usize>,
        samples: usize,
    ) -> Result<Vec<Stereo>, DataError> {
        series.excerpt(&Excerpt { segment, random: rng.random(), stems, samples, level: self.level })
    }

    /// A track of `part`, and where an excerpt begins.
    fn place(&self, rng: &mut ChaCha8Rng, part: &Part, samples: usize) -> (usize, u64) {
        let places = part.places.as_ref().expect("a source of a song has the places of that song");
        let (track, start) = places.draw(rng);
        // A place is chosen for a segment. With another speed, more samples are read.
        let frames = self.dataset.tracks()[track].frames;
        (track, start.min(frames.saturating_sub(samples as u64)))
    }
}
