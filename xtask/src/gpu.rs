//! `cargo xtask bench gpu`: how fast training and separation run on a GPU, and which kernels take the time.
//!
//! Every step is a child process with a time limit, so that a step that fails or hangs does not stop the others.

mod child;
mod profile;
mod report;
mod steps;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde_json::{Value, json};

use crate::cargo::{build, json_of, program, say, target_folder};
use child::Limits;
use report::Report;
use steps::Bench;

/// Measures training and separation on a GPU, and the time of every kernel
///
/// It trains on noise with and without gradient checkpointing, in f32 and f16, separates generated songs with an
/// untrained network, and takes the time of every kernel from the GPU's timestamps. It takes less than ten minutes on a
/// fast GPU. A step that fails is reported, and the others go on.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench gpu")]
struct Options {
    /// gpu for the best one, or gpu:N as `unbraid doctor` lists them. gpu never takes a software adapter
    #[arg(long, default_value = "gpu")]
    device: String,
    /// Network: the name of a standard network, or a TOML file
    #[arg(long, default_value = "tfswa_unet")]
    model: String,
    /// Length of a training segment in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 6.0)]
    segment: f64,
    /// Minutes of all steps. Every step has a share of them, and is not started if less than its share is left
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0, value_parser = minutes)]
    limit: f64,
    /// Write the results as JSON. The file is replaced after every step, so an interrupted benchmark keeps its results
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A Python with PyTorch, to run the same network in PyTorch on its default CUDA device (tests/peer)
    #[arg(long, value_name = "PYTHON")]
    pytorch: Option<PathBuf>,
    /// Only steps whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// The program `unbraid` to measure, instead of building it
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if (0.1..=600.0).contains(&minutes) => Ok(minutes),
        _ => Err("give a number of minutes from 0.1 to 600".into()),
    }
}

/// Parses the arguments after `gpu` and measures. It fails only if no step worked.
pub(crate) fn gpu(args: &[OsString]) -> Result<()> {
    let name = std::iter::once("cargo xtask bench gpu".into());
    let options = match Options::try_parse_from(name.chain(args.iter().cloned())) {
        Ok(options) => options,
        Err(error) => error.exit(),
    };
    let binary = match &options.program {
        Some(file) => std::path::absolute(file).with_context(|| format!("{} is no path", file.display()))?,
        None => build("unbraid")?,
    };
    let doctor = json_of(program(&binary).args(["doctor", "--json"]))?;
    let adapter = adapter(&doctor, &options.device)?;
    let folder = scratch()?;
    let began = Instant::now();
    let limits = Limits::new(began, Duration::from_secs_f64(options.limit * 60.0));
    let mut report = Report::new(adapter, settings(&options));
    if let Some(warning) = report.warning() {
        say(warning);
    }
    let bench = Bench {
        binary,
        folder: folder.clone(),
        device: report.device(),
        model: model(&options.model)?,
        segment: options.segment,
        python: options.pytorch.clone(),
    };
    for step in bench.steps().into_iter().filter(|step| step.name.contains(&options.only)) {
        let result = match limits.of(step.share) {
            Some(limit) => {
                say(&format!("{} (at most {:.0} s)", step.name, limit.as_secs_f64()));
                let started = Instant::now();
                let result = (step.run)(&bench, limits.deadline(limit));
                (result, started.elapsed())
            }
            None => (Err(anyhow::anyhow!("not started: too little time is left")), Duration::ZERO),
        };
        if let Err(error) = &result.0 {
            say(&format!("{}: {error:#}", step.name));
        }
        report.add(&step, result.0, result.1);
        report.save(options.json.as_deref())?;
    }
    println!("{}", report.table());
    std::fs::remove_dir_all(&folder).with_context(|| format!("cannot delete {}", folder.display()))?;
    if report.worked() == 0 {
        bail!("no step of the benchmark worked");
    }
    Ok(())
}

/// The device that `unbraid doctor` lists under this name. `gpu` is the GPU that `auto` would take, or the first that
/// is trusted and no software adapter.
fn adapter(doctor: &Value, wanted: &str) -> Result<Value> {
    let devices = doctor["devices"].as_array().context("`unbraid doctor` lists no devices")?;
    let gpus = || devices.iter().filter(|device| device["device"].as_str().is_some_and(is_gpu));
    let hardware = || gpus().filter(|device| device["trusted"] == true && !report::is_software(device));
    let found = match wanted {
        "gpu" => hardware().find(|device| device["auto"] == true).or_else(|| hardware().next()),
        _ => gpus().find(|device| device["device"] == wanted),
    };
    found.cloned().with_context(|| {
        let names: Vec<String> = gpus()
            .map(|device| {
                let text = |key: &str| device[key].as_str().unwrap_or("?").to_owned();
                format!("{}: {}, {}", text("device"), text("name"), text("kind"))
            })
            .collect();
        let known = if names.is_empty() { "none".into() } else { names.join("; ") };
        format!("no GPU is `{wanted}`; `unbraid doctor` lists {known}")
    })
}

fn is_gpu(device: &str) -> bool {
    device.starts_with("gpu")
}

/// The network, as programs find it that start in another folder.
fn model(name: &str) -> Result<String> {
    if !Path::new(name).is_file() {
        return Ok(name.to_owned());
    }
    let path = std::path::absolute(name).with_context(|| format!("{name} is no path"))?;
    path.into_os_string().into_string().ok().with_context(|| format!("the path of {name} is no UTF-8"))
}

fn settings(options: &Options) -> Value {
    json!({
        "model": options.model,
        "segment_seconds": options.segment,
        "batch_size": 1,
        "limit_minutes": options.limit,
    })
}

/// An empty folder for songs, logs and weights.
fn scratch() -> Result<PathBuf> {
    let folder = target_folder()?.join(format!("bench-gpu-{}", std::process::id()));
    let made = |folder: &Path| std::fs::create_dir_all(folder);
    made(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doctor() -> Value {
        json!({ "devices": [
            { "device": "gpu:0", "name": "llvmpipe", "kind": "software adapter", "trusted": true, "auto": false },
            { "device": "gpu:1", "name": "slow", "kind": "integrated GPU", "trusted": true, "auto": false },
            { "device": "gpu:2", "name": "fast", "kind": "discrete GPU", "trusted": true, "auto": true },
            { "device": "cpu", "name": "a CPU", "kind": "CPU", "trusted": true, "auto": false },
        ] })
    }

    #[test]
    fn the_best_gpu_is_no_software_adapter() {
        assert_eq!(adapter(&doctor(), "gpu").unwrap()["name"], "fast");
        assert_eq!(adapter(&doctor(), "gpu:0").unwrap()["name"], "llvmpipe");
        let mut software = doctor();
        software["devices"].as_array_mut().unwrap().drain(1..3);
        let error = adapter(&software, "gpu").unwrap_err().to_string();
        assert!(error.contains("gpu:0: llvmpipe, software adapter"), "{error}");
        assert!(adapter(&software, "cpu").is_err());
    }
}
