//! Processes of this same program, and the files a report goes to.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Runs this program anew and hands over what it says, one JSON value a line, as it comes.
pub(crate) fn each_line<T: DeserializeOwned>(
    arguments: &[String],
    environment: &[(&str, &str)],
    mut take: impl FnMut(T),
) -> Result<ExitStatus> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut child = Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a process")?;
    let output = child.stdout.take().expect("stdout is piped, above");
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read what the process says")?;
        take(serde_json::from_str(&line).with_context(|| format!("not a result: {line}"))?);
    }
    child.wait().context("cannot wait for the process")
}

/// Says a value to the process that started this one.
pub(crate) fn say(value: &impl Serialize) -> Result<()> {
    let mut output = std::io::stdout().lock();
    serde_json::to_writer(&mut output, value)?;
    writeln!(output)?;
    output.flush().context("nobody listens")
}

/// Writes a report whole or not at all.
pub(crate) fn write_report(path: &Path, report: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(report)? + "\n";
    let draft = path.with_extension("part");
    std::fs::write(&draft, text).with_context(|| format!("cannot write {}", draft.display()))?;
    std::fs::rename(&draft, path).with_context(|| format!("cannot write {}", path.display()))
}
