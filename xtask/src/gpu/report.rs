//! The results: a table for people, and JSON that is complete after every step.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cargo::write_json;
use crate::gpu::steps::{Kind, Step};

/// Kernels that the table lists.
const KERNELS: usize = 25;

/// What is said of a software adapter.
const SOFTWARE: &str =
    "This adapter is software: it computes on the CPU. No time below is the speed of a GPU.";

/// Whether a device that `unbraid doctor` lists computes on the CPU.
pub(super) fn is_software(device: &Value) -> bool {
    device["kind"] == "software adapter"
}

struct Entry {
    name: &'static str,
    kind: Kind,
    wall: Duration,
    /// The measurement, or why there is none.
    outcome: Result<Value, String>,
}

/// The results so far.
pub(super) struct Report {
    device: Value,
    settings: Value,
    entries: Vec<Entry>,
}

impl Report {
    pub(super) fn new(device: Value, settings: Value) -> Self {
        Self { device, settings, entries: Vec::new() }
    }

    /// The device's name for `--device`.
    pub(super) fn device(&self) -> String {
        self.device["device"].as_str().unwrap_or("gpu").to_owned()
    }

    pub(super) fn warning(&self) -> Option<&'static str> {
        is_software(&self.device).then_some(SOFTWARE)
    }

    pub(super) fn add(&mut self, step: &Step, outcome: Result<Value>, wall: Duration) {
        let outcome = outcome.map_err(|error| format!("{error:#}"));
        self.entries.push(Entry { name: step.name, kind: step.kind, wall, outcome });
    }

    /// Number of steps that measured something.
    pub(super) fn worked(&self) -> usize {
        self.entries.iter().filter(|entry| entry.outcome.is_ok()).count()
    }

    /// Replaces the file with the results so far. A reader never sees a part of them.
    pub(super) fn save(&self, file: Option<&Path>) -> Result<()> {
        let Some(file) = file else { return Ok(()) };
        let mut unfinished = file.as_os_str().to_owned();
        unfinished.push(".part");
        let unfinished = PathBuf::from(unfinished);
        write_json(&unfinished, &self.json())?;
        fs::rename(&unfinished, file).with_context(|| format!("cannot write {}", file.display()))
    }

    fn json(&self) -> Value {
        let step = |entry: &Entry| {
            let (key, value) = match &entry.outcome {
                Ok(result) => ("result", result.clone()),
                Err(reason) => ("failed", reason.as_str().into()),
            };
            json!({ "step": entry.name, "wall_seconds": entry.wall.as_secs_f64(), key: value })
        };
        json!({
            "device": self.device,
            "software": is_software(&self.device),
            "settings": self.settings,
            "steps": self.entries.iter().map(step).collect::<Vec<_>>(),
        })
    }

    fn measured(&self, kind: Kind) -> impl Iterator<Item = (&'static str, &Value)> {
        let of_kind = self.entries.iter().filter(move |entry| entry.kind == kind);
        of_kind.filter_map(|entry| Some((entry.name, entry.outcome.as_ref().ok()?)))
    }

    /// The results as text.
    pub(super) fn table(&self) -> String {
        let mut text = self.heading();
        let training = || self.measured(Kind::Training);
        let plain = training().next().filter(|(name, _)| *name == "none");
        let plain = plain.and_then(|(_, result)| result["seconds_per_step"].as_f64());
        if training().next().is_some() {
            let _ =
                writeln!(text, "\n{:<28}{:>12}{:>10}{:>12}", "training", "s per step", "of none", "peak MB");
        }
        for (name, result) in training() {
            line(&mut text, name, result, plain);
        }
        if let Some(compile) = training().next().and_then(|(_, result)| result["compile_seconds"].as_f64()) {
            let _ = writeln!(text, "The first step took {compile:.1} s longer: it compiles the kernels.");
        }
        for (_, result) in self.measured(Kind::PyTorch).take(1) {
            let device = result["device"].as_str().unwrap_or("?");
            let _ = writeln!(text, "\nPyTorch {} on {device}", result["torch"].as_str().unwrap_or("?"));
        }
        for (name, result) in self.measured(Kind::PyTorch) {
            line(&mut text, name, result, plain);
        }
        for (_, result) in self.measured(Kind::Separation) {
            let speed = |key: &str| result[key].as_f64().map_or("-".into(), |speed| format!("{speed:.2}"));
            let (warm, cold) = (speed("times_real_time"), speed("times_real_time_with_compilation"));
            let _ = writeln!(text, "\nseparation: {warm} × real time, {cold} × for the first song");
        }
        for (_, result) in self.measured(Kind::Kernels) {
            kernels(&mut text, result["kernels"].as_array().map(Vec::as_slice).unwrap_or_default());
        }
        let failed =
            self.entries.iter().filter_map(|entry| Some((entry.name, entry.outcome.as_ref().err()?)));
        for (index, (name, reason)) in failed.enumerate() {
            let _ = writeln!(text, "{}{name}: {reason}", if index == 0 { "\nNot measured:\n" } else { "" });
        }
        text
    }

    fn heading(&self) -> String {
        let text = |key: &str| self.device[key].as_str().unwrap_or("?");
        let mega = |key: &str| self.device[key].as_u64().map_or("?".into(), |n| (n >> 20).to_string());
        let feature = |key: &str| if self.device[key] == true { "yes" } else { "no" };
        let mut heading = format!("{} {} ({})\n", text("device"), text("name"), text("kind"));
        let _ = writeln!(heading, "{}, {} {}", text("backend"), text("driver"), text("driver_version"));
        let _ = writeln!(
            heading,
            "one tensor up to {} MiB, one buffer up to {} MiB, workgroup memory {} B",
            mega("max_binding_bytes"),
            mega("max_buffer_bytes"),
            self.device["workgroup_memory_bytes"],
        );
        let (f16, timestamps) = (feature("shader_f16"), feature("timestamps"));
        let _ = writeln!(heading, "f16: {f16}, timestamps: {timestamps}");
        let model = self.settings["model"].as_str().unwrap_or("?");
        let _ =
            writeln!(heading, "{model}, segments of {} s, batch size 1", self.settings["segment_seconds"]);
        if let Some(warning) = self.warning() {
            let _ = writeln!(heading, "{warning}");
        }
        heading
    }
}

/// A training step, beside the one without gradient checkpointing in f32.
fn line(text: &mut String, name: &str, result: &Value, plain: Option<f64>) {
    let seconds = result["seconds_per_step"].as_f64();
    let shown = seconds.map_or("-".into(), |seconds| format!("{seconds:.4}"));
    let ratio = seconds.zip(plain).map_or("-".into(), |(seconds, plain)| format!("{:.2}", seconds / plain));
    let peak = result["memory_peak"].as_u64().map_or("-".into(), |bytes| (bytes / 1_000_000).to_string());
    let _ = writeln!(text, "{name:<28}{shown:>12}{ratio:>10}{peak:>12}");
}

fn kernels(text: &mut String, rows: &[Value]) {
    let number = |row: &Value, key: &str| row[key].as_f64().unwrap_or(0.0);
    let sum = |key: &str| rows.iter().map(|row| number(row, key)).sum::<f64>();
    let (total, launches) = (sum("milliseconds_per_step"), sum("launches_per_step"));
    let _ =
        writeln!(text, "\nkernels: {total:.2} ms and {launches:.0} launches per step, first step included");
    let _ =
        writeln!(text, "{:>12}{:>8}{:>10}{:>12}  kernel", "ms per step", "share", "launches", "longest ms");
    for row in rows.iter().take(KERNELS) {
        let milliseconds = number(row, "milliseconds_per_step");
        let _ = writeln!(
            text,
            "{milliseconds:>12.2}{:>7.1}%{:>10.0}{:>12.2}  {}",
            100.0 * milliseconds / total,
            number(row, "launches_per_step"),
            number(row, "longest_milliseconds"),
            row["kernel"].as_str().unwrap_or("?"),
        );
    }
    if rows.len() > KERNELS {
        let _ = writeln!(text, "and {} more kernels", rows.len() - KERNELS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    fn step(name: &'static str, kind: Kind) -> Step {
        Step { name, kind, share: 0.1, run: Box::new(|_, _| Ok(Value::Null)) }
    }

    fn device(kind: &str) -> Value {
        json!({ "device": "gpu:1", "name": "a card", "kind": kind, "max_binding_bytes": 128 << 20 })
    }

    fn training(seconds: f64) -> Value {
        json!({ "seconds_per_step": seconds, "memory_peak": 3_000_000_000u64, "compile_seconds": 4.25 })
    }

    #[test]
    fn the_file_holds_the_results_so_far_after_every_step() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("results.json");
        let mut report = Report::new(device("discrete GPU"), json!({ "model": "m" }));
        let mut saved = |name, outcome| {
            report.add(&step(name, Kind::Training), outcome, Duration::from_secs(2));
            report.save(Some(&file)).unwrap();
            let text = fs::read_to_string(&file).unwrap();
            (serde_json::from_str::<Value>(&text).unwrap(), report.worked())
        };
        let (first, worked) = saved("none", Err(anyhow!("no memory").context("plan")));
        assert_eq!(
            first["steps"],
            json!([{ "step": "none", "wall_seconds": 2.0, "failed": "plan: no memory" }])
        );
        assert_eq!(worked, 0);
        let (second, worked) = saved("block", Ok(training(0.5)));
        assert_eq!(second["steps"][0], first["steps"][0]);
        assert_eq!(second["steps"][1]["result"]["seconds_per_step"], 0.5);
        assert_eq!((&second["software"], worked), (&json!(false), 1));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_table_shows_results_ratios_and_failures() {
        let mut report = Report::new(device("discrete GPU"), json!({ "model": "m", "segment_seconds": 6.0 }));
        let mut add = |name, kind, outcome| report.add(&step(name, kind), outcome, Duration::ZERO);
        add("none", Kind::Training, Ok(training(0.5)));
        add("block", Kind::Training, Ok(training(0.75)));
        add("none, f16", Kind::Training, Err(anyhow!("no f16")));
        add(
            "PyTorch, f32",
            Kind::PyTorch,
            Ok(json!({ "seconds_per_step": 1.0, "torch": "2", "device": "d" })),
        );
        add("separation", Kind::Separation, Ok(json!({ "times_real_time": 12.0 })));
        let row = |name: &str, ms: f64| json!({ "kernel": name, "milliseconds_per_step": ms });
        add("kernels", Kind::Kernels, Ok(json!({ "kernels": [row("A", 3.0), row("B", 1.0)] })));
        let table = report.table();
        let words: Vec<String> =
            table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        for expected in [
            "none 0.5000 1.00 3000",
            "block 0.7500 1.50 3000",
            "PyTorch, f32 1.0000 2.00 -",
            "The first step took 4.2 s longer: it compiles the kernels.",
            "separation: 12.00 × real time, - × for the first song",
            "3.00 75.0% 0 0.00 A",
            "none, f16: no f16",
        ] {
            assert!(words.iter().any(|line| line == expected), "{expected:?} is not in\n{table}");
        }
        assert!(!table.contains(SOFTWARE));
    }

    #[test]
    fn a_software_adapter_is_named_and_an_empty_report_has_no_tables() {
        let report = Report::new(device("software adapter"), json!({ "model": "m" }));
        assert!(report.table().contains(SOFTWARE) && !report.table().contains("per step"));
        assert_eq!(report.json()["software"], true);
    }
}
