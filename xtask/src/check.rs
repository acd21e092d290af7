//! `cargo xtask check`: checks that run no program of the workspace. The cheap ones come first.

mod arrows;
mod deny;
mod files;
mod modules;
mod outcome;
mod sources;
mod types;
mod unused;

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::cargo::{WEB_PACK, cargo, run, say};
use outcome::Outcome;

type Check = fn() -> Result<Outcome>;

const CHECKS: [(&str, Check); 11] = [
    ("Formatting", formatting),
    ("Dependencies between crates", || passed(arrows::check())),
    ("Imports between files, and lengths of files", || passed(sources::check())),
    ("Unused dependencies", || passed(unused::check())),
    ("Types of the page's scripts", types::check),
    ("Licences and sources of dependencies", deny::licences),
    ("Known vulnerabilities of dependencies", deny::vulnerabilities),
    ("Lints (the first run also checks burn: about 5 minutes on 2 cores)", lints),
    ("Lints of the feature mpi", mpi_lints),
    ("Documentation", documentation),
    ("Shaders: every file in every specialisation", shaders),
];

/// Runs all checks up to the first that fails. The last line on standard output counts them.
pub(crate) fn check() -> Result<()> {
    let mut skipped = Vec::new();
    for (name, check) in CHECKS {
        say(name);
        if let Outcome::Skipped(reason) = check()? {
            say(&format!("Skipped: {reason}"));
            skipped.push(format!("  {name}: {reason}"));
        }
    }
    if !skipped.is_empty() {
        say(&format!("These checks were skipped:\n{}", skipped.join("\n")));
    }
    println!("{} checks passed, {} skipped", CHECKS.len() - skipped.len(), skipped.len());
    Ok(())
}

fn passed(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Passed)
}

fn formatting() -> Result<Outcome> {
    run(&mut cargo(&["fmt", "--all", "--check"])).context("`cargo fmt --all` formats the code")?;
    passed(run(&mut cargo(&["fmt", "--manifest-path", WEB_PACK, "--check"])))
}

fn lints() -> Result<Outcome> {
    let clippy = ["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"];
    passed(
        run(&mut cargo(&clippy))
            .context("`rustup component add clippy rustfmt` installs clippy if it is missing"),
    )
}

/// The feature is built where MPI's compiler, and clang for its headers, are installed.
fn mpi_lints() -> Result<Outcome> {
    let is_missing =
        |program: &&str| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_err();
    if let Some(program) = ["mpicc", "clang"].into_iter().find(is_missing) {
        return Ok(Outcome::Skipped(format!(
            "{program} is not installed (Debian and Ubuntu: libopenmpi-dev openmpi-bin libclang-dev clang)"
        )));
    }
    let mut clippy =
        cargo(&["clippy", "--release", "--workspace", "--all-targets", "--features", "unbraid/mpi"]);
    passed(run(clippy.args(["--", "-D", "warnings"])))
}

fn documentation() -> Result<Outcome> {
    let mut doc = cargo(&["doc", "--release", "--workspace", "--no-deps"]);
    passed(run(doc.env("RUSTDOCFLAGS", "-D warnings")))
}

fn shaders() -> Result<Outcome> {
    passed(run(&mut cargo(&["test", "--release", "--workspace", "--test", "shaders"])))
}
