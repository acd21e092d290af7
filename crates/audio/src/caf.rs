//! Apple's Core Audio Format. Uncompressed samples are read here. Symphonia demuxes ALAC and AAC.

use symphonia::core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_ALAC};
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};
use symphonia::core::errors::Result as SymphoniaResult;
use symphonia::core::formats::{FormatReader, Track};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::default::formats::CafReader;

use crate::core_audio::{COMPRESSED, channel_layout};
use crate::decoder::Decoder;
use crate::downmix::Mixer;
use crate::error::Problem;
use crate::extent::{Stated, is_name};
use crate::notice::ReadOptions;
use crate::pcm::{Layout, PcmDecoder, Sample};
use crate::source::{be_u32, be_u64, read_up_to};
use crate::symphonia_decoder::{SymphoniaDecoder, SymphoniaFormat};
use crate::trim::{SeekInfo, Trim, to_i64};
use crate::wav::MAX_CHUNKS;

/// Bytes of the name and the size before a chunk's content.
const CHUNK_HEADER: u64 = 12;

/// Maximum size in bytes of a packet, and of the table of packets.
const MAX_PACKET: u64 = 1 << 20;
const MAX_TABLE: u64 = 1 << 26;

/// The description chunk.
struct Description {
    sample_rate: u32,
    codec: [u8; 4],
    flags: u32,
    packet_bytes: usize,
    channels: usize,
    bits: u32,
}

/// The position and the size of a chunk's content.
#[derive(Clone, Copy)]
struct Chunk {
    body: u64,
    size: u64,
}

/// Opens the file that begins at byte `start`.
pub(crate) fn open(
    mut source: Box<dyn MediaSource>,
    start: u64,
    length: u64,
    options: ReadOptions,
) -> Result<Box<dyn Decoder>, Problem> {
    const UNKNOWN: u64 = u64::MAX;
    let mut description = None;
    let mut mixer = None;
    let mut audio: Option<Chunk> = None;
    let mut table = None;
    let mut position = start + 8;
    let mut head = [0; CHUNK_HEADER as usize];
    for _ in 0..MAX_CHUNKS {
        if read_up_to(&mut *source, position, &mut head)? < head.len() || !is_name(&head[..4]) {
            break;
        }
        let chunk = Chunk { body: position + CHUNK_HEADER, size: be_u64(&head[4..]) };
        let fits = chunk.body.checked_add(chunk.size).is_some_and(|end| end <= length);
        match &head[..4] {
            b"data" => audio = Some(chunk),
            _ if !fits => return Err(Problem::Truncated("it ends inside its header".into())),
            b"desc" => description = Some(Description::read(&mut *source, chunk)?),
            b"chan" => mixer = channel_layout(&mut *source, chunk.body, chunk.size)?,
            b"pakt" => table = Some(chunk),
            b"kuki" if chunk.size > MAX_PACKET => {
                return Err(Problem::header("its codec's data is too long"));
            }
            _ => {}
        }
        if !fits {
            break;
        }
        position = chunk.body + chunk.size;
    }
    let missing = || Problem::Truncated("its header announces audio that is missing".into());
    let (description, audio) = (description.ok_or_else(missing)?, audio.ok_or_else(missing)?);
    if matches!(&description.codec, b"alac" | b"aac ") {
        let table = table.ok_or_else(|| Problem::Truncated("its table of packets is missing".into()))?;
        check_table(&mut *source, table, audio.size.min(length - audio.body))?;
        let caf = Caf { is_aac: &description.codec == b"aac " };
        return Ok(Box::new(SymphoniaDecoder::open(&caf, source, start, options)?));
    }
    // The samples follow the number of the edit.
    const NUMBER: u64 = 4;
    let stated = Some(audio.size).filter(|&size| size != UNKNOWN && size < 1 << 63);
    let stated = Stated {
        audio: stated.map(|size| size.saturating_sub(NUMBER)),
        file_end: u64::MAX,
        narrow: false,
        is_chunk: |head, rest| is_name(&head[..4]) && be_u64(&head[4..]) <= rest,
    };
    let extent = stated.extent(&mut *source, audio.body + NUMBER, length)?;
    let layout = description.layout(mixer)?;
    Ok(Box::new(PcmDecoder::new(source, layout, audio.body + NUMBER, &extent, options)?))
}

impl Description {
    fn read(source: &mut dyn MediaSource, chunk: Chunk) -> Result<Self, Problem> {
        let mut bytes = [0; 32];
        if chunk.size < 32 || read_up_to(source, chunk.body, &mut bytes)? < bytes.len() {
            return Err(Problem::header("its description chunk is too short"));
        }
        let [flags, packet_bytes, channels, bits] = [12, 16, 24, 28].map(|at| be_u32(&bytes[at..]));
        if channels == 0 {
            return Err(Problem::header("it has no channels"));
        }
        Ok(Self {
            // The conversion saturates, and the range is checked later.
            sample_rate: f64::from_bits(be_u64(&bytes)).round() as u32,
            codec: [bytes[8], bytes[9], bytes[10], bytes[11]],
            flags,
            packet_bytes: packet_bytes as usize,
            channels: channels as usize,
            bits,
        })
    }

    fn layout(&self, mixer: Option<Mixer>) -> Result<Layout, Problem> {
        const IS_FLOAT: u32 = 1;
        const IS_LITTLE_ENDIAN: u32 = 2;
        let Self { channels, bits, .. } = *self;
        let mixer = match mixer.filter(|mixer| mixer.channels() == channels) {
            Some(mixer) => mixer,
            None => Mixer::of_count(channels)?,
        };
        let bytes = self.packet_bytes / channels;
        let whole = bytes * channels == self.packet_bytes;
        let sample = match &self.codec {
            b"lpcm" if self.flags & IS_FLOAT != 0 => Sample::float(bytes),
            b"lpcm" => Sample::integer(bytes),
            b"alaw" => Some(Sample::ALaw).filter(|_| bytes == 1),
            b"ulaw" => Some(Sample::MuLaw).filter(|_| bytes == 1),
            codec => {
                let name = COMPRESSED.iter().find(|(code, _)| *code == codec);
                let name =
                    name.map_or_else(|| String::from_utf8_lossy(codec).into_owned(), |(_, n)| (*n).into());
                return Err(Problem::Unsupported(format!("a caf file with {name} inside")));
            }
        };
        let sample = sample
            .filter(|_| whole)
            .ok_or_else(|| Problem::Unsupported(format!("a caf file with {bits}-bit samples")))?;
        let big_endian = self.flags & IS_LITTLE_ENDIAN == 0;
        Ok(Layout { format: "caf", sample, big_endian, sample_rate: self.sample_rate, mixer })
    }
}

/// Checks that the packets of a table have a usual size and are there. `available`: bytes of the audio.
fn check_table(source: &mut dyn MediaSource, table: Chunk, available: u64) -> Result<(), Problem> {
    const HEADER: u64 = 24;
    if !(HEADER..MAX_TABLE).contains(&table.size) {
        return Err(Problem::header("its table of packets has an impossible size"));
    }
    let mut bytes = vec![0; (table.size - HEADER) as usize];
    let got = read_up_to(source, table.body + HEADER, &mut bytes)?;
    let mut total = 0;
    let mut number = 0_u64;
    // Numbers have seven bits in each byte. The upper bit marks that another byte follows.
    for byte in &bytes[..got] {
        number = number << 7 | u64::from(byte & 0x7f);
        if number > MAX_PACKET {
            return Err(Problem::header("its table of packets has an impossible packet"));
        }
        if byte & 0x80 == 0 {
            total += number;
            number = 0;
        }
    }
    // The number of the edit precedes the packets.
    if total + 4 > available {
        return Err(Problem::Truncated(format!("its packets have {total} bytes, but it holds {available}")));
    }
    Ok(())
}

/// A caf that symphonia demuxes.
struct Caf {
    is_aac: bool,
}

impl SymphoniaFormat for Caf {
    fn container(&self) -> &'static str {
        "caf"
    }

    fn demuxer(&self, stream: MediaSourceStream<'static>) -> SymphoniaResult<Box<dyn FormatReader>> {
        Ok(Box::new(CafReader::try_new(stream, Default::default())?))
    }

    fn name(&self, codec: AudioCodecId) -> Option<&'static str> {
        match codec {
            CODEC_ID_AAC => Some("caf (aac)"),
            CODEC_ID_ALAC => Some("caf (alac)"),
            _ => None,
        }
    }

    fn trim(&self, track: &Track, _: &AudioCodecParameters, _: u32) -> (Trim, Option<SeekInfo>) {
        let delay = i64::from(track.delay.unwrap_or(0));
        let end = track.num_frames.map(|frames| delay.saturating_add(to_i64(frames)));
        let preroll = if self.is_aac { 3 * 1024 } else { 0 };
        let seek = end.map(|limit| SeekInfo { offset: delay, preroll, limit });
        (Trim { origin: 0, start: delay, end }, seek)
    }
}
