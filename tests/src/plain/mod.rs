//! The operations in burn's own operations, as one would write them without kernels: the measure of what error
//! a device's arithmetic makes unavoidable, and of what time and memory the kernels save.

pub mod attention;
pub mod stft;
