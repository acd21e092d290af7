//! `unbraid train`: trains a network.

#[cfg(feature = "mpi")]
mod ranks;

use std::io::{self, IsTerminal};
use std::process::{Command, ExitStatus};

use anyhow::Context;
use burn::tensor::Device;
use clap::{Args, ValueEnum};
use indicatif::DecimalBytes;
use unbraid_base::counted;
use unbraid_ops::device::{self, DeviceInfo, MemoryRefused};
use unbraid_train::{
    Crew, Event, Flow, Listener, RunFolder, TrainConfig, TrainError, TrainReport, fallbacks, train,
};

use crate::advice::advised;
use crate::dashboard::Dashboard;
use crate::device::{DevicesArgument, Opened, open_all};
use crate::interrupt;
use crate::output::notice;
use crate::panel;
use crate::plan::{fallbacks_with_flags, first_fitting, has_f16};
use crate::progress::Lines;
use crate::report::{after_training, record_device};
use crate::settings::{Settings, flags_between};

/// The reaction to a step that runs out of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnOutOfMemory {
    Stop,
    Reduce,
    /// Stop with the exit code [`OUT_OF_MEMORY`]. For the processes that `Reduce` starts.
    #[value(hide = true)]
    ExitCode,
}

const OUT_OF_MEMORY: i32 = 3;

const LEVELS: &str = "`--preset level1`, `level2` and `level3` need less memory, but start a new run";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: Settings<true>,
    /// When memory runs out: stop, or reduce, which continues from the last checkpoint with settings that need less
    #[arg(long, value_name = "ACTION", default_value = "stop", help_heading = "Memory")]
    on_oom: OnOutOfMemory,
    /// Continue the run in --out DIR from its newest checkpoint
    #[arg(long)]
    resume: bool,
    /// Write plain lines. On a terminal, curves at its bottom show the loss, the scores and the time that is left
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    devices: DevicesArgument,
    /// Be one process of an MPI job, started by `mpirun` or `srun`: each takes an equal part of every batch. The processes
    /// of a machine divide its --devices
    #[cfg(feature = "mpi")]
    #[arg(long, conflicts_with = "on_oom")]
    mpi: bool,
}

/// A listener that records the device at the first step, when the run is known to work.
struct Recorded<'a> {
    screen: Box<dyn Listener>,
    /// The run whose device is not recorded yet.
    run: Option<(&'a TrainConfig, &'a DeviceInfo)>,
}

impl Listener for Recorded<'_> {
    fn event(&mut self, event: &Event<'_>) -> Flow {
        if let Event::Step(_) = event
            && let Some((config, info)) = self.run.take()
        {
            record_device(config, info);
        }
        self.screen.event(event)
    }
}

impl Arguments {
    fn settings(&self) -> anyhow::Result<TrainConfig> {
        let config = match &self.settings.config {
            Some(path) => TrainConfig::load(path)?,
            None if self.resume => {
                let run = self.settings.value("run").and_then(toml::Value::as_str);
                let run = run.context("--resume needs the folder of the run: --out DIR")?;
                let folder = RunFolder::new(run.as_ref());
                match folder.saved_config()? {
                    Some(config) => config,
                    None if folder.has_checkpoints() => {
                        return Err(TrainError::SettingsLost(run.into()).into());
                    }
                    None => return Err(TrainError::NothingToResume(run.into()).into()),
                }
            }
            None => TrainConfig::default(),
        };
        Ok(self.settings.over(config)?)
    }

    fn valid_settings(&self) -> anyhow::Result<TrainConfig> {
        let config = self.settings()?;
        config.validate()?;
        Ok(config)
    }

    pub(crate) fn run(self) -> anyhow::Result<()> {
        #[cfg(feature = "mpi")]
        if self.mpi {
            return ranks::run(&self.devices.choices(), |ranks, opened| {
                self.train(&self.valid_settings()?, opened, |devices| Crew::leading(devices, ranks))
            });
        }
        let config = self.valid_settings()?;
        if self.on_oom == OnOutOfMemory::Reduce {
            return self.reduce(&config);
        }
        interrupt::install();
        let opened = open_all(&self.devices.choices())?;
        self.train(&config, &opened, Crew::from)
    }

    /// Trains on open devices, in the crew that `crew` makes of them.
    fn train(
        &self,
        config: &TrainConfig,
        opened: &[Opened],
        crew: impl FnOnce(Vec<Device>) -> Crew,
    ) -> anyhow::Result<()> {
        let (device, info) = &opened[0];
        let crew = crew(opened.iter().map(|(device, _)| device.clone()).collect());
        let mut screen = Recorded { screen: self.screen(config), run: Some((config, info)) };
        let result = train(config, self.resume, crew, &mut screen);
        drop(screen);
        let report = match result {
            Err(error) if error.is_out_of_memory() && self.on_oom == OnOutOfMemory::ExitCode => {
                notice(error);
                std::process::exit(OUT_OF_MEMORY);
            }
            Err(error) if error.is_out_of_memory() => {
                let advice = remedy(config, &error, device, info);
                return Err(advised(error, advice));
            }
            result => result?,
        };
        notice(outcome(config, &report));
        if report.skipped > 0 {
            let updates = counted(report.skipped, "update");
            notice(format_args!("the loss or gradient was not finite: {updates} skipped"));
        }
        if !report.already_complete {
            notice(format_args!("peak memory: {}", DecimalBytes(report.memory.peak)));
        }
        notice(format_args!("model: {} (weights of step {})", report.model.display(), report.model_step));
        if !report.already_complete {
            after_training(config, device, !report.stopped);
        }
        Ok(())
    }

    /// The display of the run.
    fn screen(&self, config: &TrainConfig) -> Box<dyn Listener> {
        if self.plain || !panel::is_possible() || !io::stdout().is_terminal() {
            return Box::new(Lines::new(interrupt::requested));
        }
        Box::new(Dashboard::new(config, self.resume, interrupt::requested))
    }

    /// Trains in a child process, because only the end of a process returns all memory of the device. After each
    /// out-of-memory failure another process continues with the next fallback, from the last checkpoint if there is
    /// one, otherwise from the beginning.
    fn reduce(&self, config: &TrainConfig) -> anyhow::Result<()> {
        interrupt::leave_to_others();
        let device = device::find(self.devices.choices()[0])?;
        let fallbacks = fallbacks(config, has_f16(&device));
        let mut resume = self.resume;
        for (index, fallback) in fallbacks.iter().enumerate() {
            if index > 0 {
                let flags = flags_between(&fallbacks[index - 1], fallback)?;
                notice(format_args!("continuing with {flags}"));
                resume = !RunFolder::new(&config.run).checkpoints()?.steps().is_empty();
            }
            let status = self.train_in_process(fallback, resume)?;
            match status.code() {
                Some(0) => return Ok(()),
                Some(OUT_OF_MEMORY) => {}
                // The process has printed its error.
                Some(code) => std::process::exit(code),
                None => {
                    let fact = format!("the training process was terminated from outside ({status})");
                    return Err(advised(fact, "`--resume` continues the run."));
                }
            }
        }
        let fact = "the run does not fit into memory, even with the settings that need the least";
        Err(advised(fact, format!("{LEVELS}.")))
    }

    fn train_in_process(&self, config: &TrainConfig, resume: bool) -> anyhow::Result<ExitStatus> {
        let file = tempfile::Builder::new().suffix(".toml").tempfile()?;
        std::fs::write(file.path(), config.to_toml())?;
        let mut command =
            Command::new(std::env::current_exe().context("cannot find this program's own file")?);
        command.args(self.child_arguments(resume)).arg("--config").arg(file.path());
        command.status().context("cannot start a process")
    }

    /// The arguments of a process that trains on the same devices and shows the run in the same way.
    fn child_arguments(&self, resume: bool) -> Vec<String> {
        let mut arguments = ["train", "--on-oom", "exit-code"].map(String::from).to_vec();
        arguments.extend(self.devices.flag());
        let flags = [("--resume", resume), ("--plain", self.plain)];
        arguments.extend(flags.into_iter().filter(|(_, set)| *set).map(|(flag, _)| flag.to_owned()));
        arguments
    }
}

/// How the run ended, and what to do to go on.
fn outcome(config: &TrainConfig, report: &TrainReport) -> String {
    let steps = counted(report.steps, "step");
    if report.stopped {
        return format!("stopped after {steps}; `--resume` continues the run");
    }
    if !report.already_complete {
        return format!("done: {steps} in {:.0} s of training", report.seconds);
    }
    let limit = if report.stopped_early {
        format!("`--early-stop` above {}", config.early_stop)
    } else if report.steps >= config.steps {
        format!("`--steps` above {}", config.steps)
    } else {
        format!("`--minutes` above {}", config.max_minutes.unwrap_or_default())
    };
    format!(
        "the run was complete already, after {steps} in {:.0} s of training; `--resume` with {limit} goes on",
        report.seconds
    )
}

/// Advice after an out-of-memory error: the first fallback that fits.
fn remedy(config: &TrainConfig, error: &TrainError, device: &Device, info: &DeviceInfo) -> String {
    let memory = match error {
        TrainError::OverLimit { limit, .. } => Some(*limit),
        TrainError::OutOfMemory(MemoryRefused::TooLarge { .. }) => Some(u64::MAX),
        // The amount that the device had granted before the failure.
        _ => device::memory(device).map(|memory| memory.reserved),
    };
    let Some(memory) = memory else {
        return "`unbraid plan --memory SIZE` finds settings that fit.".into();
    };
    notice(format_args!("{error}; looking for settings that fit"));
    // Frees the memory that burn has cached: the planning processes need some.
    device.memory_cleanup();
    let fitting = fallbacks_with_flags(config, info)
        .and_then(|fallbacks| first_fitting(fallbacks.into_iter().skip(1), memory, info));
    match fitting {
        Ok(estimate) => {
            format!("The run fits with {}. `--on-oom reduce` finds this by itself.", estimate.flags)
        }
        Err(reason) => format!("Among the fallbacks of this run, {reason}. {LEVELS}."),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        train: Arguments,
    }

    #[test]
    fn a_child_process_gets_the_flags_that_are_no_settings() {
        let child = |arguments: &[&str], resume| {
            let program = Program::try_parse_from([&["unbraid"], arguments].concat()).unwrap();
            program.train.child_arguments(resume).join(" ")
        };
        assert_eq!(child(&[], false), "train --on-oom exit-code --devices auto");
        assert_eq!(
            child(&["--devices", "0,gpu:1", "--plain"], true),
            "train --on-oom exit-code --devices gpu:0,gpu:1 --resume --plain"
        );
    }
}
