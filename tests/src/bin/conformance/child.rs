//! Processes of this program, and the files of reports.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use unbraid_base::file::write_whole;

/// Runs this program again with other arguments. Each line of its output is a JSON value and is given to `take` as it
/// comes.
pub(crate) fn each_line<T: DeserializeOwned>(
    arguments: &[String],
    environment: &[(&str, &str)],
    mut take: impl FnMut(T),
) -> Result<ExitStatus> {
    let program = std::env::current_exe().context("cannot find the file of this program")?;
    let mut child = Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a process")?;
    let output = child.stdout.take().expect("stdout is piped, above");
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read the output of the process")?;
        take(serde_json::from_str(&line).with_context(|| format!("not a result: {line}"))?);
    }
    child.wait().context("cannot wait for the process")
}

/// Sends a value to the process that started this one.
pub(crate) fn send(value: &impl Serialize) -> Result<()> {
    let mut output = std::io::stdout().lock();
    serde_json::to_writer(&mut output, value)?;
    writeln!(output)?;
    output.flush().context("cannot write to standard output")
}

/// Writes a report. The file is complete or absent, also after a crash.
pub(crate) fn write_report(path: &Path, report: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(report)? + "\n";
    write_whole(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}
