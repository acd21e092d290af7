//! Devices: their properties, which of them are trusted, their memory, and how one is chosen. `native.rs` lists and
//! opens the devices of a machine, `web.rs` opens the one device that a browser offers.

#[cfg(not(target_family = "wasm"))]
mod choice;
pub(crate) mod memory;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod native;
mod properties;
#[cfg(target_family = "wasm")]
pub(crate) mod web;
mod workers;

#[cfg(not(target_family = "wasm"))]
pub use choice::{Choice, DeviceError};
pub use memory::{MemoryRefused, MemoryUse, dry_run, memory, memory_refused};
#[cfg(not(target_family = "wasm"))]
pub use native::{DeviceInfo, find, list, select};
pub use properties::{DeviceKind, Features, Limits};
#[cfg(target_family = "wasm")]
pub use web::{WebGpu, WebGpuError, note_error};
pub use workers::workers;
