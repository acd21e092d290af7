//! The properties of an audio file, and their accepted ranges.

use std::ops::RangeInclusive;

use crate::downmix::MAX_CHANNELS;
use crate::error::Problem;

/// The sample rates that are accepted, in Hz.
pub(crate) const RATES: RangeInclusive<u32> = 1_000..=384_000;

/// Properties of a file before conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioInfo {
    /// Container and codec, such as `wav` or `m4a (aac)`.
    pub format: &'static str,
    /// Samples per second of one channel, in Hz.
    pub sample_rate: u32,
    /// The channels of the file, 1 to 8. More than two are mixed down to stereo.
    pub channels: usize,
    /// Length in frames (samples of one channel) at the file's own rate. `None` if the file does not state it.
    pub frames: Option<u64>,
}

/// Refuses a channel count or a sample rate that is not accepted.
pub(crate) fn check_layout(channels: usize, sample_rate: u32) -> Result<(), Problem> {
    match channels {
        0 => Err(Problem::header("it has no channels")),
        1..=MAX_CHANNELS if RATES.contains(&sample_rate) => Ok(()),
        1..=MAX_CHANNELS => Err(Problem::SampleRate(sample_rate)),
        _ => Err(Problem::Channels(channels)),
    }
}
