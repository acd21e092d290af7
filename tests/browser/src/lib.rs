//! Browsers under remote control.
//!
//! [`Driver`] starts `chromedriver`, [`Browser`] is one window of a headless Chromium with a profile of its own, by the
//! W3C's WebDriver protocol. The page's end-to-end tests are driven with it. The conformance cases run in [`Firefox`]
//! too, whose WGSL compiler is another one.

mod browser;
mod driver;
mod firefox;
mod http;
mod window;

pub use browser::{Browser, Element, Gpu, keys};
pub use driver::Driver;
pub use firefox::Firefox;
pub use window::Window;

/// Longest time that a script may run, and an answer be waited for.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1200);
