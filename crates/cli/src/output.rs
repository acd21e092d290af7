//! Text for the user: notices on standard error, results on standard output.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use crate::panel;

static QUIET: AtomicBool = AtomicBool::new(false);

/// From now on, only errors are written to standard error.
pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether only errors are written to standard error.
pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Writes a line about the progress or the result of the work to standard error.
pub(crate) fn notice(line: impl Display) {
    if !is_quiet() {
        error(line);
    }
}

/// Writes a line to standard error.
///
/// The reader may be gone: Ctrl-C also ends a `tee`, and a terminal can lose its connection. Then the line is lost and
/// the work continues.
pub(crate) fn error(line: impl Display) {
    panel::write_above(&printable(&line.to_string()));
}

/// A text without characters that control the terminal. A file's name may contain them.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Writes a result to standard output. A reader that closes the pipe early, as `head` does, is not an error.
pub(crate) fn print(text: impl Display) -> anyhow::Result<()> {
    printed(writeln!(io::stdout(), "{text}"))
}

/// Copies bytes to standard output. A reader that closes the pipe early is not an error.
pub(crate) fn copy(mut bytes: impl io::Read) -> anyhow::Result<()> {
    printed(io::copy(&mut bytes, &mut io::stdout().lock()).and_then(|_| io::stdout().flush()))
}

fn printed(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
