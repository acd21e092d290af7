//! A window of Chromium.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::driver::Driver;
use crate::http::request;
use crate::window::{PATIENCE, Window};

/// The WebGPU adapter of a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gpu {
    /// SwiftShader, Chromium's own software adapter.
    Software,
    /// No WebGPU.
    None,
}

/// An element of the page.
#[derive(Debug, Clone)]
pub struct Element(String);

/// The protocol's key of an element's reference.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A headless Chromium with a fresh profile. Dropping this value closes it.
#[derive(Debug)]
pub struct Browser<'a> {
    driver: &'a Driver,
    session: String,
}

impl<'a> Browser<'a> {
    /// Opens a window of a width and a height in pixels.
    ///
    /// # Errors
    /// If Chromium does not start.
    pub fn open(driver: &'a Driver, gpu: Gpu, [width, height]: [u32; 2]) -> Result<Self> {
        let mut arguments = vec![
            "--headless".to_owned(),
            // Chromium's sandbox does not run as root, and only our own page is opened.
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
        let script =
            u64::try_from(PATIENCE.as_millis()).context("a time-out that does not fit into 64 bits")?;
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

    /// The first element that matches a CSS selector.
    ///
    /// # Errors
    /// If no element matches.
    pub fn find(&self, selector: &str) -> Result<Element> {
        let found =
            self.command("POST", "/element", &json!({ "using": "css selector", "value": selector }))?;
        Ok(Element(found[ELEMENT].as_str().context("an element without a reference")?.to_owned()))
    }

    /// Clicks in the middle of an element.
    ///
    /// # Errors
    /// If the element cannot be clicked.
    pub fn click(&self, element: &Element) -> Result<()> {
        self.command("POST", &format!("/element/{}/click", element.0), &json!({})).map(drop)
    }

    /// Types into an element. For a file input, `text` is the path of a file.
    ///
    /// # Errors
    /// If the element takes no text.
    pub fn type_into(&self, element: &Element, text: &str) -> Result<()> {
        self.command("POST", &format!("/element/{}/value", element.0), &json!({ "text": text })).map(drop)
    }

    /// Presses keys one after the other. [`keys`] has those that are not letters.
    ///
    /// # Errors
    /// If the driver refuses.
    pub fn press(&self, keys: &[char]) -> Result<()> {
        let strokes = keys.iter().flat_map(|key| {
            ["keyDown", "keyUp"].map(|event| json!({ "type": event, "value": key.to_string() }))
        });
        let strokes = json!([{ "type": "key", "id": "keyboard", "actions": strokes.collect::<Vec<_>>() }]);
        self.command("POST", "/actions", &json!({ "actions": strokes })).map(drop)
    }

    /// The lines that the browser wrote to its console since the last call.
    ///
    /// # Errors
    /// If the driver refuses.
    pub fn console(&self) -> Result<Vec<String>> {
        let entries = self.command("POST", "/se/log", &json!({ "type": "browser" }))?;
        let entries = entries.as_array().map_or(&[][..], Vec::as_slice);
        Ok(entries.iter().filter_map(|entry| Some(entry["message"].as_str()?.to_owned())).collect())
    }

    /// Sends a command of Chromium's debugging protocol (CDP) and returns its result.
    ///
    /// # Errors
    /// The error in Chromium's answer.
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

/// The protocol's code points of keys that are not letters.
pub mod keys {
    /// Tab.
    pub const TAB: char = '\u{e004}';
    /// Enter.
    pub const ENTER: char = '\u{e007}';
    /// Escape.
    pub const ESCAPE: char = '\u{e00c}';
    /// Home.
    pub const HOME: char = '\u{e011}';
    /// Left arrow.
    pub const LEFT: char = '\u{e012}';
    /// Right arrow.
    pub const RIGHT: char = '\u{e014}';
}

impl Drop for Browser<'_> {
    fn drop(&mut self) {
        // If this fails, the end of the driver closes the window.
        self.command("DELETE", "", &Value::Null).ok();
    }
}
