//! The bytes of a pickle, with a bound on their number.

use std::io::{BufReader, Read};
use std::rc::Rc;

use crate::error::{ImportError, damaged};

/// Maximum number of bytes of a text or of bytes that are kept. Names are shorter.
const MOST_KEPT: u64 = 4096;

/// Bytes of a buffer.
const BUFFER: usize = 1 << 16;

pub(super) struct Bytes<R> {
    reader: BufReader<R>,
    consumed: u64,
    limit: u64,
}

impl<R: Read> Bytes<R> {
    pub(super) fn new(reader: R, limit: u64) -> Self {
        Self { reader: BufReader::with_capacity(BUFFER, reader), consumed: 0, limit }
    }

    pub(super) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Counts `length` bytes, which must not exceed the limit.
    fn count(&mut self, length: u64) -> Result<(), ImportError> {
        let left = self.limit - self.consumed;
        if length > left {
            let at = self.consumed;
            return damaged(match length {
                1 => format!("its pickle ends early, at byte {at}"),
                _ => format!("its pickle ends early: byte {at} announces {length} bytes, and {left} follow"),
            });
        }
        self.consumed += length;
        Ok(())
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        self.count(N as u64)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, ImportError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, ImportError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, ImportError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// The next `length` bytes. `None`: they are more than are kept, and were passed over.
    pub(super) fn kept(&mut self, length: u64) -> Result<Option<Vec<u8>>, ImportError> {
        self.count(length)?;
        if length > MOST_KEPT {
            let passed = std::io::copy(&mut self.reader.by_ref().take(length), &mut std::io::sink())?;
            return if passed == length { Ok(None) } else { damaged("its pickle ends early") };
        }
        let mut bytes = vec![0; length as usize];
        self.reader.read_exact(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// The next line, without its end.
    pub(super) fn line(&mut self) -> Result<Rc<str>, ImportError> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return Ok(String::from_utf8_lossy(&line).into()),
                byte if (line.len() as u64) < MOST_KEPT => line.push(byte),
                _ => return damaged(format!("its pickle has a name of more than {MOST_KEPT} bytes")),
            }
        }
    }
}
