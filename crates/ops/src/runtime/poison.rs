//! A test hook that reveals the elements that a kernel does not write.

use std::sync::atomic::{AtomicBool, Ordering};

static POISON: AtomicBool = AtomicBool::new(false);

/// Test hook: fills every output with NaN before its kernel runs, so that an unwritten element stays NaN.
pub fn poison_outputs(on: bool) {
    POISON.store(on, Ordering::Relaxed);
}

/// Whether outputs are to be filled with NaN.
pub(crate) fn poisoned() -> bool {
    POISON.load(Ordering::Relaxed)
}
