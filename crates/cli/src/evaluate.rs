//! `unbraid evaluate`: scores a model on a data set.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use unbraid_model::weights;
use unbraid_train::{Evaluation, evaluate, open_dataset};

use crate::device::DeviceArgument;
use crate::interrupt;
use crate::output::print;
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
    let mut lines =
        vec![format!("{:<12} {:>8} {:>8} {:>8} {:>12}", "dB", "uSDR", "cSDR", "SI-SDR", "mixture uSDR")];
    for (stem, scores) in &evaluation.stems {
        let (usdr, baseline) = (scores.usdr, scores.baseline_usdr);
        let (csdr, si_sdr) = (decibels(scores.csdr), decibels(scores.si_sdr));
        lines.push(format!("{stem:<12} {usdr:>8.2} {csdr:>8} {si_sdr:>8} {baseline:>12.2}"));
    }
    lines.push(format!(
        "{:<12} {:>8.2} {:>8} {:>8} {:>12.2}",
        "mean",
        evaluation.usdr,
        decibels(evaluation.csdr),
        decibels(evaluation.si_sdr),
        evaluation.baseline_usdr
    ));
    lines.push(format!(
        "songs: {}; mixture uSDR: the score of the mixture, scaled by the constant that scores best",
        evaluation.songs.len()
    ));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn a_limit_is_at_least_a_second() {
        assert_eq!((seconds("1"), seconds("2.5")), (Ok(1.0), Ok(2.5)));
        for wrong in ["0", "0.9", "-5", "nan", "inf", "30s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
