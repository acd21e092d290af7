//! Programs that tests need and this machine lacks.

use anyhow::Result;

use super::apt::Admin;

pub(super) enum Missing {
    /// Only a person can install it here. The sentence explains how.
    ByHand(String),
    ByApt(Need),
}

/// Packages that apt can install.
pub(super) struct Need {
    /// The tests that need them.
    pub(super) tests: &'static str,
    /// The commands that are run and the files that are written.
    pub(super) changes: Vec<String>,
    pub(super) install: fn(&Admin) -> Result<()>,
}
