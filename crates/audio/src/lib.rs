//! Decode, resample and write audio.
//!
//! Reading: [`AudioReader`] gives any supported file as stereo blocks at the rate that is asked for, and
//! [`read_segment`] a part of a file. Writing: [`AudioWriter`] puts a file in place whole or not at all.
//!
//! What is read: wav (PCM, float, ADPCM), aiff, flac, mp3, ogg (Vorbis) and m4a (AAC-LC, ALAC). Every codec's
//! delay and padding is removed where its file tells them, so that sample 0 is the first sample of the song:
//! the LAME tag of an mp3, the granule positions of an ogg, the edit list or iTunes' gapless tag of an m4a.
//!
//! Files are not trusted. A file that is cut short, damaged, empty or absurd gives an [`AudioError`] that says
//! what to do about it; sizes in headers are held against the file's own size before anything is allocated.
#![warn(missing_docs)]

mod coded;
mod container;
mod error;
#[cfg(not(target_family = "wasm"))]
mod flac;
mod mp3;
mod mp4;
mod ogg;
mod reader;
mod resample;
mod song;
mod wav;
#[cfg(not(target_family = "wasm"))]
mod writer;

pub use error::{AudioError, Problem};
pub use reader::{AudioInfo, AudioReader, read_segment};
/// What [`AudioReader::from_source`] reads from; a `std::io::Cursor` over bytes is one.
pub use symphonia::core::io::MediaSource;
pub use unbraid_base::Stereo;
#[cfg(not(target_family = "wasm"))]
pub use writer::{AudioWriter, Format};
