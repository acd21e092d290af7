//! Reads bytes at a position, and parts of a source as sources.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

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

/// A source that several readers share. Each reader has its own position.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Box<dyn MediaSource>>>);

impl Shared {
    pub(crate) fn new(source: Box<dyn MediaSource>) -> Self {
        Self(Arc::new(Mutex::new(source)))
    }

    /// The bytes of `range` as a source. The range lies inside the source.
    pub(crate) fn part(&self, range: Range<u64>) -> Part {
        Part { source: self.clone(), start: range.start, length: range.end - range.start, position: 0 }
    }
}

/// A range of bytes of a shared source.
pub(crate) struct Part {
    source: Shared,
    start: u64,
    length: u64,
    /// Relative to the start of the range.
    position: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        if wanted == 0 {
            return Ok(0);
        }
        let mut source = self.source.0.lock().unwrap_or_else(PoisonError::into_inner);
        source.seek(SeekFrom::Start(self.start + self.position))?;
        let count = source.read(&mut buffer[..wanted])?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Part {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl MediaSource for Part {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.length)
    }
}

/// A buffer over a source, for parsers that look ahead. A parser that moves forward reads every byte about once.
pub(crate) struct Window {
    source: Part,
    buffer: Vec<u8>,
    /// Position of the first byte of the buffer.
    start: u64,
}

impl Window {
    /// Bytes that are read at once. It is twice the largest look-ahead.
    const SIZE: usize = 128 * 1024;

    pub(crate) fn new(source: Part) -> Self {
        Self { source, buffer: Vec::new(), start: 0 }
    }

    /// The length of the source in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.source.length
    }

    /// `count` bytes from `position` on, or fewer at the end of the source. `count` is at most half of the window.
    pub(crate) fn at(&mut self, position: u64, count: usize) -> Result<&[u8], Problem> {
        let left = self.length().saturating_sub(position);
        let count = count.min(usize::try_from(left).unwrap_or(usize::MAX));
        let end = position + count as u64;
        if position < self.start || end > self.start + self.buffer.len() as u64 {
            self.buffer.resize(Self::SIZE.max(count), 0);
            let got = read_up_to(&mut self.source, position, &mut self.buffer)?;
            self.buffer.truncate(got);
            self.start = position;
        }
        let from = ((position - self.start) as usize).min(self.buffer.len());
        let to = (from + count).min(self.buffer.len());
        Ok(&self.buffer[from..to])
    }
}

/// The first two bytes as a number.
pub(crate) fn le_u16(bytes: &[u8]) -> u16 {
    u16::from_le_bytes([bytes[0], bytes[1]])
}

/// The first four bytes as a number.
pub(crate) fn le_u32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// The first eight bytes as a number.
pub(crate) fn le_u64(bytes: &[u8]) -> u64 {
    u64::from(le_u32(bytes)) | u64::from(le_u32(&bytes[4..])) << 32
}

/// The first two bytes as a number.
pub(crate) fn be_u16(bytes: &[u8]) -> u16 {
    le_u16(bytes).swap_bytes()
}

/// The first four bytes as a number.
pub(crate) fn be_u32(bytes: &[u8]) -> u32 {
    le_u32(bytes).swap_bytes()
}

/// The first eight bytes as a number.
pub(crate) fn be_u64(bytes: &[u8]) -> u64 {
    le_u64(bytes).swap_bytes()
}
