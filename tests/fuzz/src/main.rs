//! `fuzz`: long campaigns against the parsers, and replay of a file that failed.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use fuzz::{Campaign, Target, Worst};

/// Feeds mutated files to the parsers of audio, MIDI, SoundFonts, weights, checkpoints and settings
#[derive(Parser)]
struct Arguments {
    /// The parsers. All of them, if none is named
    targets: Vec<Target>,
    /// Mutated files per parser
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000)]
    executions: u64,
    /// Seed of the mutations
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of the first execution, to continue a campaign or to repeat its end
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    first: u64,
    /// Give this file to the one parser that is named
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    fuzz::watch();
    if let Some(path) = arguments.file {
        let [target] = arguments.targets[..] else { anyhow::bail!("name one parser for the file") };
        let file = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let run = fuzz::execute(target, &file).map_err(anyhow::Error::msg)?;
        println!("{target}: {} in {:.3} s, {} kB", verdict(&run), run.time.as_secs_f64(), run.memory / 1000);
        return Ok(ExitCode::SUCCESS);
    }
    let targets =
        if arguments.targets.is_empty() { Target::value_variants().to_vec() } else { arguments.targets };
    let mut code = ExitCode::SUCCESS;
    for target in targets {
        let began = Instant::now();
        let numbers = arguments.first..arguments.first + arguments.executions;
        match (Campaign { target, seed: arguments.seed }).run(numbers) {
            Ok(worst) => report(target, arguments.executions, &worst, began.elapsed()),
            Err(failure) => {
                let path = std::env::temp_dir().join(format!("unbraid-fuzz-{target}"));
                fs::write(&path, &failure.file)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                println!("{}\n  the file: {}", failure.reason, path.display());
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn verdict(run: &Worst) -> &'static str {
    if run.accepted > 0 { "accepted" } else { "refused" }
}

fn report(target: Target, executions: u64, worst: &Worst, took: Duration) {
    println!(
        "{target:10} {executions} files in {:.0} s: {} accepted, longest {:.0} ms, most memory {:.1} MB",
        took.as_secs_f64(),
        worst.accepted,
        1000.0 * worst.time.as_secs_f64(),
        worst.memory as f64 / 1e6,
    );
}
