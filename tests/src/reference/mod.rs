//! The operations in f64, straight from their definitions and as slow as those: what every device is held
//! against. Nothing here is shared with the code under test, and nothing is clever.

pub mod attention;
pub mod linear;
pub mod stft;
pub mod tokenwise;
