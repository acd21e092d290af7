//! `unbraid`: separates a recording into its stems, and trains the network that does it.
//!
//! This crate is the front end: arguments, progress, files, advice and exit codes. The work is done in the libraries.

mod advice;
mod data;
mod device;
mod doctor;
mod evaluate;
mod interrupt;
mod output;
mod plan;
mod progress;
mod reference;
mod separate;
mod settings;
mod shell;
mod train;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use unbraid_ops::device::memory_refused;

use crate::output::notice;

/// glibc returns the pages of freed tensors to the system, and the next tensor of the same shape faults them in again.
/// On the CPU that takes a tenth of a training step. mimalloc keeps the pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Separates a recording into its stems (vocals, drums, bass, other), and trains the network that does it
#[derive(Debug, Parser)]
#[command(version = env!("UNBRAID_VERSION"), propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const SETTINGS_HELP: &str =
    "`unbraid settings` explains every setting, with its name in TOML and its bounds.";

const TRAIN_HELP: &str = "\
A new run needs --out, --data and --model, as flags or in the file of --config. Examples:
  unbraid train --config configs/train/demo.toml --data data/synth --out runs/first
  unbraid train --resume --out runs/first
`unbraid settings` explains every setting, with its name in TOML and its bounds.";

const COMPLETIONS_HELP: &str = "\
Examples:
  unbraid completions bash > ~/.local/share/bash-completion/completions/unbraid
  unbraid completions zsh > ~/.zfunc/_unbraid    (in a folder of $fpath)
  unbraid completions fish > ~/.config/fish/completions/unbraid.fish";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Separate songs into stems
    Separate(separate::Arguments),
    /// Train a network on a folder of stems in the MUSDB18-HQ layout
    #[command(after_help = TRAIN_HELP)]
    Train(Box<train::Arguments>),
    /// Estimate the memory of training before it starts, and find settings that fit
    #[command(after_help = SETTINGS_HELP)]
    Plan(plan::Arguments),
    /// Score a model on whole songs: uSDR, cSDR and SI-SDR per stem
    Evaluate(evaluate::Arguments),
    /// Create data sets
    #[command(subcommand)]
    Data(data::Verb),
    /// List the devices with their drivers, memory and features, and whether they are trusted
    Doctor(doctor::Arguments),
    /// Explain all training settings: TOML name, flag, type, default, bounds and meaning
    Settings,
    /// Print a script that completes commands and flags in a shell
    #[command(after_help = COMPLETIONS_HELP)]
    Completions(shell::Completions),
    /// Print the manual page, or write a page per command into a folder
    Man(shell::Manual),
}

/// An error and its causes. Many messages of the libraries include the cause's message, so it is not repeated.
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
    // Separation stops at a safe point. Training installs its own handler, and the other commands may stop immediately.
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
        Verb::Settings => reference::run(),
        Verb::Completions(arguments) => arguments.run(Cli::command()),
        Verb::Man(arguments) => arguments.run(Cli::command()),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    // After a refused allocation other errors may follow, so the refusal is reported in their place.
    let (fact, advice) = match memory_refused() {
        Some(refused) if separates => (
            format!("the device does not have enough memory: {refused}"),
            Some("Give a shorter `--segment`, or compute with `--device cpu`."),
        ),
        _ => (message(&error), advice::advice(&error)),
    };
    notice(format_args!("error: {fact}"));
    if let Some(advice) = advice {
        notice(format_args!("help: {advice}"));
    }
    // The exit code that shells report for a program that Ctrl-C has ended.
    if interrupt::requested() { ExitCode::from(130) } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use std::path::Path;
    use unbraid_train::TrainConfig;

    #[test]
    fn a_cause_is_reported_once() {
        let loaded = TrainConfig::load(Path::new("no/such.toml")).context("there is no run to resume");
        let error = loaded.expect_err("there is no such file");
        let cause = error.root_cause().to_string();
        assert_eq!(
            message(&error),
            format!("there is no run to resume: cannot read the settings no/such.toml: {cause}")
        );
    }

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
