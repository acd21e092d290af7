//! Random access to the bytes of a file, with its length as the bound of every read.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use crate::error::{ImportError, damaged};

/// A file, or bytes in memory.
pub trait Input: Read + Seek {}

impl<T: Read + Seek> Input for T {}

/// An input with its length.
pub(crate) struct Source {
    input: RefCell<Box<dyn Input>>,
    length: u64,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({} bytes)", self.length)
    }
}

impl Source {
    pub(crate) fn new(mut input: Box<dyn Input>) -> io::Result<Self> {
        let length = input.seek(SeekFrom::End(0))?;
        Ok(Self { input: RefCell::new(input), length })
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Reads `length` bytes from `offset`. Nothing is allocated for bytes that the file does not have.
    pub(crate) fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, ImportError> {
        let mut bytes = vec![0; self.fits(offset, length)?];
        self.fill(offset, &mut bytes)?;
        Ok(bytes)
    }

    fn fits(&self, offset: u64, length: u64) -> Result<usize, ImportError> {
        let end = offset.checked_add(length).filter(|end| *end <= self.length);
        match (end, usize::try_from(length)) {
            (Some(_), Ok(length)) => Ok(length),
            _ => damaged(format!("{length} bytes at {offset} are beyond the file's {}", self.length)),
        }
    }

    fn fill(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut input = self.input.borrow_mut();
        input.seek(SeekFrom::Start(offset))?;
        input.read_exact(bytes)
    }

    /// The bytes from `offset` on, at most `length` of them.
    pub(crate) fn stream(&self, offset: u64, length: u64) -> Stream<'_> {
        let end = offset.saturating_add(length).min(self.length);
        Stream { source: self, position: offset.min(end), end }
    }
}

impl rawzip::ReaderAt for Source {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut input = self.input.borrow_mut();
        input.seek(SeekFrom::Start(offset))?;
        input.read(bytes)
    }
}

/// A part of a [`Source`], from its start to its end.
pub(crate) struct Stream<'a> {
    source: &'a Source,
    position: u64,
    end: u64,
}

impl Read for Stream<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let length = bytes.len().min(usize::try_from(self.end - self.position).unwrap_or(usize::MAX));
        self.source.fill(self.position, &mut bytes[..length])?;
        self.position += length as u64;
        Ok(length)
    }
}
