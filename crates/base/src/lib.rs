//! Types and functions that several crates share. They depend on neither burn nor an audio format.

#[cfg(not(target_family = "wasm"))]
pub mod file;
mod snr;
mod text;

pub use snr::snr_db;
pub use text::counted;

/// Planar stereo audio: the left and the right channel, of equal length. Full scale is ±1.
pub type Stereo = [Vec<f32>; 2];
