//! Starting programs: cargo itself, and the release binaries of the workspace.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Manifest of the program that packs wasm modules: a separate workspace.
pub(crate) const WEB_PACK: &str = "xtask/web-pack/Cargo.toml";

/// Shows progress. It goes to standard error, so that standard output has only the result of a command.
pub(crate) fn say(line: &str) {
    eprintln!("==> {line}");
}

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace's root")
}

/// Whether this is a CI run, by `CI=true` in the environment.
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

/// Whether a program can be started.
pub(crate) fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// `cargo ARGS` of the toolchain that started this program, at the repository's root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs a command to its end and shows its output. A command that fails is an error.
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

/// Runs a command to its end and returns its exit code, or 1 if a signal ended it.
pub(crate) fn exit_code(command: &mut Command) -> Result<u8> {
    Ok(status(command)?.code().and_then(|code| code.try_into().ok()).unwrap_or(1))
}

/// Runs a command whose standard output is one JSON value. Its standard error is shown.
pub(crate) fn json_of(command: &mut Command) -> Result<Value> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !output.status.success() {
        bail!("`{}` failed ({})", shown(command), output.status);
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("`{}` gave no JSON", shown(command)))
}

/// Writes a report for programs.
pub(crate) fn write_json(path: &Path, value: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// cargo's metadata of the workspace's packages, without their dependencies.
pub(crate) fn metadata() -> Result<Value> {
    json_of(&mut cargo(&["metadata", "--no-deps", "--format-version", "1"]))
}

pub(crate) fn target_folder() -> Result<PathBuf> {
    let metadata = metadata()?;
    let folder = metadata["target_directory"].as_str().context("`cargo metadata` names no target folder")?;
    Ok(folder.into())
}

/// The path of a release binary of the workspace, which may not be built yet.
pub(crate) fn release_binary(name: &str) -> Result<PathBuf> {
    Ok(target_folder()?.join("release").join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// Builds a release binary and shows cargo's progress.
///
/// Like the tests, this selects the whole workspace. Selecting one package would give its dependencies other features,
/// and burn would be built a second time.
pub(crate) fn build(name: &str) -> Result<PathBuf> {
    let binary = release_binary(name)?;
    let first =
        if binary.exists() { "" } else { "; the first build compiles burn, about 15 minutes on 2 cores" };
    say(&format!("Building `{name}` (release{first})"));
    run(&mut cargo(&["build", "--release", "--workspace", "--bin", name]))?;
    Ok(binary)
}

/// A command that runs a binary of the workspace.
pub(crate) fn program(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    // The allocator keeps its pages for the next training step instead of returning them. Measured on two cores, this
    // gives a fifth more steps.
    command.env("MIMALLOC_PURGE_DELAY", "-1");
    command
}

/// Builds a release binary and replaces this process with it, so arguments, exit code and signals pass through.
pub(crate) fn forward(name: &str, args: &[OsString]) -> Result<u8> {
    let mut command = program(&build(name)?);
    command.args(args);
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        Err(command.exec()).with_context(|| format!("cannot start `{}`", shown(&command)))
    }
    #[cfg(not(unix))]
    exit_code(&mut command)
}
