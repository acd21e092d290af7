//! Debian's packages: what is installed, and installing more where that can be done without asking.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The version of an installed package.
pub(crate) fn installed(package: &str) -> Option<String> {
    let status = output(&["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package]).ok()?;
    status.strip_prefix("installed ").map(|version| version.trim().to_owned())
}

/// How to run a command as the administrator without asking for a password.
pub(crate) struct Admin {
    prefix: &'static [&'static str],
}

impl Admin {
    /// `needs`: what is missing and how a person installs it, for the error.
    pub(crate) fn find(needs: &str) -> Result<Self> {
        if output(&["id", "-u"])?.trim() == "0" {
            return Ok(Self { prefix: &[] });
        }
        let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        if in_ci && output(&["sudo", "-n", "true"]).is_ok() {
            return Ok(Self { prefix: &["sudo", "-n", "--preserve-env=DEBIAN_FRONTEND"] });
        }
        bail!("{needs}")
    }

    /// Runs a command, shown before.
    pub(crate) fn run(&self, command: &[&str]) -> Result<()> {
        let words: Vec<&str> = self.prefix.iter().chain(command).copied().collect();
        let shown = words.join(" ");
        println!("  $ {shown}");
        let status = Command::new(words[0])
            .args(&words[1..])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("cannot start `{shown}`"))?;
        if !status.success() {
            bail!("`{shown}` failed ({status})");
        }
        Ok(())
    }
}

/// Whether a program can be started.
pub(crate) fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// What a command prints.
pub(crate) fn output(command: &[&str]) -> Result<String> {
    let shown = command.join(" ");
    let output = Command::new(command[0])
        .args(&command[1..])
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
