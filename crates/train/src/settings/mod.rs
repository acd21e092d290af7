//! The settings of a training run, and presets for low memory.

pub mod config;
mod declare;
pub mod known;
mod network;
mod paths;
pub mod preset;
pub mod setting;
