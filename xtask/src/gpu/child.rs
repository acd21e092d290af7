//! Child processes with a time limit.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cargo::shown;

/// How often a child is asked whether it has ended.
const POLL: Duration = Duration::from_millis(50);

/// The time that is left for all steps.
pub(super) struct Limits {
    began: Instant,
    total: Duration,
}

impl Limits {
    pub(super) fn new(began: Instant, total: Duration) -> Self {
        Self { began, total }
    }

    /// The time of a step that has this share of the whole time, or `None` if less is left.
    pub(super) fn of(&self, share: f64) -> Option<Duration> {
        let limit = self.total.mul_f64(share);
        (self.began.elapsed() + limit <= self.total).then_some(limit)
    }

    /// The end of a step that starts now.
    pub(super) fn deadline(&self, limit: Duration) -> Instant {
        Instant::now() + limit
    }
}

/// Runs a command to its end, with its output in files of `folder`, and returns its standard output.
///
/// A child that has not ended at the deadline is killed. Its own children are not, but those of `unbraid plan` only make
/// a dry run, which ends by itself.
///
/// # Errors
/// If the command cannot be started, fails, or does not end in time. The error holds the last line that says why.
pub(super) fn output(command: &mut Command, folder: &Path, deadline: Instant) -> Result<String> {
    let (out, err) = (folder.join("stdout"), folder.join("stderr"));
    let file = |path: &Path| File::create(path).with_context(|| format!("cannot create {}", path.display()));
    command.stdin(Stdio::null()).stdout(file(&out)?).stderr(file(&err)?);
    let mut child = command.spawn().with_context(|| format!("cannot start `{}`", shown(command)))?;
    let status = wait(&mut child, deadline)?;
    let messages = String::from_utf8_lossy(&fs::read(&err)?).into_owned();
    match status {
        None => bail!("stopped at its time limit; its last line: {}", last_line(&messages)),
        Some(status) if !status.success() => bail!("{} ({status})", reason(&messages)),
        Some(_) => Ok(String::from_utf8_lossy(&fs::read(&out)?).into_owned()),
    }
}

/// Waits until the child ends. Kills it at the deadline and returns `None`.
fn wait(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        sleep(POLL);
    }
}

/// The error that a program printed: the last line that begins with `error: `, or the last line.
fn reason(messages: &str) -> &str {
    let error = messages.lines().rev().find_map(|line| line.strip_prefix("error: "));
    error.unwrap_or_else(|| last_line(messages))
}

fn last_line(messages: &str) -> &str {
    messages.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_line_is_preferred_to_the_last_line() {
        assert_eq!(reason("device: x\nerror: no memory\nhelp: use less\n"), "no memory");
        assert_eq!(reason("Traceback\n  at x\nValueError: y\n\n"), "ValueError: y");
        assert_eq!(reason(""), "none");
    }

    #[test]
    fn a_step_starts_only_if_its_share_is_left() {
        let long_ago = Instant::now().checked_sub(Duration::from_secs(50)).unwrap();
        let limits = Limits::new(long_ago, Duration::from_secs(60));
        assert_eq!(limits.of(0.1), Some(Duration::from_secs(6)));
        assert_eq!(limits.of(0.2), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_child_is_stopped_at_its_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let run = |script: &str, limit: u64| {
            let deadline = Instant::now() + Duration::from_millis(limit);
            output(Command::new("sh").args(["-c", script]), folder.path(), deadline)
        };
        assert_eq!(run("echo result", 60_000).unwrap(), "result\n");
        let error = run("echo 'error: a fact' >&2; exit 3", 60_000).unwrap_err().to_string();
        assert!(error.starts_with("a fact ("), "{error}");
        let started = Instant::now();
        let error = run("echo working >&2; exec sleep 60", 300).unwrap_err().to_string();
        assert!(error.contains("time limit") && started.elapsed() < Duration::from_secs(30), "{error}");
    }
}
