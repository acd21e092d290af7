//! The operations in f64, directly from their definitions and therefore slow. Every device is compared with them. They
//! share no code with the code under test, and contain no optimisation.

pub mod attention;
pub mod linear;
pub mod stft;
pub mod sums;
pub mod tokenwise;
