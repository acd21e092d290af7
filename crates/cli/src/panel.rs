//! Lines that stay at the bottom of the terminal, below the notices, and are redrawn in place.
//!
//! Notices scroll up above them, so the terminal keeps them. The cursor waits below the lines and stays visible, and the
//! terminal's modes stay as they are. A program that ends at any moment therefore leaves the terminal usable.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use console::{Term, measure_text_width};

/// The state of the bottom of the terminal.
struct Panel {
    lines: Vec<String>,
    /// The widths of the lines on the screen, in columns.
    shown: Vec<usize>,
}

static PANEL: Mutex<Panel> = Mutex::new(Panel { lines: Vec::new(), shown: Vec::new() });

/// Whether standard error can show lines that are redrawn.
pub(crate) fn is_possible() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    // On Windows, the question switches escape sequences on.
    let has_escapes = cfg!(unix) || Term::stderr().features().colors_supported();
    io::stderr().is_terminal() && !dumb && has_escapes
}

/// Rows and columns of the terminal.
pub(crate) fn size() -> (usize, usize) {
    let (rows, columns) = Term::stderr().size_checked().unwrap_or((24, 80));
    (usize::from(rows).max(2), usize::from(columns).max(10))
}

/// Shows `lines` instead of the present ones. Each must be narrower than the terminal.
pub(crate) fn show(lines: Vec<String>) {
    let mut panel = lock();
    panel.lines = lines;
    panel.draw("");
}

/// Removes the lines.
pub(crate) fn hide() {
    show(Vec::new());
}

/// Writes a text and a line break to standard error, above the lines.
pub(crate) fn write_above(text: &str) {
    lock().draw(&format!("{text}\n"));
}

fn lock() -> MutexGuard<'static, Panel> {
    PANEL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Panel {
    /// Writes `above` and the lines in one piece, over the lines on the screen. Nothing is erased before it is
    /// overwritten, so that nothing flickers.
    fn draw(&mut self, above: &str) {
        let mut text = String::new();
        if self.shown.is_empty() && self.lines.is_empty() {
            text += above;
        } else {
            let (rows, columns) = size();
            text += &back(&self.shown, columns);
            for line in above.lines().chain(self.lines.iter().map(String::as_str)) {
                text += line;
                text += "\x1b[K\n";
            }
            text += "\x1b[J";
            // What does not fit has scrolled away.
            let fitting = self.lines.len().saturating_sub(rows - 1);
            self.shown = self.lines[fitting..].iter().map(|line| measure_text_width(line)).collect();
        }
        // The reader may be gone. Then the text is lost and the work continues.
        io::stderr().write_all(text.as_bytes()).ok();
    }
}

/// Moves the cursor to the beginning of lines of these `widths` above it. A terminal that became narrower has wrapped
/// them.
fn back(widths: &[usize], columns: usize) -> String {
    match widths.iter().map(|width| width.div_ceil(columns).max(1)).sum::<usize>() {
        0 => "\r".into(),
        rows => format!("\r\x1b[{rows}A"),
    }
}

#[cfg(test)]
mod tests {
    use super::back;

    #[test]
    fn the_cursor_goes_back_over_wrapped_lines() {
        assert_eq!(back(&[], 80), "\r");
        assert_eq!(back(&[70, 0, 79], 80), "\r\x1b[3A");
        assert_eq!(back(&[70, 0, 80], 40), "\r\x1b[5A");
    }
}
