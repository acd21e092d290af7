//! Licences, sources, bans and known vulnerabilities of the dependencies, by cargo-deny.

use std::process::{Command, Stdio};

use anyhow::Result;

use super::outcome::Outcome;
use crate::cargo::{WEB_PACK, cargo, run};

/// Licences, sources and bans.
pub(super) fn licences() -> Result<Outcome> {
    if let Some(missing) = missing() {
        return Ok(missing);
    }
    on_both_workspaces(&["bans", "licenses", "sources"])
}

/// Known vulnerabilities, if their list can be fetched.
pub(super) fn vulnerabilities() -> Result<Outcome> {
    if let Some(missing) = missing() {
        return Ok(missing);
    }
    if !succeeds(Command::new("git").args(["ls-remote", "https://github.com/RustSec/advisory-db", "HEAD"])) {
        return Ok(Outcome::Skipped(
            "the list of vulnerabilities (github.com/RustSec/advisory-db) cannot be reached".into(),
        ));
    }
    on_both_workspaces(&["advisories"])
}

fn missing() -> Option<Outcome> {
    let reason = "cargo-deny is not installed (`cargo install cargo-deny --locked`)";
    (!succeeds(&mut cargo(&["deny", "--version"]))).then(|| Outcome::Skipped(reason.into()))
}

fn succeeds(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn on_both_workspaces(checks: &[&str]) -> Result<Outcome> {
    for manifest in ["Cargo.toml", WEB_PACK] {
        run(cargo(&["deny", "--manifest-path", manifest, "--locked", "check"]).args(checks))?;
    }
    Ok(Outcome::Passed)
}
