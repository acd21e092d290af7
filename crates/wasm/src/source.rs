//! A file of the page as a source of bytes, read in chunks.

use std::io::{self, Read, Seek, SeekFrom};

use js_sys::Uint8Array;
use send_wrapper::SendWrapper;
use unbraid_audio::{AudioReader, MediaSource, Problem, ReadOptions};
use wasm_bindgen::JsValue;
use web_sys::{File, FileReaderSync};

use crate::error::Failure;

/// Bytes per read. Each read is a round trip to another process of the browser.
const CHUNK: u64 = 512 << 10;

/// Largest file in bytes. Files are never read whole, but the page keeps their stems. The stems of 2 GiB of 16-bit
/// stereo, more than three hours, exceed the memory of a tab.
const LARGEST: f64 = (1u64 << 31) as f64;

/// Opens a song at a sample rate.
pub(crate) fn open(file: &File, rate: u32) -> Result<AudioReader, Failure> {
    let size = file.size();
    if size > LARGEST {
        return Err(Failure::File(format!(
            "The file has {:.1} GB. This page takes at most 2 GB (three hours of uncompressed stereo). Convert the \
             file to flac or mp3, or cut it.",
            size / 1e9
        )));
    }
    let name = file.name();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    let reader = FileReaderSync::new().map_err(|error| Failure::File(text(&error)))?;
    let source = FileSource {
        file: SendWrapper::new((file.clone(), reader)),
        length: size as u64,
        position: 0,
        chunk: Vec::new(),
        chunk_start: 0,
    };
    let options = ReadOptions::NEARLY_COMPLETE;
    AudioReader::from_source(Box::new(source), extension, rate, options).map_err(|error| {
        match &error.problem {
            Problem::UnknownFormat | Problem::OtherFormat(_) | Problem::Unsupported(_) => {
                Failure::Format(error.to_string())
            }
            _ => error.into(),
        }
    })
}

/// A reader's notices as texts.
pub(crate) fn notices(reader: &AudioReader) -> Vec<String> {
    reader.notices().iter().map(ToString::to_string).collect()
}

/// Reads a `File` synchronously. Only workers have the synchronous reader.
struct FileSource {
    /// The program has only one thread.
    file: SendWrapper<(File, FileReaderSync)>,
    length: u64,
    position: u64,
    /// Bytes from `chunk_start` on.
    chunk: Vec<u8>,
    chunk_start: u64,
}

impl FileSource {
    fn fetch(&mut self) -> io::Result<()> {
        let (file, reader) = &*self.file;
        let end = self.length.min(self.position + CHUNK);
        let failed = |error: JsValue| {
            io::Error::other(format!(
                "the browser could not read the file ({}); choose the file again",
                text(&error)
            ))
        };
        let blob = file.slice_with_f64_and_f64(self.position as f64, end as f64).map_err(failed)?;
        let bytes = Uint8Array::new(&reader.read_as_array_buffer(&blob).map_err(failed)?.into());
        self.chunk.resize(bytes.length() as usize, 0);
        bytes.copy_to(&mut self.chunk);
        self.chunk_start = self.position;
        Ok(())
    }
}

impl Read for FileSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.length || buffer.is_empty() {
            return Ok(0);
        }
        let held = self.chunk_start..self.chunk_start + self.chunk.len() as u64;
        if !held.contains(&self.position) {
            self.fetch()?;
        }
        let from = (self.position - self.chunk_start) as usize;
        let count = buffer.len().min(self.chunk.len() - from);
        buffer[..count].copy_from_slice(&self.chunk[from..from + count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for FileSource {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl MediaSource for FileSource {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.length)
    }
}

/// The text of a thrown value.
fn text(error: &JsValue) -> String {
    js_sys::Object::from(error.clone()).to_string().into()
}
