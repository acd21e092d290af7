//! Songs on disk, and the segments drawn from them.

pub mod dataset;
pub mod segments;
