//! A file of the page's as a source of bytes, read in pieces.

use std::io::{self, Read, Seek, SeekFrom};

use js_sys::Uint8Array;
use send_wrapper::SendWrapper;
use unbraid_audio::{AudioReader, MediaSource};
use wasm_bindgen::JsValue;
use web_sys::{File, FileReaderSync};

use crate::error::Failure;

/// Bytes fetched at once: each fetch is a message to another process of the browser and back.
const PIECE: u64 = 512 << 10;

/// Largest file taken. Files are never read whole, but their stems are kept by the page: of 2 GiB of 16-bit stereo,
/// more than three hours, they are beyond what a tab may hold.
const LARGEST: f64 = (1u64 << 31) as f64;

/// Opens a song at a sample rate.
pub(crate) fn open(file: &File, rate: u32) -> Result<AudioReader, Failure> {
    let size = file.size();
    if size > LARGEST {
        return Err(Failure::File(format!(
            "The file has {:.1} GB, and this page takes 2 GB at most (three hours of uncompressed stereo). Convert it \
             to flac or mp3, or cut it.",
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
        piece: Vec::new(),
        piece_start: 0,
    };
    Ok(AudioReader::from_source(Box::new(source), extension, rate)?)
}

/// Reads a `File` where it stands: only in workers is there a reader that waits.
struct FileSource {
    /// Used by the one thread there is.
    file: SendWrapper<(File, FileReaderSync)>,
    length: u64,
    position: u64,
    /// Bytes from `piece_start` on.
    piece: Vec<u8>,
    piece_start: u64,
}

impl FileSource {
    fn fetch(&mut self) -> io::Result<()> {
        let (file, reader) = &*self.file;
        let end = self.length.min(self.position + PIECE);
        let failed = |error: JsValue| {
            io::Error::other(format!(
                "the browser could not read the file ({}); choose it again",
                text(&error)
            ))
        };
        let blob = file.slice_with_f64_and_f64(self.position as f64, end as f64).map_err(failed)?;
        let bytes = Uint8Array::new(&reader.read_as_array_buffer(&blob).map_err(failed)?.into());
        self.piece.resize(bytes.length() as usize, 0);
        bytes.copy_to(&mut self.piece);
        self.piece_start = self.position;
        Ok(())
    }
}

impl Read for FileSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.length || buffer.is_empty() {
            return Ok(0);
        }
        let held = self.piece_start..self.piece_start + self.piece.len() as u64;
        if !held.contains(&self.position) {
            self.fetch()?;
        }
        let from = (self.position - self.piece_start) as usize;
        let count = buffer.len().min(self.piece.len() - from);
        buffer[..count].copy_from_slice(&self.piece[from..from + count]);
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

/// What a thrown value says.
fn text(error: &JsValue) -> String {
    js_sys::Object::from(error.clone()).to_string().into()
}
