//! Decodes, resamples and writes audio.
//!
//! [`AudioReader`] reads any supported file as stereo blocks at a chosen sample rate. [`read_segment`] reads a part
//! of a file. [`AudioWriter`] writes a file that appears under its name complete or not at all.
//!
//! Supported for reading: wav, w64, caf, aiff and au (PCM, float, A-law, µ-law; wav also ADPCM; caf also ALAC and
//! AAC-LC), flac, mp3, ogg (Vorbis, Opus), m4a, mp4 and mov (AAC-LC, ALAC, FLAC, Opus, mp3; mov also PCM, float, A-law,
//! µ-law), webm and mkv (Opus, Vorbis, AAC-LC, FLAC, mp3) and aac (ADTS). This crate reads uncompressed samples, A-law,
//! µ-law, and all containers except flac and caf. `rusty-opus` decodes Opus, and symphonia everything else. Up to eight
//! channels are mixed down to stereo. A codec's delay and padding are removed if the file states them (the LAME tag of
//! an mp3, the granule positions of an ogg, the edit list or iTunes' gapless tag of an m4a, the packet table of a caf).
//! Then sample 0 is the first sample of the song.
//!
//! Files are not trusted. A file that is incomplete, damaged or empty gives an [`AudioError`]. Sizes in headers are
//! compared with the file's size before memory is allocated.

mod aac;
mod adpcm;
mod adts;
mod aiff;
mod au;
mod caf;
mod codec;
mod container;
mod core_audio;
mod decoder;
mod downmix;
mod error;
mod extent;
#[cfg(not(target_family = "wasm"))]
mod flac;
mod flac_frames;
mod foreign;
#[cfg(not(target_family = "wasm"))]
mod format;
mod formats;
mod info;
mod joined;
mod mkv;
mod mp3;
#[cfg(not(target_family = "wasm"))]
mod mp3_writer;
mod mp4;
mod notice;
mod ogg;
mod opus;
#[cfg(not(target_family = "wasm"))]
mod opus_writer;
mod packet_codec;
mod pcm;
mod pieces;
mod reader;
mod resample;
mod source;
#[cfg(not(target_family = "wasm"))]
mod spool;
mod symphonia_decoder;
mod table;
#[cfg(not(target_family = "wasm"))]
mod tags;
mod trim;
mod w64;
mod wav;
#[cfg(not(target_family = "wasm"))]
mod writer;

pub use error::{AudioError, Problem};
pub use info::AudioInfo;
pub use notice::{Notice, ReadOptions};
pub use reader::{AudioReader, read_segment};
pub use resample::Resampler;
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
