//! The settings of a training run, and presets for low memory.

pub mod config;
mod declare;
mod network;
pub mod preset;
pub mod setting;
