//! Starts and stops `chromedriver`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// A running `chromedriver`. Dropping this value stops it.
#[derive(Debug)]
pub struct Driver {
    child: Child,
    pub(crate) port: u16,
}

impl Driver {
    /// Whether Chromium and its driver are installed.
    ///
    /// # Errors
    /// The missing program, and the packages that have it.
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
    /// If it is not installed or does not start.
    pub fn start() -> Result<Self> {
        let mut command = Command::new("chromedriver");
        command.args(["--port=0", "--log-level=SEVERE"]).stdin(Stdio::null());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start `chromedriver`")?;
        let mut lines = BufReader::new(child.stdout.take().context("`chromedriver` has no output")?);
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
            // "ChromeDriver was started successfully on port 34567."
            if let Some((_, port)) = line.split_once("successfully on port ") {
                let port =
                    port.trim().trim_end_matches('.').parse().context("`chromedriver` names no port")?;
                // Drains later output, which would fill the pipe.
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
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
