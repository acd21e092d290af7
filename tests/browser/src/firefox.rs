//! A headless Firefox, by Marionette, the protocol it speaks itself: no driver is needed.

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

use crate::{PATIENCE, Window};

/// Names under which it is installed.
const PROGRAMS: [&str; 2] = ["firefox", "firefox-esr"];

/// How long it may take to start.
const START: Duration = Duration::from_secs(60);

/// WebGPU wherever there is an adapter, software ones too; a free port for Marionette; no connections of its own.
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

/// A headless Firefox with a fresh profile and one window. Closes with this value.
#[derive(Debug)]
pub struct Firefox {
    child: Child,
    connection: RefCell<Connection>,
    _profile: TempDir,
}

impl Firefox {
    /// Whether Firefox is on this machine; if not, what to install.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn available() -> Result<(), String> {
        program()
            .map(drop)
            .ok_or_else(|| "firefox is not installed (Debian: apt-get install firefox-esr)".into())
    }

    /// Opens a window.
    ///
    /// # Errors
    /// Where Firefox is not installed or does not start.
    pub fn open() -> Result<Self> {
        let program = program().context("firefox is not installed")?;
        let profile = tempfile::tempdir().context("no folder for a profile")?;
        fs::write(profile.path().join("user.js"), PREFERENCES).context("cannot write a profile")?;
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
    // It may be gone already.
    let _ = child.kill();
    let _ = child.wait();
}

fn program() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|program| {
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    })
}

/// Messages are JSON after its length and a colon: `[0, id, command, parameters]`, then `[1, id, error, result]`.
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
            if let Some(status) = child.try_wait().context("a process that cannot be asked")? {
                bail!("it ended with {status}");
            }
            ensure!(start.elapsed() < START, "it named no port within {} s", START.as_secs());
            std::thread::sleep(Duration::from_millis(100));
        };
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("it does not answer")?;
        stream.set_read_timeout(Some(PATIENCE)).context("a socket without a clock")?;
        let mut connection = Self { stream: BufReader::new(stream), commands: 0 };
        connection.receive().context("no greeting")?;
        connection.command("WebDriver:NewSession", &json!({}))?;
        let script = u64::try_from(PATIENCE.as_millis()).context("too much patience")?;
        connection.command("WebDriver:SetTimeouts", &json!({ "script": script }))?;
        Ok(connection)
    }

    fn command(&mut self, name: &str, parameters: &Value) -> Result<Value> {
        self.commands += 1;
        let message = json!([0, self.commands, name, parameters]).to_string();
        write!(self.stream.get_mut(), "{}:{message}", message.len()).context("Firefox takes no command")?;
        let mut answer = self.receive()?;
        ensure!(answer[1] == self.commands, "Firefox answers another command");
        match answer[2]["message"].as_str() {
            Some(message) => bail!("{name}: {message}"),
            None => Ok(answer[3].take()),
        }
    }

    fn receive(&mut self) -> Result<Value> {
        let mut length = Vec::new();
        self.stream.read_until(b':', &mut length).context("Firefox gave no answer")?;
        let length = std::str::from_utf8(&length).ok().and_then(|text| text.strip_suffix(':')?.parse().ok());
        let mut message = vec![0; length.context("Firefox's answer has no length")?];
        self.stream.read_exact(&mut message).context("Firefox's answer breaks off")?;
        serde_json::from_slice(&message).context("Firefox's answer is not JSON")
    }
}
