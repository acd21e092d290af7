//! Text for the user: notices on standard error, results on standard output.

use std::fmt::Display;
use std::io::{self, Write};

use anyhow::Context;

/// Writes a line to standard error.
///
/// The reader may be gone: Ctrl-C also ends a `tee`, and a terminal can lose its connection. Then the line is lost and
/// the work continues.
pub(crate) fn notice(line: impl Display) {
    writeln!(io::stderr(), "{line}").ok();
}

/// Writes a result to standard output. A reader that closes the pipe early, as `head` does, is not an error.
pub(crate) fn print(text: impl Display) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
