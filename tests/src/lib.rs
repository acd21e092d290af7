//! One library of conformance cases for [`unbraid_ops`], run natively and in browsers.
//!
//! Every operation is run, forward and backward, on a device, and held against two others: the naive f64
//! [`mod@reference`] tells the error, and the same in burn's own operations ([`plain`]) on the same device and in the
//! same precision tells which error was unavoidable. Reading back is asynchronous; nothing here touches files,
//! threads or arguments. The native driver is the binary of this package.

pub mod cases;
pub mod host;
pub mod plain;
pub mod reference;
pub mod report;
