//! Sums of many values in two or more stages, in a fixed order.
//!
//! burn's reduction computes each output on one GPU thread, or adds atomically in an order that varies. The first takes
//! up to hundreds of milliseconds for the mean of a spectrogram, and the second changes the last bits from run to run.

mod burn;
mod cpu;
mod gpu;
mod op;
mod summand;

pub use gpu::{SumKernel, SumPass};
pub(crate) use gpu::{sum_parts, sum_parts_of_two};
pub use op::sum_rows;
pub use summand::Summand;
