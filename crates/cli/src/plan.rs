//! `unbraid plan`: estimates the memory of training before it starts.
//!
//! On a GPU the estimate is a dry run of some steps. Every tensor is placed in the memory pools and then freed.
//! Every kernel is built, but none is started, and no memory of the device is allocated. The CPU has no dry run: there
//! the steps are real, which also gives their time. Each estimate runs in its own process, because memory pools never
//! shrink.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::DecimalBytes;
use serde::{Deserialize, Serialize};
use unbraid_ops::device::DeviceInfo;
use unbraid_train::{MemoryPreset, StepMeasurement, TrainConfig, check_loss, dry_run, fallbacks, measure};

use crate::device::DeviceArgument;
use crate::output::{notice, print};
use crate::settings::{Settings, bytes, flags_between};

/// Steps of a dry run. The optimiser's state exists from step 2 on. A few more steps are needed because burn frees
/// tensors in an unspecified order, which affects how the pools are reused.
const DRY_STEPS: u64 = 4;

/// Minimum number of real steps on the CPU. The optimiser's state exists from step 2 on.
const REAL_STEPS: u64 = 2;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: Settings<false>,
    /// Find the first settings that fit into this much memory, for example 8GB. It tries the fallbacks of the run,
    /// fastest first
    #[arg(long, value_name = "SIZE", value_parser = bytes, conflicts_with = "measure")]
    memory: Option<u64>,
    /// Also run this many real steps on noise and measure them. The CPU always runs at least two
    #[arg(long, value_name = "STEPS", default_value_t = 0)]
    measure: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgument,
}

/// The memory of a step, in bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Estimate {
    /// Flags that change the given settings into the estimated ones.
    pub(crate) flags: String,
    parameters: usize,
    /// Frames, bins and channels of the tokens at every resolution.
    planes: Vec<[usize; 3]>,
    /// The highest use.
    peak: u64,
    /// The weights between steps.
    weights: u64,
    /// The optimiser's state and the moving average.
    optimizer: u64,
    /// The values kept from the forward pass for the backward pass. Not available on the CPU.
    kept: Option<u64>,
    /// Everything temporary: recomputed values, gradients, the loss's spectra, unused parts of pages.
    working: Option<u64>,
    /// Whether the estimate is a dry run.
    dry_run: bool,
    /// Kernel launches of a step. Not available on the CPU.
    launches: Option<u64>,
    /// Seconds that the host takes for a step of a dry run: a lower bound of the step's time. Not available on the CPU.
    host_seconds: Option<f64>,
    /// The launches of every kernel.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    kernels: BTreeMap<String, u64>,
    /// Hours of the whole run at the measured time of a step, without validation.
    #[serde(default)]
    hours: Option<f64>,
    /// The real steps.
    #[serde(default)]
    measured: Vec<StepMeasurement>,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let file = match &self.settings.config {
            Some(path) => TrainConfig::load(path)?,
            None => TrainConfig { model: "tfswa_unet".into(), ..Default::default() },
        };
        // A plan uses neither folder and may be made before they exist. A step above the limit is estimated too.
        let file = TrainConfig { run: "run".into(), data: "data".into(), memory_limit: None, ..file };
        let config = self.settings.over(file.clone())?;
        config.validate()?;
        check_loss(&config)?;
        let estimate = match self.memory {
            Some(memory) => {
                // This process does not open the device, so that the estimates' processes have all of its free memory.
                let device = self.device.find()?;
                let candidates = fallbacks_with_flags(&config, &device)?.into_iter();
                first_fitting(candidates.chain(self.levels(&file)?), memory, &device)?
            }
            None => self.estimate(&config)?,
        };
        if self.json {
            print(serde_json::to_string_pretty(&estimate)?)?;
        } else {
            print(table(&estimate))?;
        }
        Ok(())
    }

    /// The presets that need a new run, as `train` takes them: they replace values of the file, and flags replace
    /// values of both.
    fn levels(&self, file: &TrainConfig) -> anyhow::Result<Vec<(String, TrainConfig)>> {
        let levels = MemoryPreset::ALL.into_iter().filter(|level| *level != MemoryPreset::LowVram);
        let level = |level| {
            let config = self.settings.with_preset(level).over(file.clone())?;
            Ok((format!("--preset {level}"), config))
        };
        let mut levels = levels.map(level).collect::<anyhow::Result<Vec<_>>>()?;
        // The last level changes nothing for a network that has no smaller one.
        levels.dedup_by(|later, earlier| later.1 == earlier.1);
        Ok(levels)
    }

    fn estimate(&self, config: &TrainConfig) -> anyhow::Result<Estimate> {
        let (device, info) = self.device.open()?;
        let on_gpu = info.limits.is_some();
        let measured = |steps| measure(config, steps, &device, |step| notice(line(step)));
        if on_gpu && self.measure > 0 {
            let estimate = estimate_in_process(config, &info)?;
            let measured = measured(self.measure)?;
            return Ok(Estimate { hours: hours(config, &measured), measured, ..estimate });
        }
        let steps = if on_gpu {
            dry_run(config, DRY_STEPS, &device, |_| {})?
        } else {
            measured(self.measure.max(REAL_STEPS))?
        };
        let StepMeasurement { memory, seconds, launches: kernels, .. } = steps[steps.len() - 1].clone();
        let network = config.model_config()?;
        let parameters = network.parameters();
        let weights = 4 * parameters as u64;
        let kept = memory.phases.map(|phases| phases.kept.saturating_sub(phases.state));
        let optimizer = memory.phases.map_or(3 * weights, |phases| phases.state.saturating_sub(weights));
        Ok(Estimate {
            flags: String::new(),
            parameters,
            planes: network.planes(config.segment_samples(&network)),
            peak: memory.peak,
            weights,
            optimizer,
            kept,
            working: kept.map(|kept| memory.peak.saturating_sub(kept + weights + optimizer)),
            dry_run: on_gpu,
            launches: on_gpu.then(|| kernels.values().sum()),
            host_seconds: on_gpu.then_some(seconds),
            kernels,
            hours: if on_gpu { None } else { hours(config, &steps) },
            measured: if on_gpu { Vec::new() } else { steps },
        })
    }
}

/// Hours of the whole run. A step takes the shortest time that was measured, because the first steps build kernels.
fn hours(config: &TrainConfig, measured: &[StepMeasurement]) -> Option<f64> {
    let seconds = measured.iter().map(|step| step.seconds).min_by(f64::total_cmp)?;
    let limit = config.max_minutes.map_or(f64::INFINITY, |minutes| minutes / 60.0);
    Some(limit.min(config.steps as f64 * seconds / 3600.0))
}

/// `config` and its fallbacks on a device, each with the flags that change `config` into it.
pub(crate) fn fallbacks_with_flags(
    config: &TrainConfig,
    device: &DeviceInfo,
) -> anyhow::Result<Vec<(String, TrainConfig)>> {
    let with_flags = |fallback| Ok((flags_between(config, &fallback)?, fallback));
    fallbacks(config, has_f16(device)).into_iter().map(with_flags).collect()
}

/// The first settings whose steps use at most `memory`. Prints the estimate of each.
pub(crate) fn first_fitting(
    settings: impl Iterator<Item = (String, TrainConfig)>,
    memory: u64,
    device: &DeviceInfo,
) -> anyhow::Result<Estimate> {
    let mut least: Option<u64> = None;
    for (flags, config) in settings {
        let label = if flags.is_empty() { "as given" } else { &flags };
        // Settings that the device cannot even allocate do not fit either.
        match estimate_in_process(&config, device) {
            Ok(estimate) => {
                notice(format_args!("{label}: {}", DecimalBytes(estimate.peak)));
                least = least.into_iter().chain([estimate.peak]).min();
                if estimate.peak <= memory {
                    return Ok(Estimate { flags, ..estimate });
                }
            }
            Err(error) => notice(format_args!("{label}: {error:#}")),
        }
    }
    match least {
        Some(least) => {
            bail!(
                "no settings fit into {}: the lowest estimate is {}",
                DecimalBytes(memory),
                DecimalBytes(least)
            )
        }
        None => bail!("no settings can be estimated on this device"),
    }
}

/// An estimate by another process of this program.
fn estimate_in_process(config: &TrainConfig, device: &DeviceInfo) -> anyhow::Result<Estimate> {
    let file = tempfile::Builder::new().suffix(".toml").tempfile()?;
    std::fs::write(file.path(), config.to_toml())?;
    let output = Command::new(std::env::current_exe().context("cannot find this program's own file")?)
        .args(["plan", "--json", "--device", &device.choice.to_string(), "--config"])
        .arg(file.path())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .context("cannot start a process")?;
    if !output.status.success() {
        bail!("{}", reported_error(&String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).context("the planning process printed no estimate")
}

/// The fact that a process of this program printed on standard error, without its advice.
fn reported_error(text: &str) -> String {
    let error = text.lines().skip_while(|line| !line.starts_with("error: "));
    let error: Vec<_> = error.take_while(|line| !line.starts_with("help: ")).collect();
    match error.join("\n").strip_prefix("error: ") {
        Some(fact) => fact.to_owned(),
        None => text.lines().last().unwrap_or("the process gave no reason").to_owned(),
    }
}

/// Whether training on a device can use f16. The CPU computes in f32 in any case.
pub(crate) fn has_f16(device: &DeviceInfo) -> bool {
    device.limits.is_some() && device.features.f16
}

fn table(estimate: &Estimate) -> String {
    let size = |label: &str, bytes: u64| format!("{label:<32}{:>12}", DecimalBytes(bytes).to_string());
    let mut lines = vec![format!("{:<32}{:>12}", "parameters", estimate.parameters)];
    lines.extend(estimate.planes.iter().enumerate().map(|(resolution, [frames, bins, channels])| {
        format!("tokens at resolution {resolution}: {frames} frames × {bins} bins × {channels} channels")
    }));
    lines.push(size("weights", estimate.weights));
    lines.push(size("optimiser and average", estimate.optimizer));
    if let (Some(kept), Some(working)) = (estimate.kept, estimate.working) {
        lines.push(size("kept for the backward pass", kept));
        lines.push(size("working memory", working));
    }
    lines.push(size("peak", estimate.peak));
    if let (Some(launches), Some(seconds)) = (estimate.launches, estimate.host_seconds) {
        lines.push(format!("{:<32}{launches:>12}", "kernel launches per step"));
        lines.push(format!("{:<32}{seconds:>10.2} s", "host time per step, dry run"));
    }
    if let Some(last) = estimate.measured.last() {
        if estimate.dry_run {
            let off = 100.0 * (estimate.peak as f64 / last.memory.peak.max(1) as f64 - 1.0);
            lines.push(size("peak, measured", last.memory.peak));
            lines.push(format!("{:<32}{off:>11.1} %", "error of the estimate"));
        }
        lines.push(format!("{:<32}{:>10.2} s", "time per step", last.seconds));
    }
    if let Some(hours) = estimate.hours {
        lines.push(format!("{:<32}{hours:>10.1} h", "the whole run, no validation"));
    }
    if !estimate.dry_run {
        lines.push("The CPU ran real steps. The peak is the largest resident set of the process.".into());
    }
    if !estimate.flags.is_empty() {
        lines.push(format!("Flags: {}", estimate.flags));
    }
    lines.join("\n")
}

fn line(step: &StepMeasurement) -> String {
    let StepMeasurement { step, seconds, loss, memory, .. } = step;
    format!("step {step}: {seconds:.2} s, loss {loss:.4}, peak {}", DecimalBytes(memory.peak))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Plan {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(flags: &str) -> Result<Arguments, clap::Error> {
        let plan = Plan::try_parse_from(format!("plan {flags}").split_whitespace())?;
        Ok(plan.arguments)
    }

    #[test]
    fn a_preset_is_estimated_as_training_takes_it() -> anyhow::Result<()> {
        let file = TrainConfig { model: "tfswa_unet".into(), segment_seconds: 3.0, ..Default::default() };
        for (preset, flags) in [("", "--segment 6"), ("--preset level2", "--hop-length 256 --recompute none")]
        {
            for (level, config) in parse(&format!("{preset} {flags}"))?.levels(&file)? {
                let taken = parse(&format!("{level} {flags}"))?.settings.over(file.clone())?;
                assert_eq!(taken, config, "{level} instead of {preset}, {flags}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_run_takes_the_shortest_step_times_the_steps_or_its_limit() {
        let step = |seconds| StepMeasurement {
            step: 1,
            seconds,
            loss: 1.0,
            memory: unbraid_train::MemoryEvent { taken: 0, peak: 0, phases: None },
            launches: BTreeMap::new(),
        };
        let config = TrainConfig { steps: 7200, max_minutes: None, ..Default::default() };
        assert_eq!(hours(&config, &[step(9.0), step(2.0)]), Some(4.0));
        assert_eq!(
            hours(&TrainConfig { max_minutes: Some(30.0), ..config.clone() }, &[step(2.0)]),
            Some(0.5)
        );
        assert_eq!(hours(&config, &[]), None);
    }

    #[test]
    fn flags_that_would_have_no_effect_are_refused() {
        assert!(parse("--memory 8GB").is_ok() && parse("--measure 2").is_ok());
        assert!(parse("--memory 8GB --measure 2").is_err());
        assert!(parse("--checkpoint-interval 5").is_err());
    }

    #[test]
    fn the_fact_of_a_process_is_reported_without_its_advice() {
        let text = "device: x\nerror: a fact\n  with two lines\nhelp: some advice\n";
        assert_eq!(reported_error(text), "a fact\n  with two lines");
        assert_eq!(reported_error("thread panicked\nat x"), "at x");
        assert_eq!(reported_error(""), "the process gave no reason");
    }
}
