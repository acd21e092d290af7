/// The outcome of a check that did not fail.
pub(super) enum Outcome {
    Passed,
    /// It cannot run on this machine, for this reason.
    Skipped(String),
}
