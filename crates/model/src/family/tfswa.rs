//! The TFSWA U-Net: blocks that attend along time, along frequency, and within shifted windows.

mod bands;
mod block;
pub(super) mod config;
mod count;
mod layers;
pub(super) mod network;

pub use config::{MaskedChannels, Positional, TfswaConfig};
pub use network::Tfswa;
