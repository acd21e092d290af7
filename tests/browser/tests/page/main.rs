//! The page, end to end, in a headless Chromium.
//!
//! `cargo xtask test` makes the page, serves it, and says where: `UNBRAID_PAGE` is its address, `UNBRAID_SOURCES` that
//! of `web/` as it is, `UNBRAID_PROGRAM` the native program, `UNBRAID_SHOTS` a folder for screenshots. Without these, or
//! without Chromium, all tests show as ignored, with the reason. An argument runs only the tests whose name contains it.

mod invented;
mod journey;
mod looks;
mod page;
mod smooth;
mod song;
mod trouble;
mod worker;
mod zip;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use browser::Driver;

/// What every test needs.
struct World {
    driver: Driver,
    /// The page's address.
    page: String,
    /// The address of the page's sources, with the tests of its scripts.
    sources: String,
    /// The native program.
    program: PathBuf,
    /// For screenshots.
    shots: PathBuf,
    /// For songs, gone afterwards.
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Result<Self, String> {
        let told = |name: &str| {
            std::env::var(name).map_err(|_| format!("{name} is not set; `cargo xtask test` sets it"))
        };
        let [page, sources] = [told("UNBRAID_PAGE")?, told("UNBRAID_SOURCES")?];
        let [program, shots] = [told("UNBRAID_PROGRAM")?, told("UNBRAID_SHOTS")?];
        Driver::available()?;
        let driver = Driver::start().map_err(|error| format!("{error:#}"))?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        std::fs::create_dir_all(&shots).map_err(|error| format!("{shots}: {error}"))?;
        Ok(Self { driver, page, sources, program: program.into(), shots: shots.into(), folder })
    }
}

type Test = (&'static str, fn(&World) -> Result<()>);

/// In the format of Rust's own harness, which `cargo xtask test` reads.
fn main() -> ExitCode {
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let tests = [worker::TESTS, looks::TESTS, journey::TESTS, trouble::TESTS, smooth::TESTS].concat();
    let tests: Vec<Test> = tests.into_iter().filter(|(name, _)| name.contains(&only)).collect();
    println!("\nrunning {} tests", tests.len());
    let start = Instant::now();
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    match World::new() {
        Err(reason) => {
            for (name, _) in &tests {
                println!("test {name} ... ignored, {reason}");
            }
            ignored = tests.len();
        }
        Ok(world) => {
            for (name, test) in &tests {
                let start = Instant::now();
                match test(&world) {
                    Ok(()) => {
                        println!("test {name} ... ok ({:.1} s)", start.elapsed().as_secs_f64());
                        passed += 1;
                    }
                    Err(error) => {
                        println!("test {name} ... FAILED\n{error:#}");
                        failed += 1;
                    }
                }
            }
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out; \
         finished in {seconds:.2}s\n"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
