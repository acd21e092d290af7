//! `unbraid train`.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use anyhow::{Context, bail};
use burn::tensor::Device;
use clap::{Args, ValueEnum};
use indicatif::HumanBytes;
use unbraid_ops::device::{self, DeviceInfo, MemoryRefused};
use unbraid_train::{RunFolder, TrainConfig, TrainError, rungs, train};

use crate::plan::{fitting, flags, has_f16, rungs_of};
use crate::progress::{Screen, tell};
use crate::settings::{Settings, bytes, set};
use crate::{DeviceArgument, interrupt};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnOutOfMemory {
    Stop,
    Reduce,
    /// Stop, with [`OUT_OF_MEMORY`] as the exit code.
    #[value(hide = true)]
    Tell,
}

const OUT_OF_MEMORY: i32 = 3;

const LEVELS: &str = "`--preset level1`, `level2` and `level3` take less, and begin another run";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Folder with train/TRACK/{drums,bass,other,vocals}.wav.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The run's folder: settings, metrics.jsonl, checkpoints, and at the end model.safetensors.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on where the run's newest whole checkpoint is, with the run's own settings.
    #[arg(long)]
    resume: bool,
    /// End the run where a step takes more memory than this, as 8GB.
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    memory_limit: Option<u64>,
    /// Where memory runs out: stop, or reduce, which goes on from the last checkpoint with thriftier settings.
    #[arg(long, value_name = "WHAT", default_value = "stop")]
    on_oom: OnOutOfMemory,
    /// End after so many minutes; the learning rate's schedule follows the time.
    #[arg(long)]
    minutes: Option<f64>,
    /// End after so many steps.
    #[arg(long)]
    steps: Option<u64>,
    /// Largest learning rate.
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,
    /// Steps between validations; 0 for none.
    #[arg(long, value_name = "STEPS")]
    validation_interval: Option<u64>,
    /// Steps between checkpoints.
    #[arg(long, value_name = "STEPS")]
    checkpoint_interval: Option<u64>,
    /// Threads that read and mix examples.
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Chooses initial weights, examples and their order.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    device: DeviceArgument,
}

impl Arguments {
    fn settings(&mut self) -> anyhow::Result<TrainConfig> {
        let config = match &self.settings.config {
            Some(path) => TrainConfig::load(path)?,
            None if self.resume => {
                let run = self.out.as_ref().context("--resume needs the run's folder: --out DIR")?;
                TrainConfig::load(&run.join("config.toml")).context("there is no run to go on with")?
            }
            None => TrainConfig::default(),
        };
        let mut config = self.settings.over(config);
        set(&mut config.data, self.data.take());
        set(&mut config.run, self.out.take());
        set(&mut config.memory_limit, self.memory_limit.map(Some));
        set(&mut config.max_minutes, self.minutes.map(Some));
        set(&mut config.steps, self.steps);
        set(&mut config.learning_rate, self.learning_rate);
        set(&mut config.validation_interval, self.validation_interval);
        set(&mut config.checkpoint_interval, self.checkpoint_interval);
        set(&mut config.workers, self.workers);
        set(&mut config.seed, self.seed);
        Ok(config)
    }

    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        let config = self.settings()?;
        config.validate()?;
        if self.on_oom == OnOutOfMemory::Reduce {
            return self.reduce(&config);
        }
        interrupt::install();
        let (device, info) = self.device.open()?;
        let mut screen = Screen::new();
        let result = train(&config, self.resume, &device, &mut screen);
        drop(screen);
        let report = match result {
            Err(error) if error.is_out_of_memory() && self.on_oom == OnOutOfMemory::Tell => {
                tell(error);
                std::process::exit(OUT_OF_MEMORY);
            }
            Err(error) if error.is_out_of_memory() => {
                bail!("{error}. {}", remedy(&config, &error, &device, &info))
            }
            result => result?,
        };
        let steps = report.steps;
        if report.stopped {
            tell(format_args!("stopped after {steps} steps; `--resume` goes on from there"));
        } else {
            tell(format_args!("done: {steps} steps in {:.0} s of training", report.seconds));
        }
        if report.skipped > 0 {
            let skipped = report.skipped;
            tell(format_args!("{skipped} steps were skipped: their loss or gradient was not finite"));
        }
        tell(format_args!("memory: at most {}", HumanBytes(report.memory.peak)));
        tell(format_args!("model: {} (weights of step {})", report.model.display(), report.model_step));
        Ok(())
    }

    /// Trains in a process of its own, for only its end gives back all that it took of the device. Where that was not
    /// enough, another goes on from the last checkpoint, or where there is none from the beginning, on the next rung.
    fn reduce(&self, config: &TrainConfig) -> anyhow::Result<()> {
        interrupt::leave_to_others();
        let device = device::find(self.device.device)?;
        let rungs = rungs(config, has_f16(&device));
        let mut resume = self.resume;
        for (index, rung) in rungs.iter().enumerate() {
            if index > 0 {
                tell(format_args!("going on with {}", flags(&rungs[index - 1], rung)));
                resume = !RunFolder::new(&config.run).checkpoints()?.steps().is_empty();
            }
            let status = train_apart(rung, resume, &device)?;
            match status.code() {
                Some(0) => return Ok(()),
                Some(OUT_OF_MEMORY) => {}
                // It has said why.
                Some(code) => std::process::exit(code),
                None => bail!("training was ended from outside ({status}); go on with --resume"),
            }
        }
        bail!("these settings are the thriftiest of this run; {LEVELS}");
    }
}

/// What to do about memory that did not suffice: the first thriftier settings that fit, as `plan` finds them.
fn remedy(config: &TrainConfig, error: &TrainError, device: &Device, info: &DeviceInfo) -> String {
    let memory = match error {
        TrainError::OverLimit { limit, .. } => Some(*limit),
        TrainError::OutOfMemory(MemoryRefused::TooLarge { .. }) => Some(u64::MAX),
        // What it gave until then.
        _ => device::memory(device).map(|memory| memory.reserved),
    };
    let Some(memory) = memory else {
        return "`unbraid plan --memory SIZE` names settings that fit".into();
    };
    tell(format_args!("{error}; looking for settings that fit"));
    // What the run took is kept for reuse, and the estimates' processes need a little.
    device.memory_cleanup();
    match fitting(rungs_of(config, info).skip(1), memory, info) {
        Ok(estimate) => format!("With {} it fits; --on-oom reduce finds that by itself", estimate.flags),
        Err(nothing) => format!("Of the thriftier settings {nothing}; {LEVELS}"),
    }
}

fn train_apart(config: &TrainConfig, resume: bool, device: &DeviceInfo) -> anyhow::Result<ExitStatus> {
    let file = tempfile::Builder::new().suffix(".toml").tempfile()?;
    std::fs::write(file.path(), config.to_toml())?;
    let mut command = Command::new(std::env::current_exe().context("cannot find this program's own file")?);
    command.args(["train", "--on-oom", "tell", "--device", &device.choice.to_string(), "--config"]);
    command.arg(file.path());
    if resume {
        command.arg("--resume");
    }
    command.status().context("cannot start a process")
}
