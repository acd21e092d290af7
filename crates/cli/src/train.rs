//! `unbraid train`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use unbraid_train::{TrainConfig, train};

use crate::DeviceArgument;
use crate::progress::Screen;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A TOML file of settings (see configs/train); flags go over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// tfswa_unet, tfswa_unet_small, tfswa_unet_tiny, or a TOML file.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Folder with train/TRACK/{drums,bass,other,vocals}.wav.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The run's folder: settings, metrics.jsonl, checkpoints, and at the end model.safetensors.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on where the run's newest whole checkpoint is, with the run's own settings.
    #[arg(long)]
    resume: bool,
    /// End after so many minutes; the learning rate's schedule follows the time.
    #[arg(long)]
    minutes: Option<f64>,
    /// End after so many steps.
    #[arg(long)]
    steps: Option<u64>,
    /// Examples of a step.
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Seconds of an example.
    #[arg(long, value_name = "SECONDS")]
    segment: Option<f64>,
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

/// Lays a flag over a setting.
fn set<T>(setting: &mut T, flag: Option<T>) {
    if let Some(value) = flag {
        *setting = value;
    }
}

impl Arguments {
    fn settings(&mut self) -> anyhow::Result<TrainConfig> {
        let mut config = match &self.config {
            Some(path) => TrainConfig::load(path)?,
            None if self.resume => {
                let run = self.out.as_ref().context("--resume needs the run's folder: --out DIR")?;
                TrainConfig::load(&run.join("config.toml")).context("there is no run to go on with")?
            }
            None => TrainConfig::default(),
        };
        set(&mut config.model, self.model.take());
        set(&mut config.data, self.data.take());
        set(&mut config.run, self.out.take());
        set(&mut config.max_minutes, self.minutes.map(Some));
        set(&mut config.steps, self.steps);
        set(&mut config.batch_size, self.batch_size);
        set(&mut config.segment_seconds, self.segment);
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
        let (device, _) = self.device.open()?;
        let mut screen = Screen::new();
        let report = train(&config, self.resume, &device, &mut screen)?;
        drop(screen);
        let steps = report.steps;
        if report.stopped {
            eprintln!("stopped after {steps} steps; `--resume` goes on from there");
        } else {
            eprintln!("done: {steps} steps in {:.0} s of training", report.seconds);
        }
        if report.skipped > 0 {
            eprintln!("{} steps were skipped: their loss or gradient was not finite", report.skipped);
        }
        eprintln!("model: {} (weights of step {})", report.model.display(), report.model_step);
        Ok(())
    }
}
