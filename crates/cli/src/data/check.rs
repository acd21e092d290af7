//! `unbraid data check`: whether the files of a data set can be used and belong together.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use unbraid_base::counted;
use unbraid_train::{CheckReport, DataOptions, Fault, FaultKind, check};

use crate::interrupt;
use crate::output::{notice, print, printable};
use crate::progress::SongProgress;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Folder of the data set
    dir: PathBuf,
    /// Stems that every song has
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', default_values_t = ["drums", "bass", "other", "vocals"].map(String::from))]
    stems: Vec<String>,
    /// Stem of a file that is not named like it. Files of one stem are added, and A+B is the sum of two stems. Repeatable
    #[arg(long, value_name = "FILE=STEM,…", value_delimiter = ',', value_parser = renamed)]
    stems_map: Vec<(String, String)>,
    /// A stem that a song lacks is silent and no fault
    #[arg(long)]
    missing_is_silent: bool,
    /// Kinds of faults that are not reported: missing, unreadable, notfinite, rate, length, silent, clipped, sum,
    /// misaligned, inverted, duplicate
    #[arg(long, value_name = "KIND,…", value_delimiter = ',', value_parser = kind)]
    ignore: Vec<String>,
    /// Print JSON: the facts about every file, and the faults
    #[arg(long)]
    json: bool,
}

/// Every kind, in the order of the report.
const KINDS: [FaultKind; 11] = [
    FaultKind::Missing,
    FaultKind::Unreadable,
    FaultKind::NotFinite,
    FaultKind::Rate,
    FaultKind::Length,
    FaultKind::Silent,
    FaultKind::Clipped,
    FaultKind::Sum,
    FaultKind::Misaligned,
    FaultKind::Inverted,
    FaultKind::Duplicate,
];

fn word(kind: FaultKind) -> String {
    format!("{kind:?}").to_lowercase()
}

fn kind(text: &str) -> Result<String, String> {
    let known = KINDS.map(word);
    if known.iter().any(|known| known == text) {
        Ok(text.to_owned())
    } else {
        Err(format!("must be one of {}", known.join(", ")))
    }
}

pub(crate) fn renamed(text: &str) -> Result<(String, String), String> {
    let (file, stem) = text.split_once('=').ok_or("must be the name of a file and a stem, FILE=STEM")?;
    Ok((file.trim().to_owned(), stem.trim().to_owned()))
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let options = DataOptions {
            stems_map: self.stems_map.into_iter().collect(),
            missing_is_silent: self.missing_is_silent,
        };
        let mut progress = SongProgress::new("checking songs", Some(1.0));
        let report = check(&self.dir, &self.stems, &options, |done, total| {
            progress.set(done as f64 / total as f64);
            !interrupt::requested()
        });
        drop(progress);
        let mut report = report?.context("interrupted: the check is not complete")?;
        report.faults.retain(|fault| !self.ignore.contains(&word(fault.kind)));
        if self.json {
            print(serde_json::to_string_pretty(&report)?)?;
        } else {
            report.notices.iter().for_each(notice);
            print(table(&report))?;
        }
        match report.faults.len() as u64 {
            0 => Ok(()),
            faults => bail!("the data set has {}", counted(faults, "fault")),
        }
    }
}

fn table(report: &CheckReport) -> String {
    let files: usize = report.songs.iter().map(|song| song.files.len()).sum();
    let rate = report.rate.map_or_else(String::new, |rate| format!(", {rate} Hz"));
    let mut lines = Vec::new();
    let widest = |column: fn(&Fault) -> usize| report.faults.iter().map(column).max().unwrap_or(0);
    let file = |fault: &Fault| fault.file.as_ref().map_or_else(|| "–".to_owned(), Clone::clone);
    let song = widest(|fault| fault.song.chars().count());
    for fault in &report.faults {
        lines.push(format!(
            "{:<10}  {:<song$}  {}: {}",
            word(fault.kind),
            fault.song,
            file(fault),
            fault.detail
        ));
    }
    let sums: Vec<f64> = report.songs.iter().filter_map(|song| song.sum).collect();
    if let Some(worst) = sums.iter().copied().min_by(f64::total_cmp) {
        lines.push(format!("mixture to its difference from the sum of the stems: {worst:.1} dB or more"));
    }
    lines.push(format!(
        "{} ({:.1} min), {} read{rate}: {}",
        counted(report.songs.len() as u64, "song"),
        report.seconds / 60.0,
        counted(files as u64, "file"),
        match report.faults.len() as u64 {
            0 => "no fault".to_owned(),
            faults => counted(faults, "fault"),
        }
    ));
    printable(&lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_per_fault_and_a_summary() {
        let fault = |kind, file: Option<&str>| Fault {
            kind,
            song: "train/a".into(),
            file: file.map(String::from),
            detail: "why".into(),
        };
        let mut report = CheckReport {
            songs: Vec::new(),
            faults: vec![fault(FaultKind::NotFinite, Some("drums.wav")), fault(FaultKind::Sum, None)],
            notices: Vec::new(),
            rate: Some(44_100),
            seconds: 90.0,
        };
        let text = table(&report);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "notfinite   train/a  drums.wav: why");
        assert_eq!(lines[1], "sum         train/a  –: why");
        assert_eq!(lines[2], "0 songs (1.5 min), 0 files read, 44100 Hz: 2 faults");
        report.faults.clear();
        assert!(table(&report).ends_with("no fault"));
    }

    #[test]
    fn kinds_and_names_are_checked() {
        assert!(KINDS.map(word).iter().all(|word| kind(word).is_ok()));
        assert!(kind("loud").unwrap_err().contains("misaligned"));
        assert_eq!(renamed("lead vocals=vocals").unwrap(), ("lead vocals".into(), "vocals".into()));
        assert!(renamed("vocals").is_err());
    }
}
