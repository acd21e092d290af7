//! The part of a decoder's output that is the song.

/// The part of the decoder's output that is the song, in frames.
///
/// The rest is the encoder's delay and padding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trim {
    /// Number of the decoder's first frame. It is 0 except in an ogg that was cut out of a longer one.
    pub(crate) origin: i64,
    pub(crate) start: i64,
    /// One past the last frame. `None` if the file does not state it.
    pub(crate) end: Option<i64>,
}

/// How to seek in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeekInfo {
    /// Added to symphonia's time stamps to get frame numbers as in [`Trim`].
    pub(crate) offset: i64,
    /// Frames to decode before the target, so that the decoder's state is the same as after decoding from the start.
    pub(crate) preroll: i64,
    /// Symphonia refuses to seek beyond this frame.
    pub(crate) limit: i64,
}

/// Converts a count, with saturation.
pub(crate) fn to_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
