//! Audio effects, and what they are built of. Songs are synthesised with them, and training segments augmented.
//!
//! [`Effects`] is a mixing desk for one stem: equaliser, compressor, saturation, room and stereo width. [`Coding`] adds
//! the noise of a lossy codec. The other modules hold the elementary functions, random streams, filters and rooms.
//!
//! Except for [`Coding`], the same input gives the same bits on every platform. The elementary functions come from `libm`.

mod coding;
mod desk;
pub mod filter;
pub mod math;
pub mod random;
pub mod room;

pub use coding::Coding;
pub use desk::{Band, Compressor, Effects, Reverb, Shape};
