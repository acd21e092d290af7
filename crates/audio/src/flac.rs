//! Writes flac frame by frame, so that memory does not grow with the song.
//!
//! `flacenc` writes complete streams only from memory, but it can encode single frames. This file writes the header
//! and the frames. The header is rewritten at the end, when length, frame sizes and checksum are known.

use std::io::{self, Seek, SeekFrom, Write};

use flacenc::bitsink::ByteSink;
use flacenc::component::{BitRepr, MetadataBlockData, Stream, StreamInfo};
use flacenc::config::Encoder;
use flacenc::error::{Verified, Verify};
use flacenc::source::{Context, Fill, FrameBuf};

/// Frames per block, the reference encoder's default at 44.1 kHz.
const BLOCK: usize = 4096;

/// The types of metadata blocks, from the format's specification.
const VORBIS_COMMENT: u8 = 4;
const PICTURE: u8 = 6;

/// The program that wrote the comments.
const VENDOR: &str = "Unbraid";

/// Writes a flac stream.
pub(crate) struct FlacWriter<W> {
    out: W,
    config: Verified<Encoder>,
    info: StreamInfo,
    /// Metadata after the stream's information: types and contents.
    metadata: Vec<(u8, Vec<u8>)>,
    checksum: Context,
    block: FrameBuf,
    /// Interleaved samples of the incomplete block.
    pending: Vec<i32>,
    blocks: usize,
}

impl<W: Write + Seek> FlacWriter<W> {
    /// Starts a stream. The tags are the comments and the content of a picture block.
    pub(crate) fn new(
        out: W,
        rate: u32,
        bits: u32,
        comments: &[(String, String)],
        picture: Option<Vec<u8>>,
    ) -> io::Result<Self> {
        let mut config = Encoder::default();
        config.block_size = BLOCK;
        let config = config.into_verified().map_err(|(_, error)| refused(error))?;
        let info = StreamInfo::new(rate as usize, 2, bits as usize).map_err(refused)?;
        let block = FrameBuf::with_size(2, BLOCK).map_err(refused)?;
        let checksum = Context::new(bits as usize, 2);
        let comments = (!comments.is_empty()).then(|| (VORBIS_COMMENT, comment_block(comments)));
        let metadata = comments.into_iter().chain(picture.map(|picture| (PICTURE, picture))).collect();
        let mut writer =
            Self { out, config, info, metadata, checksum, block, pending: Vec::new(), blocks: 0 };
        writer.write_header()?;
        Ok(writer)
    }

    /// Appends interleaved samples with the stream's number of bits.
    pub(crate) fn write(&mut self, samples: impl Iterator<Item = i32>) -> io::Result<()> {
        for sample in samples {
            self.pending.push(sample);
            if self.pending.len() == 2 * BLOCK {
                self.write_block()?;
            }
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        if !self.pending.is_empty() {
            self.write_block()?;
        }
        self.info.set_md5_digest(&self.checksum.md5_digest());
        self.info.set_total_samples(self.checksum.total_samples());
        self.out.seek(SeekFrom::Start(0))?;
        self.write_header()?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write_header(&mut self) -> io::Result<()> {
        // The last block may be shorter. The stream still counts as one with blocks of fixed size.
        self.info.set_block_sizes(BLOCK, BLOCK).map_err(refused)?;
        let mut sink = ByteSink::new();
        let mut stream = Stream::with_stream_info(self.info.clone());
        for (kind, content) in &self.metadata {
            stream.add_metadata_block(MetadataBlockData::new_unknown(*kind, content).map_err(refused)?);
        }
        stream.write(&mut sink).map_err(refused)?;
        self.out.write_all(sink.as_slice())
    }

    fn write_block(&mut self) -> io::Result<()> {
        self.block.fill_interleaved(&self.pending).map_err(refused)?;
        self.checksum.fill_interleaved(&self.pending).map_err(refused)?;
        self.pending.clear();
        let frame = flacenc::encode_fixed_size_frame(&self.config, &self.block, self.blocks, &self.info)
            .map_err(refused)?;
        self.blocks += 1;
        self.info.update_frame_info(&frame);
        let mut sink = ByteSink::new();
        frame.write(&mut sink).map_err(refused)?;
        self.out.write_all(sink.as_slice())
    }
}

/// The content of a block of Vorbis comments. Its numbers are little-endian, unlike all others of the format.
fn comment_block(comments: &[(String, String)]) -> Vec<u8> {
    let counted = |text: &str| [&(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
    let mut block = counted(VENDOR);
    block.extend((comments.len() as u32).to_le_bytes());
    for (name, value) in comments {
        block.extend(counted(&format!("{name}={value}")));
    }
    block
}

/// Converts an error of `flacenc`. These errors are not `Send`. Valid input causes none.
fn refused(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}
