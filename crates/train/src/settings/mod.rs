//! The settings of a training run, and presets for low memory.

mod check;
mod choice;
pub mod config;
mod declare;
mod error;
pub mod known;
mod network;
mod paths;
pub mod preset;
pub mod setting;
mod toml_form;
