//! The interface between [`crate::reader`] and the formats.

use unbraid_base::Stereo;

use crate::error::Problem;
use crate::info::AudioInfo;
use crate::notice::Notice;

/// Decodes one file to stereo at the file's own sample rate. Mono is copied to both channels.
pub(crate) trait Decoder: Send {
    /// The properties of the file.
    fn info(&self) -> &AudioInfo;

    /// What the file lacks and what was assumed about it, so far. It is complete after the last read.
    fn notices(&self) -> &[Notice];

    /// Appends the next block to `out`. Returns `false` at the end.
    ///
    /// `frames` is the preferred length of the block. A format with blocks of fixed size ignores it.
    fn read(&mut self, frames: usize, out: &mut Stereo) -> Result<bool, Problem>;

    /// Makes `frame` the next frame to be read, or the end if the file is shorter. Call it before the first read.
    fn seek(&mut self, frame: u64) -> Result<(), Problem>;
}
