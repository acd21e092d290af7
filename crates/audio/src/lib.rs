//! Decodes, resamples and writes audio.
//!
//! [`AudioReader`] reads any supported file as stereo blocks at a chosen sample rate. [`read_segment`] reads a part
//! of a file. [`AudioWriter`] writes a file that appears under its name complete or not at all.
//!
//! Supported for reading: wav (PCM, float, ADPCM), aiff, flac, mp3, ogg (Vorbis) and m4a (AAC-LC, ALAC). A codec's
//! delay and padding are removed if the file states them (the LAME tag of an mp3, the granule positions of an ogg,
//! the edit list or iTunes' gapless tag of an m4a). Then sample 0 is the first sample of the song.
//!
//! Files are not trusted. A file that is incomplete, damaged or empty gives an [`AudioError`]. Sizes in headers are
//! compared with the file's size before memory is allocated.

mod container;
mod decoder;
mod error;
#[cfg(not(target_family = "wasm"))]
mod flac;
#[cfg(not(target_family = "wasm"))]
mod format;
mod formats;
mod info;
mod mp3;
#[cfg(not(target_family = "wasm"))]
mod mp3_writer;
mod mp4;
mod notice;
mod ogg;
#[cfg(not(target_family = "wasm"))]
mod opus_writer;
mod plain;
mod reader;
mod resample;
mod source;
#[cfg(not(target_family = "wasm"))]
mod spool;
mod symphonia_decoder;
#[cfg(not(target_family = "wasm"))]
mod tags;
mod trim;
mod wav;
#[cfg(not(target_family = "wasm"))]
mod writer;

pub use error::{AudioError, Problem};
pub use info::AudioInfo;
pub use notice::{Notice, ReadOptions};
pub use reader::{AudioReader, read_segment};
/// A source for [`AudioReader::from_source`], for example a `std::io::Cursor` over bytes.
pub use symphonia::core::io::MediaSource;
pub use unbraid_base::Stereo;
#[cfg(not(target_family = "wasm"))]
pub use {
    format::Format,
    spool::Spool,
    tags::Tags,
    writer::{AudioWriter, WriteOptions},
};
