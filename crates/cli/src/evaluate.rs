//! `unbraid evaluate`: scores a model on a data set, or the files of another system.

mod table;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde::Serialize;
use unbraid_base::file::write_whole;
use unbraid_train::{
    DataError, DataOptions, Dataset, Ensemble, Evaluation, Flow, Folders, Member, Root, Roots, Statistics,
    average_parameters, evaluate_ensemble, open_roots, score_folders, summary,
};

use crate::data::renamed;
use crate::device::DeviceArgument;
use crate::interrupt;
use crate::models;
use crate::output::{notice, print};
use crate::progress::{Lines, SongProgress};
use crate::separate::Segmentation;
use crate::shard::ShardArgument;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Model: the model.safetensors of a run's folder, or the name of a built-in model. Several (`--model A --model B`)
    /// are scored as one: their stems are averaged
    #[arg(long, value_name = "NAME|FILE", required_unless_present = "estimate_dir")]
    model: Vec<PathBuf>,
    /// Average the parameters of the models, which must be the same network, instead of their stems
    #[arg(long)]
    average_weights: bool,
    /// Separate every song N times, each time shifted by up to 0.5 s, and average the stems
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    shifts: u8,
    /// Data set, in any layout that `train` reads. Several (`--data A --data B`) are scored together
    #[arg(long, value_name = "DIR", required_unless_present = "estimate_dir")]
    data: Vec<String>,
    /// Folder of the data set that is scored
    #[arg(long, value_name = "NAME", default_value = "test")]
    split: String,
    /// Stem of a file of --data that is not named like it. Files of one stem are added, and A+B is the sum of two stems.
    /// Repeatable
    #[arg(long, value_name = "FILE=STEM,…", value_delimiter = ',', value_parser = renamed, requires = "data")]
    stems_map: Vec<(String, String)>,
    /// What a stem without a file is: fault or silent
    #[arg(long, value_name = "WHAT", default_value = "fault", value_parser = ["fault", "silent"])]
    missing_stems: String,
    /// Score the files of any system: DIR/SONG/STEM.wav, or another audio format. Needs --reference-dir
    #[arg(long, value_name = "DIR", requires = "reference_dir", conflicts_with_all = ["model", "data", "shard"])]
    estimate_dir: Option<PathBuf>,
    /// The true stems: DIR/SONG/STEM.wav, such as the folder `test` of MUSDB18-HQ
    #[arg(long, value_name = "DIR", requires = "estimate_dir", conflicts_with_all = ["model", "data"])]
    reference_dir: Option<PathBuf>,
    /// Stems of --reference-dir that are scored, by default all
    #[arg(long, value_name = "STEMS", value_delimiter = ',', requires = "estimate_dir")]
    stems: Vec<String>,
    /// Seconds of each song that are scored, from its start
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    limit: Option<f64>,
    #[command(flatten)]
    part: ShardArgument,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write the scores of every song and stem as comma-separated values
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    #[command(flatten)]
    segmentation: Segmentation,
    #[command(flatten)]
    device: DeviceArgument,
}

/// Scores need at least one second of music.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds >= 1.0 => Ok(seconds),
        _ => Err("must be a number of at least 1".into()),
    }
}

/// The scores with their statistics.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    evaluation: &'a Evaluation,
    statistics: &'a Statistics,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let scored = match (&self.reference_dir, &self.estimate_dir) {
            (Some(references), Some(estimates)) => self.score_files(references, estimates)?,
            _ => self.score_models()?,
        };
        let Some(evaluation) = scored else { bail!("interrupted: there are no scores") };
        let statistics = Statistics::of(&evaluation);
        if let Some(path) = &self.csv {
            let written = write_whole(path, table::csv(&evaluation).as_bytes());
            written.with_context(|| format!("cannot write {}", path.display()))?;
        }
        if self.json {
            let report = Report { evaluation: &evaluation, statistics: &statistics };
            print(serde_json::to_string_pretty(&report)?)
        } else {
            print(table::table(&evaluation, &statistics))
        }
    }

    /// Separates the songs of a data set and scores them. `None` after Ctrl-C.
    fn score_models(&self) -> anyhow::Result<Option<Evaluation>> {
        let (device, _) = self.device.open()?;
        let mut members = Vec::with_capacity(self.model.len());
        for model in &self.model {
            let loaded = models::load(model, &device)?;
            let options = self.segmentation.options(&loaded);
            members.push(Member { model: loaded.model, options });
        }
        if self.average_weights {
            let networks: Vec<_> = members.iter().map(|member| member.model.clone()).collect();
            members.truncate(1);
            members[0].model = average_parameters(&networks)?;
        }
        let ensemble = Ensemble::new(members, self.shifts.into())?;
        let rate = ensemble.sample_rate();
        let dataset = self.dataset(ensemble.stems(), rate)?;
        let songs = dataset.tracks().len();
        let shard = self.part.shard;
        let tracks: Vec<usize> =
            (0..songs).filter(|song| shard.is_none_or(|shard| shard.holds(*song))).collect();
        if let Some(shard) = shard {
            ensure!(!tracks.is_empty(), "there is nothing to score: {}", shard.summary(songs));
            notice(shard.summary(songs));
        }
        dataset.notices().iter().for_each(notice);
        notice(format_args!("scoring {}", summary(&*dataset, &tracks, rate)));
        let mut screen = Lines::new(interrupt::requested);
        Ok(evaluate_ensemble(&ensemble, &*dataset, &tracks, self.limit, &mut screen)?)
    }

    /// The songs of `--data`.
    fn dataset(&self, stems: &[String], rate: u32) -> Result<Arc<dyn Dataset>, DataError> {
        let roots = Roots(self.data.iter().map(|text| Root::parse(text)).collect());
        let options = DataOptions {
            stems_map: self.stems_map.iter().cloned().collect(),
            missing_is_silent: self.missing_stems == "silent",
        };
        open_roots(&roots, &self.split, stems, rate, &options, 0)
    }

    /// Scores the files of another system. `None` after Ctrl-C.
    fn score_files(&self, references: &Path, estimates: &Path) -> anyhow::Result<Option<Evaluation>> {
        let folders = Folders { references, estimates, stems: &self.stems, limit: self.limit };
        let progress = Mutex::new(None);
        let begin = |done: usize, total: usize| {
            let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            let bar = progress.get_or_insert_with(|| SongProgress::new("scoring", Some(total as f64)));
            bar.set(done as f64);
            if interrupt::requested() { Flow::Stop } else { Flow::Continue }
        };
        let scores = score_folders(&folders, &begin)?;
        drop(progress);
        Ok(scores.map(|scores| {
            scores.notices.iter().for_each(notice);
            scores.evaluation
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_at_least_a_second() {
        assert_eq!((seconds("1"), seconds("2.5")), (Ok(1.0), Ok(2.5)));
        for wrong in ["0", "0.9", "-5", "nan", "inf", "30s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
