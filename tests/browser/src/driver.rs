//! `chromedriver`, started and stopped.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// A running `chromedriver`. Ends with this value.
#[derive(Debug)]
pub struct Driver {
    child: Child,
    pub(crate) port: u16,
}

impl Driver {
    /// Whether Chromium and its driver are on this machine; if not, what to install.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn available() -> Result<(), String> {
        for program in ["chromium", "chromedriver"] {
            let found =
                Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            if found.is_err() {
                return Err(format!(
                    "{program} is not installed (Debian: apt-get install chromium chromium-driver)"
                ));
            }
        }
        Ok(())
    }

    /// Starts the driver on a free port.
    ///
    /// # Errors
    /// Where it is not installed or does not come up.
    pub fn start() -> Result<Self> {
        let mut command = Command::new("chromedriver");
        command.args(["--port=0", "--log-level=SEVERE"]).stdin(Stdio::null());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start `chromedriver`")?;
        let mut lines = BufReader::new(child.stdout.take().context("a pipe, as asked for")?);
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
            // "ChromeDriver was started successfully on port 34567."
            if let Some((_, port)) = line.split_once("successfully on port ") {
                let port =
                    port.trim().trim_end_matches('.').parse().context("`chromedriver` names no port")?;
                // What it says later would fill the pipe.
                std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
                return Ok(Self { child, port });
            }
            line.clear();
        }
        bail!("`chromedriver` did not start")
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
