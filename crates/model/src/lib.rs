//! Source separation networks: their configuration, their weights file, and separation of a stream.
//!
//! A network belongs to a [`Family`], such as the TFSWA U-Net in [`family::tfswa`]. A [`ModelConfig`] describes a
//! network, a weights file stores it with its description ([`weights`]), and a [`Separator`] runs it over songs of any
//! length. The module [`family`] lists the families and explains how to add one.
//!
//! Axis letters: `b` batch · `s` stems · `c` channels · `n` samples · `t` frames · `f` bins · `h` heads ·
//! `d` head width · `w` window area. Tokens are channels-last: `[b, t, f, c]`.

mod config;
mod execution;
pub mod family;
pub mod migrate;
mod network;
mod plain_words;
mod separator;
mod tensors;
pub mod weights;
#[cfg(not(target_family = "wasm"))]
mod weights_writer;

pub use config::{Config, MAX_PARAMETERS, ModelConfigError};
pub use execution::{Execution, Recompute};
pub use family::{FamilyConfig, ModelConfig, Network, STANDARD_NETWORKS};
pub use network::Family;
pub use plain_words::plain_words;
pub use separator::{SegmentModel, SeparateError, Separator, SeparatorOptions};
pub use tensors::{ParameterPath, TensorsError, named_shapes, named_tensors, ordered_shapes, with_tensors};
pub use unbraid_ops::Precision;
#[cfg(not(target_family = "wasm"))]
pub use weights_writer::save_tensors;
