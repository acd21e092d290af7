//! Samples in a temporary file, for what can be written only when the whole song is known.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use unbraid_base::Stereo;

use crate::error::{AudioError, Problem};
use crate::writer::AudioWriter;

/// Frames that are read back at a time.
const BLOCK: usize = 16_384;

/// Stereo on disk as 32-bit floats, without a name and without a limit of length. Memory does not grow with the song.
pub struct Spool {
    file: BufWriter<File>,
    peak: f32,
}

impl Spool {
    /// An empty spool on the file system of `folder`. Its space is freed when it is dropped or the process ends.
    ///
    /// # Errors
    /// [`Problem::Write`].
    pub fn create(folder: &Path) -> Result<Self, AudioError> {
        let file = tempfile::tempfile_in(folder).map_err(failed)?;
        Ok(Self { file: BufWriter::with_capacity(1 << 16, file), peak: 0.0 })
    }

    /// Appends a block of any length.
    ///
    /// # Errors
    /// [`Problem::Write`].
    pub fn write(&mut self, block: &Stereo) -> Result<(), AudioError> {
        for (left, right) in block[0].iter().zip(&block[1]) {
            // The order of `max` keeps a NaN out of the peak. The writer refuses it with its time.
            self.peak = self.peak.max(left.abs()).max(right.abs());
            self.file.write_all(&left.to_le_bytes()).map_err(failed)?;
            self.file.write_all(&right.to_le_bytes()).map_err(failed)?;
        }
        Ok(())
    }

    /// The largest magnitude of all samples so far.
    pub fn peak(&self) -> f32 {
        self.peak
    }

    /// Writes all samples, divided by `divisor`, to `writer`. Asks `stop` before every block, and returns early with
    /// `false` if the answer is yes.
    ///
    /// # Errors
    /// Those of [`AudioWriter::write`], and [`Problem::Write`] if the temporary file cannot be read.
    pub fn copy_to(
        self,
        writer: &mut AudioWriter,
        divisor: f32,
        stop: impl Fn() -> bool,
    ) -> Result<bool, AudioError> {
        let mut file = self.file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.rewind().map_err(failed)?;
        let mut file = BufReader::with_capacity(1 << 16, file);
        let mut bytes = vec![0; 8 * BLOCK];
        loop {
            if stop() {
                return Ok(false);
            }
            let count = read_up_to(&mut file, &mut bytes).map_err(failed)?;
            if count == 0 {
                return Ok(true);
            }
            let sample =
                |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) / divisor;
            let frames = bytes[..count].chunks_exact(8);
            let block = [0, 4].map(|from| frames.clone().map(|frame| sample(&frame[from..])).collect());
            writer.write(&block)?;
        }
    }
}

/// Fills `bytes` unless the file ends.
fn read_up_to(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

fn failed(error: io::Error) -> AudioError {
    AudioError::new(None, Problem::Write(error))
}
