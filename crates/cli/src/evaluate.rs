//! `unbraid evaluate`: scores a model on a data set.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use unbraid_base::counted;
use unbraid_model::weights;
use unbraid_train::{Evaluation, evaluate, open_dataset, summary};

use crate::device::DeviceArgument;
use crate::interrupt;
use crate::output::{notice, print};
use crate::progress::Screen;
use crate::separate::Segmentation;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Model: the model.safetensors of a run's folder
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Data set in the MUSDB18-HQ layout
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder of the data set that is scored
    #[arg(long, value_name = "NAME", default_value = "test")]
    split: String,
    /// Seconds of each song that are scored, from its start
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    limit: Option<f64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
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

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let (device, _) = self.device.open()?;
        let loaded = weights::load(&self.model, &device)?;
        let rate = loaded.config.sample_rate;
        let dataset = open_dataset(&self.data, &self.split, &loaded.config.stems, rate)?;
        let tracks: Vec<usize> = (0..dataset.tracks().len()).collect();
        dataset.notices().iter().for_each(notice);
        notice(format_args!("scoring {}", summary(&*dataset, &tracks, rate)));
        let options = self.segmentation.options(&loaded);
        let mut screen = Screen::new(interrupt::requested);
        let evaluation = evaluate(&loaded.model, &*dataset, &tracks, &options, self.limit, &mut screen)?;
        drop(screen);
        let Some(evaluation) = evaluation else { bail!("interrupted: there are no scores") };
        if self.json {
            print(serde_json::to_string_pretty(&evaluation)?)?;
        } else {
            print(table(&evaluation))?;
        }
        Ok(())
    }
}

fn table(evaluation: &Evaluation) -> String {
    let decibels = |value: Option<f64>| value.map_or_else(|| "–".into(), |value| format!("{value:.2}"));
    let row = |name: &str, [usdr, csdr, si_sdr, baseline]: [Option<f64>; 4]| {
        let [usdr, csdr, si_sdr, baseline] = [usdr, csdr, si_sdr, baseline].map(decibels);
        format!("{name:<12} {usdr:>8} {csdr:>8} {si_sdr:>8} {baseline:>12}")
    };
    let Evaluation { songs, stems, silent, .. } = evaluation;
    let mut lines =
        vec![format!("{:<12} {:>8} {:>8} {:>8} {:>12}", "dB", "uSDR", "cSDR", "SI-SDR", "mixture uSDR")];
    let mut names: Vec<_> = stems.keys().chain(silent.keys()).collect();
    names.sort();
    names.dedup();
    lines.extend(names.into_iter().map(|name| match stems.get(name) {
        Some(scores) => {
            row(name, [Some(scores.usdr), scores.csdr, scores.si_sdr, Some(scores.baseline_usdr)])
        }
        None => row(name, [None; 4]),
    }));
    let Evaluation { usdr, csdr, si_sdr, baseline_usdr, .. } = evaluation;
    lines.push(row("mean", [*usdr, *csdr, *si_sdr, *baseline_usdr]));
    lines.push(format!(
        "songs: {}; mixture uSDR: the score of the mixture, scaled by the constant that scores best",
        songs.len()
    ));
    lines.extend(silent.iter().map(|(name, silent)| {
        let all = songs.len();
        let share = if silent.songs == all {
            "every song and has no score".to_owned()
        } else {
            format!("{} of {}, which its scores leave out", silent.songs, counted(all as u64, "song"))
        };
        let leak = silent.leak.map_or_else(String::new, |leak| format!("; leak {leak:.2} dB"));
        format!("{name} is silent in {share}{leak}")
    }));
    if silent.values().any(|silent| silent.leak.is_some()) {
        lines.push(
            "leak: energy of the estimate, relative to the mixture, in songs whose stem is silent".into(),
        );
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use unbraid_train::{SilentSongs, SongScores, StemScores};

    #[test]
    fn silent_stems_have_their_own_lines() {
        let scores = |usdr| StemScores { usdr, csdr: None, si_sdr: Some(1.0), baseline_usdr: 0.5 };
        let mut evaluation = Evaluation {
            songs: vec![SongScores::default(), SongScores::default(), SongScores::default()],
            stems: [("drums".to_owned(), scores(4.25))].into(),
            silent: [
                ("drums".to_owned(), SilentSongs { songs: 1, leak: None }),
                ("vocals".to_owned(), SilentSongs { songs: 3, leak: Some(-31.5) }),
            ]
            .into(),
            usdr: Some(4.25),
            csdr: None,
            si_sdr: Some(1.0),
            baseline_usdr: Some(0.5),
        };
        let text = table(&evaluation);
        let lines: Vec<&str> = text.lines().collect();
        let row = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(row(lines[1]), ["drums", "4.25", "–", "1.00", "0.50"]);
        assert_eq!(row(lines[2]), ["vocals", "–", "–", "–", "–"]);
        assert_eq!(row(lines[3]), ["mean", "4.25", "–", "1.00", "0.50"]);
        assert_eq!(lines[5], "drums is silent in 1 of 3 songs, which its scores leave out");
        assert_eq!(lines[6], "vocals is silent in every song and has no score; leak -31.50 dB");
        assert!(lines[7].starts_with("leak:") && lines.len() == 8, "{text}");
        evaluation.silent.clear();
        assert!(!table(&evaluation).contains("leak"));
    }

    #[test]
    fn a_limit_is_at_least_a_second() {
        assert_eq!((seconds("1"), seconds("2.5")), (Ok(1.0), Ok(2.5)));
        for wrong in ["0", "0.9", "-5", "nan", "inf", "30s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
