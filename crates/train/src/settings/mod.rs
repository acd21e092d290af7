//! The settings of a run, and presets for little memory.

pub mod config;
mod network;
pub mod preset;
