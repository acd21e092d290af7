//! Attention over sequences of the time-frequency plane.
//!
//! There is one attention and three kinds of sequences ([`Sequences`]). Index arithmetic maps a sequence and a position
//! in it to a token. So no transposed, rolled or partitioned copy of the plane is made, and the scores of a whole
//! sequence never exist at once outside registers and caches.

mod burn;
mod cpu;
mod gpu;
mod layout;
mod op;
mod options;
mod rotary;
mod rows;
mod scratch;

pub use gpu::{AttentionKernel, Pass};
pub use layout::Sequences;
pub use op::attention;
pub use options::{Attention, MAX_HEAD_WIDTH};
