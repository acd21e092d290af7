//! Ctrl-C asks; whoever works looks and ends at a safe place. A second Ctrl-C ends at once.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::progress::tell;

static REQUESTED: AtomicBool = AtomicBool::new(false);

pub(crate) fn install() {
    let result = ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        tell("\nending at the next safe place; press Ctrl-C again to end at once");
    });
    if let Err(error) = result {
        tell(format_args!("Ctrl-C will end at once: {error}"));
    }
}

/// Ctrl-C reaches the processes that were started too: they end at a safe place, and this one after them.
pub(crate) fn leave_to_others() {
    let _ = ctrlc::set_handler(|| {});
}

pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
