//! Development tasks for people and CI: `cargo xtask COMMAND`.
//!
//! Commands that compute start the release programs of the workspace. This program depends on none of its crates, so it
//! builds in seconds.

mod cargo;
mod check;
mod conformance;
mod demo;
mod gpu;
mod install;
mod memory;
mod scores;
mod test;
mod web;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Development tasks of Unbraid, for people and CI.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Builds the program, generates songs, trains a small network, scores it and separates a song (25 minutes)
    Demo(demo::Options),
    /// Runs all tests, after offering to install the programs that they need
    ///
    /// The GPU cases need a Vulkan driver (Mesa 25 or newer), the tests of the page need Chromium, and some tests of the
    /// decoders need ffmpeg. If one is missing, this lists the packages and files that an installation would add, and asks. It installs without asking
    /// if --yes is given or if CI=true is in the environment. It installs nothing if there is no terminal to ask on.
    ///
    /// Tests that cannot run on this machine are ignored, each with its reason. The last line of the output is
    /// "N passed, N failed, N skipped", where ignored tests count as skipped.
    Test(test::Options),
    /// Checks formatting, imports, dependencies, types of scripts, licences, lints, docs and shaders; the cheap ones
    /// first
    Check,
    /// Trains a model (`unbraid train`)
    #[command(disable_help_flag = true)]
    Train(Forwarded),
    /// Separates songs into stems (`unbraid separate`)
    #[command(disable_help_flag = true)]
    Separate(Forwarded),
    /// Scores a model on whole songs (`unbraid evaluate`)
    #[command(disable_help_flag = true)]
    Evaluate(Forwarded),
    /// Makes data sets (`unbraid data`)
    #[command(disable_help_flag = true)]
    Data(Forwarded),
    /// Lists the devices, and which are trusted (`unbraid doctor`)
    #[command(disable_help_flag = true)]
    Doctor(Forwarded),
    /// Builds the page that separates songs in the browser, or serves it
    #[command(subcommand)]
    Web(web::Web),
    /// Compares every operation with a reference in double precision, on every device (`conformance run`);
    /// `--device browser` runs the cases in browsers only, `--all` everywhere
    #[command(disable_help_flag = true)]
    Conformance(Forwarded),
    /// Estimates the memory of training, and finds settings that fit (`unbraid plan`)
    #[command(disable_help_flag = true)]
    Plan(Forwarded),
    /// Feeds mutated files to the parsers of audio, MIDI, SoundFonts, weights and settings (`fuzz`); `--executions N` sets how many
    #[command(disable_help_flag = true)]
    Fuzz(Forwarded),
    /// Measures the operations (`bench ops`), the memory of training (`bench memory`) or the speed of a GPU
    /// (`bench gpu`), or counts the instructions of every shader for a GPU that need not be there (`bench isa`)
    #[command(disable_help_flag = true)]
    Bench(Forwarded),
}

#[derive(clap::Args)]
struct Forwarded {
    /// Arguments of the program. --help builds the program first and then lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

impl Forwarded {
    fn to(self, program: &str, verb: &str) -> anyhow::Result<u8> {
        let mut args = vec![verb.into()];
        args.extend(self.args);
        cargo::forward(program, &args)
    }
}

/// A result that is an exit code of success.
fn done(result: anyhow::Result<()>) -> anyhow::Result<u8> {
    result.map(|()| 0)
}

/// Each benchmark is a program, or a module of this one. The operations are the default.
fn bench(args: Vec<OsString>) -> anyhow::Result<u8> {
    match args.first().and_then(|what| what.to_str()) {
        Some("memory") => done(memory::memory(&args[1..])),
        Some("gpu") => done(gpu::gpu(&args[1..])),
        Some("isa") => cargo::forward("isa", &args[1..]),
        _ => Forwarded { args }.to("conformance", "bench"),
    }
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().verb {
        Verb::Demo(options) => done(demo::demo(&options)),
        Verb::Test(options) => test::test(&options),
        Verb::Check => done(check::check()),
        Verb::Train(forwarded) => forwarded.to("unbraid", "train"),
        Verb::Separate(forwarded) => forwarded.to("unbraid", "separate"),
        Verb::Evaluate(forwarded) => forwarded.to("unbraid", "evaluate"),
        Verb::Data(forwarded) => forwarded.to("unbraid", "data"),
        Verb::Doctor(forwarded) => forwarded.to("unbraid", "doctor"),
        Verb::Web(verb) => done(web::web(verb)),
        Verb::Conformance(forwarded) => conformance::conformance(forwarded.args),
        Verb::Plan(forwarded) => forwarded.to("unbraid", "plan"),
        Verb::Fuzz(forwarded) => cargo::forward("fuzz", &forwarded.args),
        Verb::Bench(Forwarded { args }) => bench(args),
    };
    match outcome {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
