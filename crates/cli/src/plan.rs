//! `unbraid plan`: what training takes of memory, before it is started.
//!
//! On a GPU some steps are rehearsed: every tensor gets its place in the pools that it would lie in and gives it back,
//! every kernel is built and none started, and none of the device's memory is taken. On the CPU, which has no such
//! thing, they are taken, which tells their time too. Each estimate is made by a process of its own: pools keep what
//! they once took.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::HumanBytes;
use serde::{Deserialize, Serialize};
use unbraid_ops::device::DeviceInfo;
use unbraid_train::{Preset, StepMeasurement, TrainConfig, dry_run, measure, rungs};

use crate::DeviceArgument;
use crate::progress::{print, tell};
use crate::settings::{Settings, bytes};

/// Steps of a rehearsal: the second finds the optimiser's moments as every later step does, and in which order tensors
/// go, which burn leaves open, decides for some more whether they find their page in the pools.
const REHEARSED: u64 = 4;

/// Steps that are taken on the CPU at least, for the optimiser's moments again.
const TAKEN: u64 = 2;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Find the fastest settings whose steps take at most so much, as 8GB or 800MB.
    #[arg(long, value_name = "SIZE", value_parser = bytes, conflicts_with = "measure")]
    memory: Option<u64>,
    /// Also take so many real steps, on noise, and say what they took. On the CPU two are taken in any case.
    #[arg(long, value_name = "STEPS", default_value_t = 0)]
    measure: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgument,
}

/// What a step takes, in bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Estimate {
    /// Flags that lead from the settings given to those estimated.
    pub(crate) flags: String,
    parameters: usize,
    /// Frames, bins and channels of the tokens at every resolution.
    planes: Vec<[usize; 3]>,
    /// The most that is taken.
    peak: u64,
    /// Weights, as they are between steps.
    weights: u64,
    /// Optimiser and moving average.
    optimizer: u64,
    /// Kept between forward and backward pass. Absent on the CPU, which does not tell.
    kept: Option<u64>,
    /// All that comes and goes: what is recomputed, gradients, the loss's spectra, unused parts of pages.
    working: Option<u64>,
    /// Whether kernels were left out.
    rehearsed: bool,
    /// Steps that were taken for real: those asked for, on the CPU two at least.
    #[serde(default)]
    measured: Vec<StepMeasurement>,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let file = match &self.settings.config {
            Some(path) => TrainConfig::load(path)?,
            None => TrainConfig { model: "tfswa_unet".into(), ..Default::default() },
        };
        // Neither folder is touched, a plan may be made before either exists; and what is above the limit is told too.
        let file = TrainConfig { run: "run".into(), data: "data".into(), memory_limit: None, ..file };
        let config = self.settings.over(file.clone());
        config.validate()?;
        config.model_config()?;
        let estimate = match self.memory {
            Some(memory) => {
                // Not opened here: on a card that is nearly full, estimates' processes need what is left.
                let device = self.device.find()?;
                fitting(rungs_of(&config, &device).chain(self.levels(&file)), memory, &device)?
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

    /// The levels that begin another run, as `train` takes them: over the file, under the flags given.
    fn levels(&self, file: &TrainConfig) -> impl Iterator<Item = (String, TrainConfig)> {
        let levels = Preset::ALL.into_iter().filter(|level| *level != Preset::LowVram);
        levels.map(move |level| (format!("--preset {level}"), self.settings.at(level).over(file.clone())))
    }

    fn estimate(&self, config: &TrainConfig) -> anyhow::Result<Estimate> {
        let (device, info) = self.device.open()?;
        let on_gpu = info.limits.is_some();
        let measured = |steps| measure(config, steps, &device, |step| tell(line(step)));
        if on_gpu && self.measure > 0 {
            let estimate = estimate_apart(config, &info)?;
            return Ok(Estimate { measured: measured(self.measure)?, ..estimate });
        }
        let steps = if on_gpu {
            dry_run(config, REHEARSED, &device, |_| {})?
        } else {
            measured(self.measure.max(TAKEN))?
        };
        let memory = steps[steps.len() - 1].memory;
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
            rehearsed: on_gpu,
            measured: if on_gpu { Vec::new() } else { steps },
        })
    }
}

/// The rungs of a run on a device, the run itself first, each with the flags that lead to it.
pub(crate) fn rungs_of(
    config: &TrainConfig,
    device: &DeviceInfo,
) -> impl Iterator<Item = (String, TrainConfig)> {
    rungs(config, has_f16(device)).into_iter().map(|rung| (flags(config, &rung), rung))
}

/// The first of the settings whose steps take at most `memory`. Says what each takes.
pub(crate) fn fitting(
    settings: impl Iterator<Item = (String, TrainConfig)>,
    memory: u64,
    device: &DeviceInfo,
) -> anyhow::Result<Estimate> {
    let mut least: Option<u64> = None;
    for (flags, config) in settings {
        let said = if flags.is_empty() { "as given" } else { &flags };
        // What a device cannot even allocate does not fit either.
        match estimate_apart(&config, device) {
            Ok(estimate) => {
                tell(format_args!("{said}: {}", HumanBytes(estimate.peak)));
                least = least.into_iter().chain([estimate.peak]).min();
                if estimate.peak <= memory {
                    return Ok(Estimate { flags, ..estimate });
                }
            }
            Err(error) => tell(format_args!("{said}: {error:#}")),
        }
    }
    match least {
        Some(least) => bail!("nothing fits {}: the least is {}", HumanBytes(memory), HumanBytes(least)),
        None => bail!("nothing can be had on this device"),
    }
}

/// An estimate made by another process of this program.
fn estimate_apart(config: &TrainConfig, device: &DeviceInfo) -> anyhow::Result<Estimate> {
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
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = said.lines().last().unwrap_or("no reason given");
        bail!("{}", reason.strip_prefix("error: ").unwrap_or(reason));
    }
    serde_json::from_slice(&output.stdout).context("not an estimate")
}

/// Whether a device trains in f16: GPUs with 16-bit floats do, the CPU computes in f32.
pub(crate) fn has_f16(device: &DeviceInfo) -> bool {
    device.limits.is_some() && device.features.f16
}

/// The flags that lead from `from` to a rung of it.
pub(crate) fn flags(from: &TrainConfig, to: &TrainConfig) -> String {
    let mut flags = Vec::new();
    if from.micro_batch_size != to.micro_batch_size {
        flags.push(format!("--micro-batch-size {}", to.micro_batch_size));
    }
    if from.precision != to.precision {
        flags.push(format!("--precision {}", format!("{:?}", to.precision).to_lowercase()));
    }
    if from.recompute != to.recompute {
        flags.push(format!("--recompute {}", format!("{:?}", to.recompute).to_lowercase()));
    }
    let chunks =
        [("tsa", from.tsa_chunk_size, to.tsa_chunk_size), ("fsa", from.fsa_chunk_size, to.fsa_chunk_size)];
    for (name, from, to) in chunks {
        if let Some(to) = to.filter(|to| from != Some(*to)) {
            flags.push(format!("--{name}-chunk-size {to}"));
        }
    }
    flags.join(" ")
}

fn table(estimate: &Estimate) -> String {
    let size = |what: &str, bytes: u64| format!("{what:<32}{:>12}", HumanBytes(bytes).to_string());
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
    if let Some(last) = estimate.measured.last() {
        if estimate.rehearsed {
            let off = 100.0 * (estimate.peak as f64 / last.memory.peak.max(1) as f64 - 1.0);
            lines.push(size("peak, measured", last.memory.peak));
            lines.push(format!("{:<32}{off:>11.1} %", "estimate off by"));
        }
        lines.push(format!("{:<32}{:>10.2} s", "a step", last.seconds));
    }
    if !estimate.rehearsed {
        lines.push(
            "Steps were taken on the CPU; the peak is the most of this process that was resident.".into(),
        );
    }
    if !estimate.flags.is_empty() {
        lines.push(format!("It takes these flags: {}", estimate.flags));
    }
    lines.join("\n")
}

fn line(step: &StepMeasurement) -> String {
    let StepMeasurement { step, seconds, loss, memory } = step;
    format!("step {step}: {seconds:.2} s, loss {loss:.4}, peak {}", HumanBytes(memory.peak))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cli, Verb};
    use clap::Parser;
    use unbraid_model::{Precision, Recompute};

    fn parse(flags: &str) -> Result<Arguments, clap::Error> {
        let cli = Cli::try_parse_from(format!("unbraid plan {flags}").split_whitespace())?;
        let Verb::Plan(arguments) = cli.verb else { panic!("`plan` is another verb") };
        Ok(arguments)
    }

    #[test]
    fn a_level_is_estimated_as_training_takes_it() -> Result<(), clap::Error> {
        let file = TrainConfig { model: "tfswa_unet".into(), segment_seconds: 3.0, ..Default::default() };
        for (preset, flags) in [("", "--segment 6"), ("--preset level2", "--hop-length 256 --recompute none")]
        {
            for (level, config) in parse(&format!("{preset} {flags}"))?.levels(&file) {
                let taken = parse(&format!("{level} {flags}"))?.settings.over(file.clone());
                assert_eq!(taken, config, "{level} in place of {preset}, {flags}");
            }
        }
        Ok(())
    }

    #[test]
    fn what_would_go_unheard_is_refused() {
        assert!(parse("--memory 8GB").is_ok() && parse("--measure 2").is_ok());
        assert!(parse("--memory 8GB --measure 2").is_err());
    }

    #[test]
    fn flags_say_what_changed() {
        let from = TrainConfig { batch_size: 4, ..Default::default() };
        assert_eq!(flags(&from, &from), "");
        let to = TrainConfig {
            micro_batch_size: 1,
            recompute: Recompute::Block,
            fsa_chunk_size: Some(32),
            ..from.clone()
        };
        assert_eq!(flags(&from, &to), "--micro-batch-size 1 --recompute block --fsa-chunk-size 32");
        let half = TrainConfig { precision: Precision::F16, ..to.clone() };
        assert_eq!(flags(&to, &half), "--precision f16");
    }
}
