//! Apple's Core Audio Format. Uncompressed samples are read here. Symphonia demuxes ALAC and AAC.

use symphonia::core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_ALAC};
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};
use symphonia::core::errors::Result as SymphoniaResult;
use symphonia::core::formats::{FormatReader, Track};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::default::formats::CafReader;

use crate::core_audio::{channel_layout, codec_name};
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

/// Bytes of the edit's number, which precedes the audio.
const NUMBER: u64 = 4;

/// Maximum size in bytes of a packet, and of the table of packets.
const MAX_PACKET: u64 = 1 << 20;
const MAX_TABLE: u64 = 1 << 26;

/// The description chunk.
struct Description {
    sample_rate: u32,
    codec: [u8; 4],
    flags: u32,
    packet_bytes: usize,
    packet_frames: u32,
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
        let packets = Packets::read(&mut *source, table)?;
        let available = audio.size.min(length - audio.body);
        if NUMBER + packets.bytes > available {
            let Packets { bytes, .. } = packets;
            return Err(Problem::Truncated(format!(
                "its packets have {bytes} bytes, but it holds {available}"
            )));
        }
        let is_aac = &description.codec == b"aac ";
        let frames = if is_aac { None } else { packets.alac_frames(&mut *source, audio, &description)? };
        let caf = Caf { is_aac, frames };
        return Ok(Box::new(SymphoniaDecoder::open(&caf, source, start, options)?));
    }
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
        let [flags, packet_bytes, packet_frames, channels, bits] =
            [12, 16, 20, 24, 28].map(|at| be_u32(&bytes[at..]));
        if channels == 0 {
            return Err(Problem::header("it has no channels"));
        }
        Ok(Self {
            // The conversion saturates, and the range is checked later.
            sample_rate: f64::from_bits(be_u64(&bytes)).round() as u32,
            codec: [bytes[8], bytes[9], bytes[10], bytes[11]],
            flags,
            packet_bytes: packet_bytes as usize,
            packet_frames,
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
                let name = codec_name(codec);
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

/// What a table of packets states.
#[derive(Default)]
struct Packets {
    count: u64,
    bytes: u64,
    /// Bytes of the last packet.
    last: u64,
}

impl Packets {
    /// Adds up the table, and checks that its packets have usual sizes.
    fn read(source: &mut dyn MediaSource, table: Chunk) -> Result<Self, Problem> {
        const HEADER: u64 = 24;
        if !(HEADER..MAX_TABLE).contains(&table.size) {
            return Err(Problem::header("its table of packets has an impossible size"));
        }
        let mut bytes = vec![0; (table.size - HEADER) as usize];
        let got = read_up_to(source, table.body + HEADER, &mut bytes)?;
        let mut packets = Self::default();
        let mut number = 0_u64;
        // Numbers have seven bits in each byte. The upper bit marks that another byte follows.
        for byte in &bytes[..got] {
            number = number << 7 | u64::from(byte & 0x7f);
            if number > MAX_PACKET {
                return Err(Problem::header("its table of packets has an impossible packet"));
            }
            if byte & 0x80 == 0 {
                packets = Self { count: packets.count + 1, bytes: packets.bytes + number, last: number };
                number = 0;
            }
        }
        Ok(packets)
    }

    /// The frames of ALAC packets. All but the last are full. The last one states its frames, while some programs write
    /// those of a full packet into the table.
    fn alac_frames(
        &self,
        source: &mut dyn MediaSource,
        audio: Chunk,
        description: &Description,
    ) -> Result<Option<u64>, Problem> {
        // A number of 3 bits, 16 others, a bit that announces the number of frames, 3 others, the number of frames.
        const ANNOUNCED: u64 = 1 << 44;
        let mut head = [0; 8];
        let position = audio.body + NUMBER + self.bytes - self.last;
        if self.last < 8 || read_up_to(source, position, &mut head)? < head.len() {
            return Ok(None);
        }
        let (word, full) = (be_u64(&head), u64::from(description.packet_frames));
        let last = if word & ANNOUNCED != 0 { word >> 9 & 0xffff_ffff } else { full };
        Ok(Some((self.count - 1) * full + last.min(full)))
    }
}

/// A caf that symphonia demuxes.
struct Caf {
    is_aac: bool,
    /// The frames that its packets hold, if they tell.
    frames: Option<u64>,
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
        let stated = track.num_frames.map(|frames| delay.saturating_add(to_i64(frames)));
        let end = match self.frames.map(to_i64) {
            Some(held) => Some(stated.map_or(held, |stated| stated.min(held))),
            None => stated,
        };
        let preroll = if self.is_aac { 3 * 1024 } else { 0 };
        let seek = end.map(|limit| SeekInfo { offset: delay, preroll, limit });
        (Trim { origin: 0, start: delay, end }, seek)
    }
}
