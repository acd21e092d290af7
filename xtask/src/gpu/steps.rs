//! The steps of the benchmark.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::cargo::{program, root};
use crate::gpu::child::output;
use crate::gpu::profile;

/// Length of the songs that are separated, in seconds.
const SONG_SECONDS: u32 = 30;
/// Training steps of the profile.
const PROFILED_STEPS: u32 = 2;
/// Training steps of PyTorch after the first, which warms up.
const PYTORCH_STEPS: u32 = 5;

/// Training on noise: name, share of the time, flags of `unbraid plan`. The first one also compiles the kernels, which
/// the driver may keep for the others.
const TRAINING: [(&str, f64, &str); 5] = [
    ("none", 0.2, "--recompute none --measure 6"),
    ("none, f16", 0.1, "--recompute none --precision f16 --measure 6"),
    ("sublayer", 0.1, "--recompute sublayer --measure 6"),
    ("block", 0.1, "--recompute block --measure 6"),
    ("low-vram", 0.1, "--preset low-vram --measure 4"),
];

/// The same step in PyTorch: name, flags of the script.
const PYTORCH: [(&str, &str); 4] = [
    ("PyTorch, f32", "--train"),
    ("PyTorch, f32, checkpoint", "--train --checkpoint"),
    ("PyTorch, TF32", "--train --tf32"),
    ("PyTorch, AMP f16", "--train --amp"),
];

/// What a step measures, which decides its part of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Training,
    Separation,
    Kernels,
    PyTorch,
}

type Run = Box<dyn Fn(&Bench, Instant) -> Result<Value>>;

/// A step: at its deadline it is stopped.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Its time limit, as a share of the benchmark's.
    pub(super) share: f64,
    pub(super) run: Run,
}

/// What all steps share.
pub(super) struct Bench {
    pub(super) binary: PathBuf,
    /// Folder for logs, songs and weights.
    pub(super) folder: PathBuf,
    pub(super) device: String,
    /// Name or file of the network.
    pub(super) model: String,
    /// Seconds of a training segment.
    pub(super) segment: f64,
    pub(super) python: Option<PathBuf>,
}

impl Bench {
    /// The steps, the most important ones first.
    pub(super) fn steps(&self) -> Vec<Step> {
        let step = |name, kind, share, run| Step { name, kind, share, run };
        let mut steps: Vec<Step> = TRAINING
            .into_iter()
            .map(|(name, share, flags)| {
                let run: Run = Box::new(move |bench, deadline| bench.training(flags, deadline));
                step(name, Kind::Training, share, run)
            })
            .collect();
        steps.push(step("separation", Kind::Separation, 0.1, Box::new(Self::separation)));
        steps.push(step("kernels", Kind::Kernels, 0.1, Box::new(Self::kernels)));
        if self.python.is_some() {
            steps.extend(PYTORCH.into_iter().map(|(name, flags)| {
                let run: Run = Box::new(move |bench, deadline| bench.pytorch(flags, deadline));
                step(name, Kind::PyTorch, 0.1, run)
            }));
        }
        steps
    }

    fn plan(&self, flags: &str) -> Command {
        let mut command = program(&self.binary);
        command.args(["plan", "--json", "--batch-size", "1", "--device", &self.device]);
        command.args(["--model", &self.model, "--segment", &self.segment.to_string()]);
        command.args(flags.split_whitespace());
        command
    }

    fn training(&self, flags: &str, deadline: Instant) -> Result<Value> {
        let text = output(&mut self.plan(flags), &self.folder, deadline)?;
        let estimate = serde_json::from_str(&text).context("`unbraid plan` printed no JSON")?;
        let mut result = step_time(&estimate)?;
        result["flags"] = flags.into();
        Ok(result)
    }

    /// Trains for one step, because separation needs weights, and then separates two songs. The first song includes the
    /// compilation of the kernels.
    fn separation(&self, deadline: Instant) -> Result<Value> {
        let songs = self.folder.join("songs");
        let run = self.folder.join("run");
        let seconds = SONG_SECONDS.to_string();
        let unbraid = |args: &[&str], more: &[&Path]| {
            output(program(&self.binary).args(args).args(more), &self.folder, deadline)
        };
        unbraid(&["data", "synth", "--tracks", "2", "--seconds", &seconds], &[&songs])?;
        let settings = ["--segment", "1", "--batch-size", "1", "--recompute", "sublayer", "--steps", "1"];
        let train = ["train", "--device", &self.device, "--model", &self.model];
        unbraid(&[&train[..], &settings[..], &["--data"]].concat(), &[&songs, Path::new("--out"), &run])?;
        let mixtures = mixtures(&songs)?;
        let segment = self.segment.to_string();
        let separate = ["separate", "--json", "--device", &self.device, "--segment", &segment, "--model"];
        let (weights, out) = (run.join("model.safetensors"), self.folder.join("stems"));
        let files: Vec<&Path> = mixtures.iter().map(PathBuf::as_path).collect();
        let text = unbraid(&separate, &[&[&*weights, Path::new("--out"), &*out], &files[..]].concat())?;
        let report = serde_json::from_str(&text).context("`unbraid separate` printed no JSON")?;
        separation_speed(&report)
    }

    /// The time of every kernel in training steps without gradient checkpointing, from the GPU's timestamps.
    fn kernels(&self, deadline: Instant) -> Result<Value> {
        let folder = self.folder.join("profile");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("cubecl.toml"), profile::SETTINGS)?;
        let flags = format!("--recompute none --measure {PROFILED_STEPS}");
        output(self.plan(&flags).current_dir(&folder), &self.folder, deadline)?;
        let log = fs::read(folder.join(profile::LOG)).context("the program wrote no profile")?;
        let kernels = profile::kernels(&String::from_utf8_lossy(&log));
        ensure!(!kernels.is_empty(), "the profile holds no launch");
        Ok(json!({ "flags": flags, "kernels": profile::per_step(&kernels, PROFILED_STEPS) }))
    }

    fn pytorch(&self, flags: &str, deadline: Instant) -> Result<Value> {
        let python = self.python.as_ref().context("no Python is given")?;
        let standard = root().join("configs/model").join(format!("{}.toml", self.model));
        let model = if standard.exists() { standard } else { PathBuf::from(&self.model) };
        let mut command = Command::new(python);
        command.arg(root().join("tests/peer/tfswa_torch.py")).arg("--model").arg(model);
        command.args(["--json", "--batch", "1", "--steps", &PYTORCH_STEPS.to_string()]);
        command.args(["--seconds", &self.segment.to_string()]).args(flags.split_whitespace());
        let text = output(&mut command, &self.folder, deadline)?;
        serde_json::from_str(&text).context("the script printed no JSON")
    }
}

/// The mixtures below a folder of synthetic songs.
fn mixtures(songs: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for part in ["test", "train"] {
        for song in fs::read_dir(songs.join(part))? {
            found.push(song?.path().join("mixture.wav"));
        }
    }
    Ok(found)
}

/// The times and the peak memory of the measured steps of `unbraid plan`. The time of a step is the median of those
/// after the first, and the excess of the first is the compilation of the kernels.
fn step_time(estimate: &Value) -> Result<Value> {
    let steps = estimate["measured"].as_array().context("`unbraid plan` measured nothing")?;
    let seconds: Vec<f64> = steps.iter().filter_map(|step| step["seconds"].as_f64()).collect();
    let (first, later) = seconds.split_first().context("`unbraid plan` measured nothing")?;
    let typical = median(later).context("`unbraid plan` measured one step only")?;
    let peak = steps.iter().filter_map(|step| step["memory_peak"].as_u64()).max();
    Ok(json!({
        "seconds_per_step": typical,
        "compile_seconds": (first - typical).max(0.0),
        "step_seconds": seconds,
        "memory_peak": peak,
        "memory_estimated": estimate["peak"],
    }))
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.get(sorted.len() / 2)?;
    Some(if sorted.len().is_multiple_of(2) { (middle + sorted[sorted.len() / 2 - 1]) / 2.0 } else { *middle })
}

/// The speed of the last song of a report of `unbraid separate`, in multiples of real time.
fn separation_speed(report: &Value) -> Result<Value> {
    let songs = report["songs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let speed = |song: &Value| Some(song["audio_seconds"].as_f64()? / song["wall_seconds"].as_f64()?);
    let first = songs.first().and_then(speed).context("`unbraid separate` reports no song")?;
    let last = songs.last().and_then(speed).context("`unbraid separate` reports no song")?;
    Ok(json!({ "times_real_time": last, "times_real_time_with_compilation": first }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_gives_the_time_of_compilation() {
        let step = |seconds: f64, peak: u64| json!({ "seconds": seconds, "memory_peak": peak });
        let measured = [step(9.0, 5), step(1.0, 7), step(4.0, 6), step(2.0, 7), step(1.0, 7)];
        let result = step_time(&json!({ "peak": 8, "measured": measured })).unwrap();
        assert_eq!(result["seconds_per_step"], 1.5);
        assert_eq!(result["compile_seconds"], 7.5);
        assert_eq!(result["memory_peak"], 7);
        assert_eq!(result["memory_estimated"], 8);
        assert!(step_time(&json!({ "measured": [step(1.0, 1)] })).is_err());
        assert!(step_time(&json!({})).is_err());
    }

    #[test]
    fn the_last_song_gives_the_speed() {
        let song = |seconds: f64| json!({ "audio_seconds": 30.0, "wall_seconds": seconds });
        let result = separation_speed(&json!({ "songs": [song(20.0), song(5.0)] })).unwrap();
        assert_eq!(result["times_real_time"], 6.0);
        assert_eq!(result["times_real_time_with_compilation"], 1.5);
        assert!(separation_speed(&json!({ "songs": [] })).is_err());
    }
}
