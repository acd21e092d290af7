//! Starting programs: cargo itself, and the release binaries of the workspace.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// One line to the person watching. On stderr, so that `--json` of a verb stays alone on stdout.
pub(crate) fn say(line: &str) {
    eprintln!("==> {line}");
}

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace's root")
}

/// `cargo ARGS` of the toolchain that started us, at the repository's root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs a command to its end, its output shown; an error where it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command.status().with_context(|| format!("cannot start `{}`", shown(command)))
}

/// What cargo knows about the workspace itself, its dependencies' dependencies left out.
pub(crate) fn metadata() -> Result<Value> {
    let mut command = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let output = command.output().context("cannot start `cargo metadata`")?;
    if !output.status.success() {
        bail!("`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("`cargo metadata` gave something that is not JSON")
}

pub(crate) fn target_folder() -> Result<PathBuf> {
    let metadata = metadata()?;
    let folder = metadata["target_directory"].as_str().context("`cargo metadata` names no target folder")?;
    Ok(folder.into())
}

/// Where a release binary of the workspace is, once built.
pub(crate) fn release_binary(name: &str) -> Result<PathBuf> {
    Ok(target_folder()?.join("release").join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// Builds a release binary, cargo's progress shown.
///
/// The whole workspace is selected, as the tests do: selecting one package alone would give its dependencies other
/// features, and burn would be built a second time.
pub(crate) fn build(name: &str) -> Result<PathBuf> {
    let binary = release_binary(name)?;
    let first =
        if binary.exists() { "" } else { "; the first build compiles burn, about 15 minutes on 2 cores" };
    say(&format!("Building `{name}` (release{first})"));
    run(&mut cargo(&["build", "--release", "--workspace", "--bin", name]))?;
    Ok(binary)
}

/// A command that runs one of our binaries.
pub(crate) fn program(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    // The allocator keeps pages for the next training step instead of handing them back: measured on two cores, a
    // fifth more steps.
    command.env("MIMALLOC_PURGE_DELAY", "-1");
    command
}

/// Builds a release binary and becomes it: arguments, exit code and signals pass through.
pub(crate) fn forward(name: &str, args: &[OsString]) -> Result<u8> {
    let mut command = program(&build(name)?);
    command.args(args);
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        Err(command.exec()).with_context(|| format!("cannot start `{}`", shown(&command)))
    }
    #[cfg(not(unix))]
    Ok(status(&mut command)?.code().and_then(|code| code.try_into().ok()).unwrap_or(1))
}
