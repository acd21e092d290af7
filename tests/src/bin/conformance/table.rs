//! The report of a run: its entries as lines of a table, and the counts.

use conformance::report::{Check, Entry, Verdict};
use serde::Serialize;

#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) devices: Vec<ReportedDevice>,
    pub(crate) entries: Vec<Entry>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ReportedDevice {
    pub(crate) device: String,
    pub(crate) name: String,
    pub(crate) driver: String,
    pub(crate) trusted: bool,
    pub(crate) seconds: f64,
}

/// Reports all cases as skipped on a device.
pub(crate) fn skip_all(report: &mut Report, device: &str, reason: &str, names: &[String]) {
    println!("{} cases skipped: {reason}", names.len());
    let skipped = |name: &String| entry(device, "none", name, Check::skipped("all", reason));
    report.entries.extend(names.iter().map(skipped));
}

pub(crate) fn entry(device: &str, fusion: &str, case: &str, check: Check) -> Entry {
    Entry { device: device.into(), fusion: fusion.into(), case: case.into(), check }
}

/// The header of the table whose lines [`row`] returns.
pub(crate) fn header() -> String {
    format!(
        "{:<48} {:<17} {:>10} {:>8} {:>10}  {:<8} why",
        "case", "tensor", "max error", "SNR dB", "bound", ""
    )
}

pub(crate) fn row(entry: &Entry) -> String {
    let Check { tensor, max_error, snr_db, bound, reason, verdict } = &entry.check;
    let small = |value: &Option<f64>| value.map_or("-".into(), |value| format!("{value:.2e}"));
    let snr = snr_db.map_or("-".into(), |snr| format!("{snr:.1}"));
    let (word, reason) = match verdict {
        Verdict::Pass => ("pass", reason),
        Verdict::Fail => ("FAIL", reason),
        Verdict::Skipped(reason) => ("skipped", reason),
    };
    let case = &entry.case;
    format!(
        "{case:<48} {tensor:<17} {:>10} {snr:>8} {:>10}  {word:<8} {reason}",
        small(max_error),
        small(bound),
    )
}

/// Prints the counts of each device. Returns true if no case failed.
pub(crate) fn summarise(report: &Report) -> bool {
    println!();
    let mut failed = 0;
    let mut groups: Vec<(&str, &str)> = Vec::new();
    for entry in &report.entries {
        let group = (entry.device.as_str(), entry.fusion.as_str());
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    for (device, fusion) in groups {
        let of = |verdict: fn(&Verdict) -> bool| {
            let entries =
                report.entries.iter().filter(|entry| (&*entry.device, &*entry.fusion) == (device, fusion));
            entries.filter(|entry| verdict(&entry.check.verdict)).count()
        };
        let failures = of(|verdict| *verdict == Verdict::Fail);
        println!(
            "{device}, fusion {fusion}: {} passed, {failures} failed, {} skipped",
            of(|verdict| *verdict == Verdict::Pass),
            of(|verdict| matches!(verdict, Verdict::Skipped(_))),
        );
        failed += failures;
    }
    failed == 0
}
