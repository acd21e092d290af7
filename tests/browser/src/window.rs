//! What any browser's window can do.

use anyhow::{Result, bail};
use serde_json::Value;

/// A window with a page in it.
pub trait Window {
    /// Loads a page.
    ///
    /// # Errors
    /// Where it cannot be loaded.
    fn go(&self, url: &str) -> Result<()>;

    /// Runs the body of a function in the page and gives what it passes to its last argument, a function.
    ///
    /// # Errors
    /// Where it never does. What it throws later than at once is lost: [`Window::run`] has it.
    fn run_async(&self, script: &str, arguments: &[Value]) -> Result<Value>;

    /// Runs the body of a function in the page and gives what it returns; a promise is waited for.
    ///
    /// # Errors
    /// What the script throws.
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
