//! The native driver of the conformance cases, and the benchmark of the operations.
//!
//! Everything on a device runs in a separate process. A driver that crashes then costs the remaining cases of that process, and
//! burn's fusion, which is decided once per process, can be on in one process and off in the next.

mod bench;
mod browser;
mod child;
mod run;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Compares every operation with its definition, and measures the operations.
#[derive(Debug, Parser)]
#[command(name = "conformance", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs every case on every device of this machine; fails if a case fails
    Run(run::Arguments),
    /// Measures speed and memory
    #[command(subcommand)]
    Bench(bench::Bench),
    /// The cases of one device, for `run`
    #[command(hide = true)]
    RunOne(run::One),
    /// One measurement, for `bench`
    #[command(hide = true)]
    BenchOne(bench::One),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().verb {
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Bench(bench::Bench::Ops(arguments)) => bench::ops(&arguments).map(|()| true),
        Verb::RunOne(one) => run::one(&one).map(|()| true),
        Verb::BenchOne(one) => bench::one(&one).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
