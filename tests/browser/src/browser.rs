//! One window.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::driver::Driver;
use crate::http::request;
use crate::{PATIENCE, Window};

/// What a browser has for WebGPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gpu {
    /// SwiftShader, Chromium's own software adapter.
    Software,
    /// Nothing.
    None,
}

/// An element of the page.
#[derive(Debug, Clone)]
pub struct Element(String);

/// The protocol's name for an element's reference.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A headless Chromium with a fresh profile. Closes with this value.
#[derive(Debug)]
pub struct Browser<'a> {
    driver: &'a Driver,
    session: String,
}

impl<'a> Browser<'a> {
    /// Opens a window of a size.
    ///
    /// # Errors
    /// Where Chromium does not start.
    pub fn open(driver: &'a Driver, gpu: Gpu, [width, height]: [u32; 2]) -> Result<Self> {
        let mut arguments = vec![
            "--headless".to_owned(),
            // Chromium's sandbox does not run as root, and nothing but our own page is opened.
            "--no-sandbox".into(),
            "--disable-quic".into(),
            "--no-first-run".into(),
            "--disable-background-networking".into(),
            "--disable-component-update".into(),
            "--disable-sync".into(),
            "--autoplay-policy=no-user-gesture-required".into(),
            format!("--window-size={width},{height}"),
        ];
        match gpu {
            Gpu::Software => {
                arguments.extend(["--enable-unsafe-webgpu".into(), "--enable-unsafe-swiftshader".into()]);
            }
            Gpu::None => arguments.push("--disable-features=WebGPU,WebGPUService".into()),
        }
        let options = json!({ "args": arguments });
        let script = u64::try_from(PATIENCE.as_millis()).context("too much patience")?;
        let wanted = json!({
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": script, "pageLoad": 60_000 },
        });
        let body = json!({ "capabilities": { "alwaysMatch": wanted } });
        let answer = request(driver.port, "POST", "/session", &body).context("Chromium does not start")?;
        let session = answer["sessionId"].as_str().context("a session without a name")?.to_owned();
        Ok(Self { driver, session })
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        request(self.driver.port, method, &format!("/session/{}{path}", self.session), body)
    }

    /// The first element that a CSS selector finds.
    ///
    /// # Errors
    /// Where there is none.
    pub fn find(&self, selector: &str) -> Result<Element> {
        let found =
            self.command("POST", "/element", &json!({ "using": "css selector", "value": selector }))?;
        Ok(Element(found[ELEMENT].as_str().context("an element without a reference")?.to_owned()))
    }

    /// Clicks in the middle of an element.
    ///
    /// # Errors
    /// Where it cannot be clicked.
    pub fn click(&self, element: &Element) -> Result<()> {
        self.command("POST", &format!("/element/{}/click", element.0), &json!({})).map(drop)
    }

    /// Types into an element; into a file input, the path of a file.
    ///
    /// # Errors
    /// Where it takes no text.
    pub fn type_into(&self, element: &Element, text: &str) -> Result<()> {
        self.command("POST", &format!("/element/{}/value", element.0), &json!({ "text": text })).map(drop)
    }

    /// Presses keys one after the other; [`keys`] has those that are no letters.
    ///
    /// # Errors
    /// Where the window takes none.
    pub fn press(&self, keys: &[char]) -> Result<()> {
        let strokes = keys.iter().flat_map(|key| {
            ["keyDown", "keyUp"].map(|event| json!({ "type": event, "value": key.to_string() }))
        });
        let strokes = json!([{ "type": "key", "id": "keyboard", "actions": strokes.collect::<Vec<_>>() }]);
        self.command("POST", "/actions", &json!({ "actions": strokes })).map(drop)
    }

    /// What the browser wrote to its console since the last call.
    ///
    /// # Errors
    /// Where the driver does not tell.
    pub fn console(&self) -> Result<Vec<String>> {
        let entries = self.command("POST", "/se/log", &json!({ "type": "browser" }))?;
        let entries = entries.as_array().map_or(&[][..], Vec::as_slice);
        Ok(entries.iter().filter_map(|entry| Some(entry["message"].as_str()?.to_owned())).collect())
    }

    /// A command of Chromium's own debugging protocol.
    ///
    /// # Errors
    /// What Chromium answers.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Result<Value> {
        self.command("POST", "/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }
}

impl Window for Browser<'_> {
    fn go(&self, url: &str) -> Result<()> {
        self.command("POST", "/url", &json!({ "url": url })).map(drop)
    }

    fn run_async(&self, script: &str, arguments: &[Value]) -> Result<Value> {
        self.command("POST", "/execute/async", &json!({ "script": script, "args": arguments }))
    }
}

/// The protocol's names for keys that are no letters.
pub mod keys {
    /// Tabulator: to the next control.
    pub const TAB: char = '\u{e004}';
    /// Enter.
    pub const ENTER: char = '\u{e007}';
    /// Escape.
    pub const ESCAPE: char = '\u{e00c}';
    /// To the start.
    pub const HOME: char = '\u{e011}';
    /// Arrow to the left.
    pub const LEFT: char = '\u{e012}';
    /// Arrow to the right.
    pub const RIGHT: char = '\u{e014}';
}

impl Drop for Browser<'_> {
    fn drop(&mut self) {
        // The driver's end would close it too.
        let _ = self.command("DELETE", "", &Value::Null);
    }
}
