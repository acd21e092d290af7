//! Remote control of browsers.
//!
//! [`Driver`] starts `chromedriver`. [`Browser`] is one window of a headless Chromium with a fresh profile, controlled
//! by the W3C's WebDriver protocol. The page's end-to-end tests use it. The conformance cases also run in [`Firefox`],
//! which has another WGSL compiler.
//!
//! The clients are hand-written, because they are small and synchronous. Libraries for WebDriver bring an asynchronous
//! runtime and an HTTP stack, and need geckodriver for Firefox. This crate needs neither.

mod browser;
mod driver;
mod firefox;
mod http;
mod window;

pub use browser::{Browser, Element, Gpu, keys};
pub use driver::Driver;
pub use firefox::Firefox;
pub use window::Window;
