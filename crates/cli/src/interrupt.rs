//! Ctrl-C: the first one requests a stop at the next safe point, the second one stops the program immediately.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::output::notice;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Replaces the system's behaviour, which is to stop the program immediately.
pub(crate) fn install() {
    let result = ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        notice("\nstopping at the next safe point; press Ctrl-C again to stop immediately");
    });
    if let Err(error) = result {
        notice(format_args!("Ctrl-C will stop the program immediately: {error}"));
    }
}

/// Ignores Ctrl-C in this process. The terminal sends it to the child processes too. They stop at a safe point, and
/// this process ends after them.
pub(crate) fn leave_to_children() {
    ctrlc::set_handler(|| {}).ok();
}

/// Whether the user has pressed Ctrl-C.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
