//! Queries and installs Debian packages.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

const UPDATE: [&str; 5] = ["apt-get", "-o", "Acquire::Retries=3", "-q", "update"];

const INSTALL: [&str; 9] = [
    "apt-get",
    "-o",
    "Acquire::Retries=3",
    "-o",
    "Dpkg::Use-Pty=0",
    "-q",
    "install",
    "-y",
    "--no-install-recommends",
];

/// The version of an installed package.
pub(super) fn installed(package: &str) -> Option<String> {
    let status = output(&["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package]).ok()?;
    status.strip_prefix("installed ").map(|version| version.trim().to_owned())
}

/// The commands of [`Admin::update`] and [`Admin::install`], for people.
pub(super) fn commands(packages: &[&str]) -> Vec<String> {
    vec!["apt-get update".into(), format!("apt-get install --no-install-recommends {}", packages.join(" "))]
}

/// Runs commands as root.
pub(super) struct Admin {
    prefix: &'static [&'static str],
}

impl Admin {
    /// Root itself, or sudo. On a terminal, sudo may ask for a password.
    ///
    /// # Errors
    /// If neither is available.
    pub(super) fn find(terminal: bool) -> Result<Self> {
        if output(&["id", "-u"])?.trim() == "0" {
            return Ok(Self { prefix: &[] });
        }
        if output(&["sudo", "-n", "true"]).is_ok() {
            return Ok(Self { prefix: &["sudo", "-n", "--preserve-env=DEBIAN_FRONTEND"] });
        }
        if terminal && output(&["sudo", "--version"]).is_ok() {
            return Ok(Self { prefix: &["sudo", "--preserve-env=DEBIAN_FRONTEND"] });
        }
        bail!("this user is not root, and sudo does not work without a password")
    }

    /// Fetches the lists of packages.
    pub(super) fn update(&self) -> Result<()> {
        self.run(&UPDATE)
    }

    /// Installs packages, after options for apt-get.
    pub(super) fn install(&self, options: &[&str], packages: &[&str]) -> Result<()> {
        self.run(&[&INSTALL, options, packages].concat())
    }

    /// Shows a command and runs it.
    pub(super) fn run(&self, command: &[&str]) -> Result<()> {
        let words = [self.prefix, command].concat();
        let shown = words.join(" ");
        eprintln!("  $ {shown}");
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

/// The standard output of a command.
pub(super) fn output(command: &[&str]) -> Result<String> {
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
