//! Conformance cases for [`unbraid_ops`], run natively and in browsers.
//!
//! Every operation runs forward and backward on a device and is compared with two implementations. The naive f64
//! [`mod@reference`] gives the error. The same operation in burn's own operations ([`plain`]), on the same device,
//! shows which error is unavoidable. Results are read back asynchronously, and the library uses no files, threads or
//! arguments, because it also runs in browsers. The native driver is the binary of this package.

pub mod cases;
pub mod host;
pub mod plain;
pub mod reference;
pub mod report;
