//! Ctrl-C: the first one requests an end at the next safe place, the second one ends the program at once.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::output::notice;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Replaces the system's behaviour, which is to end the program at once.
pub(crate) fn install() {
    let result = ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        notice("\nending at the next safe place; press Ctrl-C again to end at once");
    });
    if let Err(error) = result {
        notice(format_args!("Ctrl-C will end the program at once: {error}"));
    }
}

/// Ignores Ctrl-C in this process. The terminal sends it to the child processes too: they end at a safe place, and this
/// process ends after them.
pub(crate) fn leave_to_children() {
    ctrlc::set_handler(|| {}).ok();
}

/// Whether the user has pressed Ctrl-C.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
