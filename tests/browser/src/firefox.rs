//! A headless Firefox, controlled by Marionette, Firefox's built-in protocol. No driver is needed.

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::window::{PATIENCE, Window};

/// Names of its program.
const PROGRAMS: [&str; 2] = ["firefox", "firefox-esr"];

/// Longest time to start.
const START: Duration = Duration::from_secs(60);

/// Enables WebGPU on every adapter, including software ones. Marionette uses a free port. The other preferences turn
/// off connections that Firefox would open itself.
const PREFERENCES: &str = r#"
user_pref("dom.webgpu.enabled", true);
user_pref("gfx.webgpu.ignore-blocklist", true);
user_pref("marionette.port", 0);
user_pref("app.normandy.enabled", false);
user_pref("browser.safebrowsing.downloads.enabled", false);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("media.gmp-manager.updateEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "data:,");
"#;

/// A headless Firefox with a fresh profile and one window. Dropping this value closes it.
#[derive(Debug)]
pub struct Firefox {
    child: Child,
    connection: RefCell<Connection>,
    _profile: TempDir,
}

impl Firefox {
    /// Whether Firefox is installed.
    ///
    /// # Errors
    /// The missing program, and the package that has it.
    pub fn available() -> Result<(), String> {
        program()
            .map(drop)
            .ok_or_else(|| "firefox is not installed (Debian: apt-get install firefox-esr)".into())
    }

    /// Opens a window.
    ///
    /// # Errors
    /// If Firefox is not installed or does not start.
    pub fn open() -> Result<Self> {
        let program = program().context("firefox is not installed")?;
        let profile = tempfile::tempdir().context("cannot create a folder for the profile")?;
        fs::write(profile.path().join("user.js"), PREFERENCES).context("cannot write the profile")?;
        let mut command = Command::new(program);
        command.args(["--marionette", "--headless", "--no-remote", "--profile"]).arg(profile.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("cannot start `{program}`"))?;
        match Connection::open(&mut child, profile.path()) {
            Ok(connection) => Ok(Self { child, connection: RefCell::new(connection), _profile: profile }),
            Err(error) => {
                end(&mut child);
                Err(error).context("Firefox does not start")
            }
        }
    }

    fn command(&self, name: &str, parameters: &Value) -> Result<Value> {
        self.connection.borrow_mut().command(name, parameters)
    }
}

impl Window for Firefox {
    fn go(&self, url: &str) -> Result<()> {
        self.command("WebDriver:Navigate", &json!({ "url": url })).map(drop)
    }

    fn run_async(&self, script: &str, arguments: &[Value]) -> Result<Value> {
        let parameters = json!({ "script": script, "args": arguments });
        Ok(self.command("WebDriver:ExecuteAsyncScript", &parameters)?["value"].take())
    }
}

impl Drop for Firefox {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // It may have ended already.
    child.kill().ok();
    child.wait().ok();
}

fn program() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|program| {
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    })
}

/// A message is the length of a JSON array, a colon and the array: `[0, id, command, parameters]` for a command,
/// `[1, id, error, result]` for its answer.
#[derive(Debug)]
struct Connection {
    stream: BufReader<TcpStream>,
    commands: u32,
}

impl Connection {
    fn open(child: &mut Child, profile: &Path) -> Result<Self> {
        let start = Instant::now();
        let port: u16 = loop {
            let port = fs::read_to_string(profile.join("MarionetteActivePort")).unwrap_or_default();
            if let Ok(port) = port.trim().parse() {
                break port;
            }
            if let Some(status) = child.try_wait().context("cannot get the state of the process")? {
                bail!("it ended with {status}");
            }
            ensure!(start.elapsed() < START, "it opened no port within {} s", START.as_secs());
            std::thread::sleep(Duration::from_millis(100));
        };
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("cannot connect to it")?;
        stream.set_read_timeout(Some(PATIENCE)).context("cannot set the socket's time-out")?;
        let mut connection = Self { stream: BufReader::new(stream), commands: 0 };
        connection.receive().context("it sent no greeting")?;
        connection.command("WebDriver:NewSession", &json!({}))?;
        let script =
            u64::try_from(PATIENCE.as_millis()).context("a time-out that does not fit into 64 bits")?;
        connection.command("WebDriver:SetTimeouts", &json!({ "script": script }))?;
        Ok(connection)
    }

    fn command(&mut self, name: &str, parameters: &Value) -> Result<Value> {
        self.commands += 1;
        let message = json!([0, self.commands, name, parameters]).to_string();
        write!(self.stream.get_mut(), "{}:{message}", message.len())
            .context("cannot send the command to Firefox")?;
        let mut answer = self.receive()?;
        ensure!(answer[1] == self.commands, "Firefox answered another command");
        match answer[2]["message"].as_str() {
            Some(message) => bail!("{name}: {message}"),
            None => Ok(answer[3].take()),
        }
    }

    fn receive(&mut self) -> Result<Value> {
        let mut length = Vec::new();
        self.stream.read_until(b':', &mut length).context("Firefox did not answer")?;
        let length = std::str::from_utf8(&length).ok().and_then(|text| text.strip_suffix(':')?.parse().ok());
        let mut message = vec![0; length.context("Firefox's answer has no length")?];
        self.stream.read_exact(&mut message).context("Firefox's answer is incomplete")?;
        serde_json::from_slice(&message).context("Firefox's answer is not JSON")
    }
}
