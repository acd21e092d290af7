//! The native driver of the conformance cases, and the benchmark of the operations.
//!
//! Whatever runs on a device runs in a process of its own: a driver that crashes takes one row of the report with
//! it, not the report, and burn's fusion, decided once a process, can be on in one and off in the next.

mod bench;
mod browser;
mod child;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Holds every operation against its definition, and measures them.
#[derive(Debug, Parser)]
#[command(name = "conformance", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs every case on every device of this machine; fails where one does
    Run(run::Arguments),
    /// Measures speed and memory
    #[command(subcommand)]
    Bench(bench::Bench),
    /// One device's cases, for `run`
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
