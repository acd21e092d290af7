//! Separates whole songs and scores them against their stems block by block. Memory does not grow with the song.

use crate::data::dataset::{DataError, Dataset, Grouping, TrackBlock};
use crate::run::events::{Event, Flow, Listener};
use crate::score::ensemble::Ensemble;
use crate::score::evaluation::{Evaluation, SongScores};
use crate::score::metrics::SongScore;
use std::collections::VecDeque;
use unbraid_base::Stereo;
use unbraid_model::{Network, SeparateError, SeparatorOptions};

/// The reason why an evaluation failed.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The data set cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The network or its device failed.
    #[error("\"{song}\": {source}")]
    Separate {
        /// The song that was being separated.
        song: String,
        /// The failure.
        source: SeparateError,
    },
}

/// Separates the `tracks` (indices) of `dataset` with `model` and scores them. `None` if the listener stopped it.
///
/// The mixture is the track's own if the data set has one, otherwise the sum of the stems. `limit` is the maximum
/// scored length of each song, in seconds. The model should be without autodiff. Where only the sum of some stems is
/// known, the sum of their estimates is scored.
///
/// # Errors
/// If a file of a track cannot be read, or the network or its device fails.
pub fn evaluate(
    model: &Network,
    dataset: &dyn Dataset,
    tracks: &[usize],
    options: &SeparatorOptions,
    limit: Option<f64>,
    listener: &mut dyn Listener,
) -> Result<Option<Evaluation>, EvaluateError> {
    evaluate_ensemble(&Ensemble::single(model, *options), dataset, tracks, limit, listener)
}

/// Like [`evaluate`], with several models. `dataset` has the stems of `ensemble`.
///
/// # Errors
/// Those of [`evaluate`].
pub fn evaluate_ensemble(
    ensemble: &Ensemble,
    dataset: &dyn Dataset,
    tracks: &[usize],
    limit: Option<f64>,
    listener: &mut dyn Listener,
) -> Result<Option<Evaluation>, EvaluateError> {
    let mut songs = Vec::with_capacity(tracks.len());
    for (done, &track) in tracks.iter().enumerate() {
        let event = Event::Song { name: &dataset.tracks()[track].name, done, total: tracks.len() };
        if listener.event(&event) == Flow::Stop {
            return Ok(None);
        }
        songs.push(song(ensemble, dataset, track, limit)?);
    }
    Ok(Some(Evaluation::of(songs)))
}

fn song(
    ensemble: &Ensemble,
    dataset: &dyn Dataset,
    track: usize,
    limit: Option<f64>,
) -> Result<SongScores, EvaluateError> {
    let (stems, rate) = (ensemble.stems(), ensemble.sample_rate());
    let info = &dataset.tracks()[track];
    let frames = limit.map_or(info.frames, |s| info.frames.min((s * f64::from(rate)) as u64)) as usize;
    let failed = |source| EvaluateError::Separate { song: info.name.clone(), source };

    let mut reader = dataset.open(track)?;
    let mut separation = ensemble.start().map_err(failed)?;
    let mut waiting = Waiting::new(dataset.grouping(track));
    let mut read = 0;
    while read < frames {
        let block = (frames - read).min(rate as usize);
        let TrackBlock { mixture, stems: references } = reader.read(block)?;
        read += block;
        let estimates = separation.push(&mixture).map_err(failed)?;
        waiting.push(&references, &mixture);
        waiting.score(&estimates, rate);
    }
    let estimates = separation.finish().map_err(failed)?;
    waiting.score(&estimates, rate);
    assert!(waiting.signals[0][0].is_empty(), "a separator returns as many samples as it received");
    let score = waiting.score.expect("`finish` was scored above");
    let seconds = score.frames() as f64 / f64::from(rate);
    let names = waiting.grouping.sources().map(|first| waiting.grouping.name(first, stems));
    Ok(SongScores::of(info.name.clone(), seconds, names, &score))
}

/// References and mixture whose estimates are not finished. Their length is the separator's latency.
struct Waiting {
    grouping: Grouping,
    /// The sources, then the mixture. Left and right each.
    signals: Vec<[VecDeque<f32>; 2]>,
    score: Option<SongScore>,
}

impl Waiting {
    fn new(grouping: Grouping) -> Self {
        let sources = grouping.sources().count();
        Self { grouping, signals: vec![Default::default(); sources + 1], score: None }
    }

    fn push(&mut self, references: &[Stereo], mixture: &Stereo) {
        let references = self.grouping.sources().map(|first| &references[first]);
        for (queue, signal) in self.signals.iter_mut().zip(references.chain([mixture])) {
            for (queue, channel) in queue.iter_mut().zip(signal) {
                queue.extend(channel);
            }
        }
    }

    /// Scores the finished estimates of the stems. Cuts what the separator's padding adds beyond the references.
    fn score(&mut self, estimates: &[Stereo], rate: u32) {
        let sources = self.signals.len() - 1;
        let score = self.score.get_or_insert_with(|| SongScore::new(sources, rate));
        let Some(first) = estimates.first() else { return };
        let frames = first[0].len().min(self.signals[0][0].len());
        let mut signals: Vec<Stereo> = Vec::with_capacity(sources + 1);
        for queue in &mut self.signals {
            signals.push(queue.each_mut().map(|queue| queue.drain(..frames).collect()));
        }
        let (references, mixture) = signals.split_at(sources);
        let cut: Vec<Stereo> = estimates.iter().map(|e| e.each_ref().map(|c| c[..frames].to_vec())).collect();
        score.push(references, &self.grouping.sums(&cut), &mixture[0]);
    }
}
