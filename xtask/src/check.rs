//! Everything that can be said about the code without running it, and the shaders; the cheap checks first.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::arrows;
use crate::cargo::{cargo, run, say};

/// A workspace of its own.
const WEB_PACK: &str = "xtask/web-pack/Cargo.toml";

pub(crate) fn check() -> Result<()> {
    say("Formatting");
    run(&mut cargo(&["fmt", "--all", "--check"])).context("`cargo fmt --all` formats the code")?;
    run(&mut cargo(&["fmt", "--manifest-path", WEB_PACK, "--check"]))?;

    say("Dependency arrows");
    arrows::check()?;

    deny()?;

    say("Lints (the first time also checks burn: about 5 minutes on 2 cores)");
    let clippy = ["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"];
    run(&mut cargo(&clippy)).context("if clippy is missing: `rustup component add clippy rustfmt`")?;

    say("Docs");
    run(cargo(&["doc", "--release", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;

    say("Shaders, every one in every specialisation");
    run(&mut cargo(&["test", "--release", "--workspace", "--test", "shaders"]))?;

    say("All checks passed");
    Ok(())
}

/// Licences, sources and bans of the dependencies; and known vulnerabilities, where their list can be fetched.
fn deny() -> Result<()> {
    let silent = |command: &mut Command| {
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if !silent(&mut cargo(&["deny", "--version"])) {
        say("Licences and sources of dependencies: skipped, cargo-deny is missing \
             (`cargo install cargo-deny --locked` installs it)");
        return Ok(());
    }
    say("Licences and sources of dependencies");
    let on_both = |checks: &[&str]| {
        ["Cargo.toml", WEB_PACK].into_iter().try_for_each(|manifest| {
            run(cargo(&["deny", "--manifest-path", manifest, "--locked", "check"]).args(checks))
        })
    };
    on_both(&["bans", "licenses", "sources"])?;

    if silent(Command::new("git").args(["ls-remote", "https://github.com/RustSec/advisory-db", "HEAD"])) {
        say("Known vulnerabilities of dependencies");
        on_both(&["advisories"])
    } else {
        say(
            "Known vulnerabilities of dependencies: skipped, their list (github.com/RustSec/advisory-db) is out of reach",
        );
        Ok(())
    }
}
