//! Wav: finds the samples and their encoding.
//!
//! Format: Microsoft's "Multimedia Programming Interface and Data Specifications 1.0" (RIFF WAVE), the
//! `WAVEFORMATEXTENSIBLE` structure, and RF64 and BW64 (EBU Tech 3306, ITU-R BS.2088) for files beyond 4 GiB.

use symphonia::core::io::MediaSource;

use crate::adpcm::AdpcmWav;
use crate::decoder::Decoder;
use crate::downmix::Mixer;
use crate::error::Problem;
use crate::extent::{Stated, is_name};
use crate::notice::ReadOptions;
use crate::pcm::{Layout, PcmDecoder, Sample};
use crate::source::{le_u16, le_u32, le_u64, read_up_to};
use crate::symphonia_decoder::SymphoniaDecoder;

/// Maximum number of chunks before the audio. A real file has a few.
pub(crate) const MAX_CHUNKS: usize = 10_000;

/// Bytes of the name and the size before a chunk's content.
const CHUNK_HEADER: u64 = 8;

/// The format chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// Microsoft's number of the codec.
    tag: u16,
    channels: usize,
    sample_rate: u32,
    /// Bytes per second.
    byte_rate: u32,
    frame_bytes: usize,
    bits: usize,
    /// The positions of the channels.
    mask: u32,
}

/// Opens the wav that begins at byte `start`.
pub(crate) fn open(
    mut source: Box<dyn MediaSource>,
    start: u64,
    length: u64,
    options: ReadOptions,
) -> Result<Box<dyn Decoder>, Problem> {
    let (format, body, stated) = find_audio(&mut *source, start)?;
    let mut extent = stated.extent(&mut *source, body, length)?;
    if matches!(format.tag, 0x0002 | 0x0011) {
        let byte_rate = f64::from(format.byte_rate.max(1));
        // Samples come in blocks. A part of a block is left out.
        extent.bytes -= extent.bytes % format.frame_bytes.max(1) as u64;
        let adpcm = AdpcmWav::new(extent, byte_rate, (start, body));
        let source = adpcm.patch(source);
        return Ok(Box::new(SymphoniaDecoder::open(&adpcm, source, start, options)?));
    }
    let layout = format.layout("wav", "a wav file")?;
    Ok(Box::new(PcmDecoder::new(source, layout, body, &extent, options)?))
}

/// The format, the position of the first sample, and the stated sizes.
fn find_audio(source: &mut dyn MediaSource, start: u64) -> Result<(Format, u64, Stated), Problem> {
    let mut head = [0; 9];
    read_up_to(source, start, &mut head[..8])?;
    let mut file_end = start + CHUNK_HEADER + u64::from(le_u32(&head[4..]));
    let mut format = None;
    let mut long_audio = None;
    let mut position = start + 12;
    for _ in 0..MAX_CHUNKS {
        if read_up_to(source, position, &mut head[..8])? < 8 {
            return Err(Problem::Truncated("its header announces audio that is missing".into()));
        }
        let size = u64::from(le_u32(&head[4..]));
        let body = position + CHUNK_HEADER;
        match &head[..4] {
            b"fmt " => {
                let mut bytes = [0; 40];
                let wanted = size.min(40) as usize;
                if read_up_to(source, body, &mut bytes[..wanted])? < wanted {
                    return Err(Problem::Truncated("it ends inside its header".into()));
                }
                format = Some(Format::parse(&bytes[..wanted])?);
            }
            b"ds64" => {
                let mut bytes = [0; 16];
                if read_up_to(source, body, &mut bytes)? == 16 {
                    file_end = start.saturating_add(le_u64(&bytes)).saturating_add(CHUNK_HEADER);
                    long_audio = Some(le_u64(&bytes[8..]));
                }
            }
            b"data" => {
                let format = format.ok_or_else(|| Problem::header("no format chunk precedes its audio"))?;
                let long_audio = long_audio.filter(|_| size == 0 || size == 0xffff_ffff);
                let audio = match long_audio {
                    None => Some(size),
                    // A file system holds no file of 2^63 bytes.
                    Some(long) => Some(long).filter(|&long| long > 0 && long < 1 << 63),
                };
                let stated = Stated { audio, file_end, narrow: long_audio.is_none(), is_chunk };
                return Ok((format, body, stated));
            }
            _ => {}
        }
        position = body + size;
        if size % 2 == 1 {
            // Chunks are padded to an even size. Some programs forget that.
            const NAMES: [&[u8]; 4] = [b"data", b"fmt ", b"LIST", b"fact"];
            let got = read_up_to(source, position, &mut head)?;
            let unpadded = got > 4 && NAMES.contains(&&head[..4]) && !NAMES.contains(&&head[1..5]);
            position += u64::from(!unpadded);
        }
    }
    Err(Problem::header("it has too many chunks before its audio"))
}

/// Whether a chunk begins with `head`. `rest` bytes are left in the file.
fn is_chunk(head: &[u8], rest: u64) -> bool {
    is_name(&head[..4]) && u64::from(le_u32(&head[4..])) + CHUNK_HEADER <= rest
}

impl Format {
    /// Reads the content of a format chunk, which has 14 to 40 bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        const EXTENSIBLE: u16 = 0xfffe;
        if bytes.len() < 14 {
            return Err(Problem::header("its format chunk is too short"));
        }
        let channels = usize::from(le_u16(&bytes[2..]));
        let frame_bytes = usize::from(le_u16(&bytes[12..]));
        let extended = le_u16(bytes) == EXTENSIBLE && bytes.len() >= 26;
        Ok(Self {
            // In the extensible form the actual tag is the beginning of a 16-byte identifier.
            tag: le_u16(if extended { &bytes[24..] } else { bytes }),
            channels,
            sample_rate: le_u32(&bytes[4..]),
            byte_rate: le_u32(&bytes[8..]),
            frame_bytes,
            // The oldest form has no bits. Its samples are as wide as they can be.
            bits: match bytes.get(14..16) {
                Some(bits) => usize::from(le_u16(bits)),
                None => 8 * frame_bytes / channels.max(1),
            },
            mask: if extended { le_u32(&bytes[20..]) } else { 0 },
        })
    }

    /// The layout of uncompressed samples. `container` is the format's name, and `file` is its name in a message.
    pub(crate) fn layout(&self, container: &'static str, file: &str) -> Result<Layout, Problem> {
        let &Self { tag, channels, sample_rate, frame_bytes, bits, .. } = self;
        if channels == 0 {
            return Err(Problem::header("it has no channels"));
        }
        if !matches!(tag, 1 | 3 | 6 | 7) {
            let codec = codec_name(tag).unwrap_or("an unknown codec");
            return Err(Problem::Unsupported(format!("{file} with {codec} inside (tag 0x{tag:04x})")));
        }
        let mixer = Mixer::of_mask(channels, self.mask)?;
        let sample_bytes = frame_bytes / channels;
        if frame_bytes % channels != 0 || bits.div_ceil(8) > sample_bytes || bits == 0 {
            return Err(Problem::header(format!(
                "{bits}-bit samples do not fit frames of {frame_bytes} bytes"
            )));
        }
        // If fewer bits are valid than a sample has, they are its upper bits. Therefore only the width matters.
        let sample = match (tag, sample_bytes) {
            (1, 1) => Some(Sample::U8),
            (1, bytes) => Sample::integer(bytes),
            (3, bytes) => Sample::float(bytes),
            (6, 1) => Some(Sample::ALaw),
            (7, 1) => Some(Sample::MuLaw),
            _ => None,
        };
        let sample = sample.ok_or_else(|| Problem::Unsupported(format!("{file} with {bits}-bit samples")))?;
        Ok(Layout { format: container, sample, big_endian: false, sample_rate, mixer })
    }
}

/// The name of a codec by Microsoft's number (RFC 2361).
fn codec_name(tag: u16) -> Option<&'static str> {
    Some(match tag {
        0x0002 | 0x0011 => "ADPCM",
        0x0031 => "GSM 6.10",
        0x0040 | 0x0045 | 0x0064 => "G.72x ADPCM",
        0x0050 => "MPEG layer 2",
        0x0055 => "mp3",
        0x0092 | 0x2000 => "AC-3",
        0x00ff | 0x1600 | 0x1610 => "AAC",
        0x0160..=0x0163 => "Windows Media audio",
        0x0270 => "ATRAC3",
        0x2001 => "DTS",
        0x566f | 0x674f..=0x6771 => "Vorbis",
        0xf1ac => "flac",
        _ => return None,
    })
}
