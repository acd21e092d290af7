//! A browser under remote control, by the W3C's WebDriver protocol.
//!
//! [`Driver`] starts `chromedriver`, [`Browser`] is one window of a headless Chromium with a profile of its own. The
//! page's end-to-end tests and the conformance cases in the browser are driven with it.

mod browser;
mod driver;
mod http;

pub use browser::{Browser, Element, Gpu, keys};
pub use driver::Driver;
