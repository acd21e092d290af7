//! The interface between the containers and the codecs inside of them.

use unbraid_base::Stereo;

use crate::error::Problem;

/// A codec, opened with the header packets of one stream.
pub(crate) trait Codec: Send {
    /// Samples per second of one channel. Granule positions count frames of this rate.
    fn rate(&self) -> u32;

    /// Number of channels.
    fn channels(&self) -> usize;

    /// Frames at the beginning of the decoder's output that do not belong to the song.
    fn delay(&self) -> u64 {
        0
    }

    /// Frames to decode before a target, so that the output is the same as after decoding from the beginning.
    /// `None` if no number of frames achieves that.
    fn preroll(&self) -> Option<u64>;

    /// The block size of a packet, in frames. `None` if the packet holds no audio. Only the first bytes are needed.
    fn block(&self, packet: &[u8]) -> Option<u64>;

    /// The frames that the decoder outputs for a packet with `block` after a packet with the block `previous`. There is
    /// no previous packet at the beginning and after [`Self::reset`].
    fn frames(&self, previous: Option<u64>, block: u64) -> u64;

    /// Decodes a packet and appends its frames. Mono is copied to both channels.
    fn decode(&mut self, packet: &[u8], out: &mut Stereo) -> Result<(), Problem>;

    /// Forgets the previous packets.
    fn reset(&mut self);
}

/// A codec that can be read.
pub(crate) struct Kind {
    /// Container and codec, as in [`AudioInfo::format`](crate::AudioInfo::format).
    pub(crate) format: &'static str,
    /// The first bytes of the first packet.
    pub(crate) magic: &'static [u8],
    /// The number of packets before the audio.
    pub(crate) headers: usize,
    pub(crate) open: OpenCodec,
}

/// Opens a codec with its header packets.
pub(crate) type OpenCodec = fn(&[Vec<u8>]) -> Result<Box<dyn Codec>, Problem>;
