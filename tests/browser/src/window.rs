//! The operations of every browser's window.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

/// Longest run time of a script, and longest wait for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1200);

/// A window that shows a page.
pub trait Window {
    /// Loads a page.
    ///
    /// # Errors
    /// If the page cannot be loaded.
    fn go(&self, url: &str) -> Result<()>;

    /// Runs the body of a function in the page. The last argument of the function is a callback. Returns the value
    /// that the script passes to it.
    ///
    /// # Errors
    /// If the script never calls back. Errors that it throws asynchronously are lost; [`Window::run`] reports them.
    fn run_async(&self, script: &str, arguments: &[Value]) -> Result<Value>;

    /// Runs the body of a function in the page and returns its result. Waits for a promise.
    ///
    /// # Errors
    /// The error that the script throws.
    fn run(&self, script: &str, arguments: &[Value]) -> Result<Value> {
        let script = format!(
            "const done = arguments[arguments.length - 1]; (async function () {{ {script} }}).apply(null, arguments)\
             .then((value) => done({{ value }}), (error) => done({{ error: String(error?.stack ?? error) }}));"
        );
        let mut answer = self.run_async(&script, arguments)?;
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => bail!("in the page: {error}"),
            None => Ok(answer["value"].take()),
        }
    }
}
