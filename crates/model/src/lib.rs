//! TFSWA networks: their configuration, their weights file, and separation of a stream.
//!
//! A U-Net over the spectrogram whose blocks attend along time, along frequency, and within shifted windows
//! ([`Tfswa`]); described by a [`ModelConfig`], kept in one self-describing file ([`weights`]), and run over songs
//! of any length by a [`Separator`].
//!
//! Axis letters: `b` batch · `s` stems · `c` channels · `n` samples · `t` frames · `f` bins · `h` heads ·
//! `d` head width · `w` window area. Tokens are channels-last: `[b, t, f, c]`.

mod block;
mod config;
mod network;
mod planes;
mod separator;
mod tensors;
pub mod weights;

pub use block::{Block, Precision, Recompute, Stage, SubLayer};
pub use config::{ConfigError, MAX_PARAMETERS, ModelConfig, PRESETS, Positional};
pub use network::Tfswa;
pub use separator::{Network, SeparateError, Separator, SeparatorOptions};
pub use tensors::{TensorsError, named_shapes, named_tensors, with_tensors};
pub use unbraid_base::Stereo;
