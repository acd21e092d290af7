//! What tests need and this machine lacks.

use anyhow::Result;

use super::apt::Admin;

pub(super) enum Missing {
    /// Only a person can install it here; how, in a sentence.
    ByHand(String),
    ByApt(Need),
}

/// Packages that apt can install.
pub(super) struct Need {
    /// The tests that need them.
    pub(super) tests: &'static str,
    /// The commands and the files that are written, one a line.
    pub(super) changes: Vec<String>,
    pub(super) install: fn(&Admin) -> Result<()>,
}
