//! End-to-end tests of the page, and of the page about a training run, in a headless Chromium.
//!
//! `cargo xtask test` builds and serves the page and sets the variables that the tests read: `UNBRAID_PAGE` is the
//! page's address, `UNBRAID_SOURCES` the address of `web/` without the build, `UNBRAID_PROGRAM` the native program, and
//! `UNBRAID_SHOTS` a folder for screenshots. Without these variables or without Chromium, all tests are ignored, with
//! the reason.

mod decoder;
mod habits;
mod invented;
mod journey;
mod looks;
mod page;
mod pool;
mod report;
mod smooth;
mod song;
mod trouble;
mod worker;
mod world;
mod zip;

use std::process::ExitCode;
use std::sync::{Arc, LazyLock};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use world::{Skipped, Test, Unusable, World};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Tests measure frames and memory, so only one of them runs at a time.
    arguments.test_threads = Some(1);
    // The driver starts with the first test, so `--list` needs none.
    let world = Arc::new(LazyLock::new(World::open as fn() -> _));
    let tests = [
        worker::TESTS,
        pool::TESTS,
        decoder::TESTS,
        looks::TESTS,
        journey::TESTS,
        trouble::TESTS,
        habits::TESTS,
        smooth::TESTS,
        report::TESTS,
    ];
    let tests = tests.concat();
    let trials = tests.into_iter().map(|test| trial(test, &world)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial((name, test): Test, world: &Arc<LazyLock<Result<World, Unusable>>>) -> Trial {
    let world = Arc::clone(world);
    Trial::ignorable_test(name, move || match &**world {
        Ok(world) => {
            // The harness has begun the line that will end with the outcome.
            println!();
            match test(world) {
                Ok(()) => Ok(Completion::Completed),
                Err(error) => match error.downcast_ref::<Skipped>() {
                    Some(Skipped(reason)) => Ok(Completion::ignored_with(reason)),
                    None => Err(Failed::from(format!("{error:#}"))),
                },
            }
        }
        Err(Unusable::Missing(reason)) => Ok(Completion::ignored_with(reason)),
        Err(Unusable::Broken(reason)) => Err(Failed::from(reason)),
    })
}
