//! Reads bytes at a position.

use std::io::{ErrorKind, SeekFrom};

use symphonia::core::io::MediaSource;

use crate::error::Problem;

/// Fills as much of `buffer` as the source holds from `position` on. Returns the number of bytes.
pub(crate) fn read_up_to(
    source: &mut dyn MediaSource,
    position: u64,
    buffer: &mut [u8],
) -> Result<usize, Problem> {
    source.seek(SeekFrom::Start(position)).map_err(Problem::Read)?;
    let mut got = 0;
    while got < buffer.len() {
        match source.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Problem::Read(error)),
        }
    }
    Ok(got)
}
