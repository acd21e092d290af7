//! `unbraid`: separates a recording into its stems, and trains the network that does it.
//!
//! This crate is the front end: arguments, progress, files, advice and exit codes. The work is done in the libraries.

mod advice;
mod dashboard;
mod data;
mod device;
mod doctor;
mod evaluate;
mod import;
mod interrupt;
mod models;
mod output;
mod panel;
mod plan;
mod progress;
mod reference;
mod report;
mod separate;
mod settings;
mod shard;
mod shell;
mod song_makers;
mod train;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

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

const SEPARATE_HELP: &str = "\
Examples:
  unbraid separate song.mp3                         writes separated/song/{drums,bass,other,vocals}.wav
  unbraid separate ~/Music/Album --skip-existing    all songs of a folder that have no stems yet
  unbraid separate song.flac --two-stems vocals --sample-rate song --format flac
  unbraid separate song.mp3 --start 1:30 --end 2:00 --name '{song} ({stem})'
  curl https://… | unbraid separate - --stems vocals --out - | aplay
A song that fails does not stop the others. The exit code is 1 if a song failed, and 130 after Ctrl-C.";

const TRAIN_HELP: &str = "\
A new run needs --out, --data and --model, as flags or in the file of --config. Examples:
  unbraid train --config configs/train/demo.toml --data data/synth --out runs/first
  unbraid train --resume --out runs/first
`unbraid settings` explains every setting, with its name in TOML and its bounds.";

const EVALUATE_HELP: &str = "\
Examples:
  unbraid evaluate --model runs/first/model.safetensors --data musdb18hq --csv scores.csv
  unbraid evaluate --model a.safetensors --model b.safetensors --shifts 4 --data musdb18hq
  unbraid evaluate --reference-dir musdb18hq/test --estimate-dir separated/htdemucs --stems drums,vocals
cSDR is that of museval (median over songs), uSDR the \"new SDR\" of the MDX challenge (mean over songs).";

const IMPORT_HELP: &str = "\
Examples:
  unbraid import model.ckpt --config model.yaml --out model.safetensors
  unbraid import model.ckpt --config model.yaml --out model.safetensors --precision f16
  unbraid import model.ckpt --list                  what the checkpoint holds
  unbraid separate song.mp3 --model model.safetensors
Nothing in a checkpoint is executed. docs/import.md says which checkpoints and networks are recognised.";

const COMPLETIONS_HELP: &str = "\
Examples:
  unbraid completions bash > ~/.local/share/bash-completion/completions/unbraid
  unbraid completions zsh > ~/.zfunc/_unbraid    (in a folder of $fpath)
  unbraid completions fish > ~/.config/fish/completions/unbraid.fish";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Separate songs into stems
    #[command(after_help = SEPARATE_HELP)]
    Separate(Box<separate::Arguments>),
    /// List the built-in models with their size, stems, scores and provenance
    Models(models::Arguments),
    /// Convert a PyTorch checkpoint of BS-RoFormer or Mel-Band RoFormer, with its YAML file, to a weights file
    #[command(after_help = IMPORT_HELP)]
    Import(import::Arguments),
    /// Train a network on a folder of stems in the MUSDB18-HQ layout
    #[command(after_help = TRAIN_HELP)]
    Train(Box<train::Arguments>),
    /// Estimate the memory of training before it starts, and find settings that fit
    #[command(after_help = SETTINGS_HELP)]
    Plan(plan::Arguments),
    /// Score models, or the files of any system, on whole songs: cSDR, uSDR and SI-SDR per stem
    #[command(after_help = EVALUATE_HELP)]
    Evaluate(Box<evaluate::Arguments>),
    /// Write a page about runs: curves, scores, settings, and excerpts to see and hear
    Report(report::Arguments),
    /// Create and check data sets
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

fn main() -> ExitCode {
    let verb = Cli::parse().verb;
    // These commands stop at a safe point. Training installs its own handler, and the others may stop immediately.
    let evaluates = matches!(verb, Verb::Evaluate(_));
    if evaluates || matches!(verb, Verb::Separate(_) | Verb::Data(_)) {
        interrupt::install();
    }
    song_makers::register();
    let result = match verb {
        Verb::Separate(arguments) => arguments.run(),
        Verb::Models(arguments) => arguments.run(),
        Verb::Import(arguments) => arguments.run(),
        Verb::Train(arguments) => arguments.run(),
        Verb::Plan(arguments) => arguments.run(),
        Verb::Evaluate(arguments) => arguments.run(),
        Verb::Report(arguments) => arguments.run(),
        Verb::Data(verb) => verb.run(),
        Verb::Doctor(arguments) => arguments.run(),
        Verb::Settings => reference::run(),
        Verb::Completions(arguments) => arguments.run(Cli::command()),
        Verb::Man(arguments) => arguments.run(Cli::command()),
    };
    let Err(reason) = result else { return ExitCode::SUCCESS };
    let reason = device::out_of_memory().filter(|_| evaluates).unwrap_or(reason);
    advice::print_error(&reason);
    interrupt::exit_code().map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
