//! `unbraid`: takes a recording apart into its stems, and trains the network that does.
//!
//! This crate is the edge: arguments, progress, files and exit codes. What it drives is in the libraries.

mod data;
mod doctor;
mod evaluate;
mod interrupt;
mod plan;
mod progress;
mod separate;
mod settings;
mod train;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use unbraid_ops::device::{self, Choice, DeviceInfo};

use crate::progress::tell;

/// Tensors of one shape come and go all the time: glibc hands their pages back to the system and faults them in
/// anew, a tenth of a training step on the CPU.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Takes a recording apart into its stems (vocals, drums, bass, other), and trains the network that does.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Separate songs into stems.
    Separate(separate::Arguments),
    /// Train a network on a folder of stems (MUSDB18-HQ layout).
    Train(train::Arguments),
    /// What training takes of memory, before it is started, and the settings that fit.
    Plan(plan::Arguments),
    /// Score a model on whole songs: uSDR, cSDR and SI-SDR per stem.
    Evaluate(evaluate::Arguments),
    /// Make data.
    #[command(subcommand)]
    Data(data::Verb),
    /// List devices: drivers, memory, features, and whether they are trusted.
    Doctor(doctor::Arguments),
}

#[derive(Debug, Args)]
struct DeviceArgument {
    /// auto (the best trusted GPU, else the CPU), cpu, gpu, or gpu:N as `unbraid doctor` lists them.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: Choice,
}

impl DeviceArgument {
    /// Says which device it is. It is not opened.
    fn find(&self) -> anyhow::Result<DeviceInfo> {
        Ok(told(device::find(self.device)?))
    }

    /// Opens the device and says which it is.
    fn open(&self) -> anyhow::Result<(burn::tensor::Device, DeviceInfo)> {
        let (device, info) = device::select(self.device)?;
        Ok((device, told(info)))
    }
}

/// Says which device it is.
fn told(info: DeviceInfo) -> DeviceInfo {
    tell(format_args!("device: {} ({})", info.name, info.kind));
    info
}

/// An error and its causes, each once: many of our messages hold their cause's already.
fn message(error: &anyhow::Error) -> String {
    let mut message = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

fn main() -> ExitCode {
    let verb = Cli::parse().verb;
    let separates = matches!(verb, Verb::Separate(_) | Verb::Evaluate(_));
    // These end at a safe place, as training does, the others at once.
    if separates {
        interrupt::install();
    }
    let result = match verb {
        Verb::Separate(arguments) => arguments.run(),
        Verb::Train(arguments) => arguments.run(),
        Verb::Plan(arguments) => arguments.run(),
        Verb::Evaluate(arguments) => arguments.run(),
        Verb::Data(verb) => verb.run(),
        Verb::Doctor(arguments) => arguments.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match device::memory_refused() {
                Some(refused) if separates => tell(format_args!(
                    "error: the device's memory does not suffice: {refused}; give a shorter --segment, or --device cpu"
                )),
                _ => tell(format_args!("error: {}", message(&error))),
            }
            // What a shell reports for a program ended by Ctrl-C.
            if interrupt::requested() { ExitCode::from(130) } else { ExitCode::FAILURE }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use std::path::Path;
    use unbraid_train::TrainConfig;

    #[test]
    fn a_cause_is_told_once() {
        let loaded = TrainConfig::load(Path::new("no/such.toml")).context("there is no run to go on with");
        let error = loaded.expect_err("there is no such file");
        let cause = error.root_cause().to_string();
        assert_eq!(
            message(&error),
            format!("there is no run to go on with: cannot read the configuration no/such.toml: {cause}")
        );
    }
}
