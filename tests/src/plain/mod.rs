//! The operations in burn's own operations, as a program without kernels would have them. They measure the error that a
//! device's arithmetic makes unavoidable, and the time and memory that the kernels save.

pub mod attention;
pub mod stft;
