//! Whole songs through the separator, scored against their stems as they come out. Memory stays flat.

use crate::data::dataset::{DataError, Track};
use crate::run::events::{Event, Flow, Listener};
use crate::score::metrics::{SongScore, StemScores, mean, median};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use unbraid_audio::{AudioReader, Stereo};
use unbraid_model::{ModelConfig, Network, SeparateError, Separator, SeparatorOptions};

/// Why an evaluation failed.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A file of the data set.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The network or its device.
    #[error("\"{song}\": {source}")]
    Separate {
        /// The song being separated.
        song: String,
        /// What went wrong.
        source: SeparateError,
    },
}

/// Scores of one song.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SongScores {
    /// The track's name.
    pub name: String,
    /// Length that was scored.
    pub seconds: f64,
    /// Scores by stem.
    pub stems: BTreeMap<String, StemScores>,
}

/// Scores of a set of songs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Every song.
    pub songs: Vec<SongScores>,
    /// Per stem over the songs: mean uSDR and SI-SDR, median cSDR (as museval reports them).
    pub stems: BTreeMap<String, StemScores>,
    /// Mean over the stems' uSDR, dB.
    pub usdr: f64,
    /// Mean over the stems' cSDR, dB.
    pub csdr: Option<f64>,
    /// Mean over the stems' SI-SDR, dB.
    pub si_sdr: Option<f64>,
    /// Mean over the stems' uSDR of the mixture scaled by its best constant, dB.
    pub baseline_usdr: f64,
}

impl Evaluation {
    /// Summarises songs (at least one).
    pub fn of(songs: Vec<SongScores>) -> Self {
        let mut stems = BTreeMap::new();
        for name in songs.iter().flat_map(|song| song.stems.keys()) {
            let of = |f: &dyn Fn(&StemScores) -> Option<f64>| -> Vec<f64> {
                songs.iter().filter_map(|song| song.stems.get(name).and_then(f)).collect()
            };
            let average = |f: &dyn Fn(&StemScores) -> Option<f64>| mean(of(f));
            let scores = StemScores {
                usdr: average(&|s| Some(s.usdr)).expect("a song has this stem"),
                csdr: median(of(&|s| s.csdr)),
                si_sdr: average(&|s| s.si_sdr),
                baseline_usdr: average(&|s| Some(s.baseline_usdr)).expect("a song has this stem"),
            };
            stems.insert(name.clone(), scores);
        }
        let over_stems = |f: &dyn Fn(&StemScores) -> Option<f64>| mean(stems.values().filter_map(f));
        Self {
            usdr: over_stems(&|s| Some(s.usdr)).unwrap_or(f64::NAN),
            csdr: over_stems(&|s| s.csdr),
            si_sdr: over_stems(&|s| s.si_sdr),
            baseline_usdr: over_stems(&|s| Some(s.baseline_usdr)).unwrap_or(f64::NAN),
            stems,
            songs,
        }
    }
}

/// Separates every track with `model` and scores it; `None` if the listener stopped it.
///
/// The mixture is the track's own `mixture.wav` where it has one, else the sum of its stems. `limit`: at most
/// this many seconds of each song. The model is used as it is: give one without autodiff.
pub fn evaluate(
    model: &Network,
    tracks: &[Track],
    options: &SeparatorOptions,
    limit: Option<f64>,
    listener: &mut dyn Listener,
) -> Result<Option<Evaluation>, EvaluateError> {
    let mut songs = Vec::with_capacity(tracks.len());
    for (done, track) in tracks.iter().enumerate() {
        let event = Event::Song { name: &track.name, done, total: tracks.len() };
        if listener.event(&event) == Flow::Stop {
            return Ok(None);
        }
        songs.push(song(model, track, options, limit)?);
    }
    Ok(Some(Evaluation::of(songs)))
}

fn song(
    model: &Network,
    track: &Track,
    options: &SeparatorOptions,
    limit: Option<f64>,
) -> Result<SongScores, EvaluateError> {
    let ModelConfig { stems, sample_rate: rate, .. } = model.config();
    let frames = limit.map_or(track.frames, |s| track.frames.min((s * f64::from(rate)) as u64)) as usize;
    let failed = |source| EvaluateError::Separate { song: track.name.clone(), source };

    let mut source = Source::open(track, rate)?;
    let mut separator = Separator::new(model.clone(), *options).map_err(failed)?;
    let mut waiting = Waiting::new(stems.len());
    let mut read = 0;
    while read < frames {
        let block = (frames - read).min(rate as usize);
        let (mixture, references) = source.read(block)?;
        read += block;
        let estimates = pollster::block_on(separator.push(&mixture)).map_err(failed)?;
        waiting.push(&references, &mixture);
        waiting.score(&estimates, rate);
    }
    let estimates = pollster::block_on(separator.finish()).map_err(failed)?;
    waiting.score(&estimates, rate);
    assert!(waiting.signals[0][0].is_empty(), "a separator gives back every sample it was given");
    let score = waiting.score.expect("scored at least once, above");
    let scores = score.finish();
    Ok(SongScores {
        name: track.name.clone(),
        seconds: score.frames() as f64 / f64::from(rate),
        stems: stems.into_iter().zip(scores).collect(),
    })
}

/// The files of a track, read in step.
struct Source {
    stems: Vec<AudioReader>,
    mixture: Option<AudioReader>,
}

impl Source {
    fn open(track: &Track, rate: u32) -> Result<Self, DataError> {
        let open = |path: &std::path::PathBuf| AudioReader::open(path, rate);
        let stems = track.stems.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { stems, mixture: track.mixture.as_ref().map(open).transpose()? })
    }

    /// (mixture, stems), each of exactly `frames`; a file that ends early goes on in silence.
    fn read(&mut self, frames: usize) -> Result<(Stereo, Vec<Stereo>), DataError> {
        let mut stems = Vec::with_capacity(self.stems.len());
        for reader in &mut self.stems {
            stems.push(read_padded(reader, frames)?);
        }
        let mixture = match &mut self.mixture {
            Some(reader) => read_padded(reader, frames)?,
            None => [0, 1].map(|c| (0..frames).map(|n| stems.iter().map(|stem| stem[c][n]).sum()).collect()),
        };
        Ok((mixture, stems))
    }
}

fn read_padded(reader: &mut AudioReader, frames: usize) -> Result<Stereo, DataError> {
    let mut audio: Stereo = [Vec::with_capacity(frames), Vec::with_capacity(frames)];
    while audio[0].len() < frames {
        let part = reader.read(frames - audio[0].len())?;
        if part[0].is_empty() {
            break;
        }
        for (all, part) in audio.iter_mut().zip(part) {
            all.extend(part);
        }
    }
    for channel in &mut audio {
        channel.resize(frames, 0.0);
    }
    Ok(audio)
}

/// References and mixture that wait for their estimates: as much as the separator's latency.
struct Waiting {
    /// Stems, then the mixture; left and right.
    signals: Vec<[VecDeque<f32>; 2]>,
    score: Option<SongScore>,
}

impl Waiting {
    fn new(stems: usize) -> Self {
        Self { signals: vec![Default::default(); stems + 1], score: None }
    }

    fn push(&mut self, references: &[Stereo], mixture: &Stereo) {
        for (queue, signal) in self.signals.iter_mut().zip(references.iter().chain([mixture])) {
            for (queue, channel) in queue.iter_mut().zip(signal) {
                queue.extend(channel);
            }
        }
    }

    /// Scores what is finished; estimates beyond the references (a separator's rounding up) are cut.
    fn score(&mut self, estimates: &[Stereo], rate: u32) {
        let stems = self.signals.len() - 1;
        let score = self.score.get_or_insert_with(|| SongScore::new(stems, rate));
        let Some(first) = estimates.first() else { return };
        let frames = first[0].len().min(self.signals[0][0].len());
        let mut signals: Vec<Stereo> = Vec::with_capacity(stems + 1);
        for queue in &mut self.signals {
            signals.push(queue.each_mut().map(|queue| queue.drain(..frames).collect()));
        }
        let (references, mixture) = signals.split_at(stems);
        let cut: Vec<Stereo> = estimates.iter().map(|e| e.each_ref().map(|c| c[..frames].to_vec())).collect();
        score.push(references, &cut, &mixture[0]);
    }
}
