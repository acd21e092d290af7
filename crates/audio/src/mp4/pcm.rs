//! Uncompressed samples in a mov ("QuickTime File Format Specification", "Sound sample descriptions").

use std::io::Cursor;

use unbraid_base::Stereo;

use super::boxes::Fields;
use crate::codec::Codec;
use crate::core_audio::channel_layout;
use crate::downmix::Mixer;
use crate::error::Problem;
use crate::pcm::{Layout, Sample};

/// The fields of a description that tell the type of its samples.
pub(super) struct Sound<'a> {
    pub(super) name: [u8; 4],
    pub(super) channels: usize,
    pub(super) bits: u16,
    /// Samples per second of one channel.
    pub(super) rate: u32,
    /// The additional fields of version 2.
    pub(super) version_2: Option<&'a [u8]>,
    /// The content of the box `enda`, which tells the order of the bytes.
    pub(super) endian: Option<&'a [u8]>,
    /// The content of the box `chan`.
    pub(super) positions: Option<&'a [u8]>,
}

impl Sound<'_> {
    /// The type of the samples. `None` if they are compressed.
    pub(super) fn layout(&self) -> Result<Option<Layout>, Problem> {
        let big_endian = self.endian != Some([0, 1].as_slice());
        let (sample, big_endian) = match &self.name {
            b"alaw" => (Some(Sample::ALaw), true),
            b"ulaw" => (Some(Sample::MuLaw), true),
            b"sowt" | b"twos" | b"in24" | b"in32" | b"fl32" | b"fl64" | b"lpcm" | b"raw " | b"NONE"
                if self.version_2.is_some() =>
            {
                return self.layout_of_version_2().map(Some);
            }
            b"sowt" => (Sample::integer(whole_bytes(self.bits.into())), false),
            b"twos" => (Sample::integer(whole_bytes(self.bits.into())), true),
            b"in24" => (Some(Sample::I24), big_endian),
            b"in32" => (Some(Sample::I32), big_endian),
            b"fl32" => (Some(Sample::F32), big_endian),
            b"fl64" => (Some(Sample::F64), big_endian),
            b"raw " | b"NONE" => (Some(Sample::U8).filter(|_| self.bits == 8), true),
            b"lpcm" => (None, true),
            _ => return Ok(None),
        };
        self.layout_of(sample, big_endian).map(Some)
    }

    fn layout_of_version_2(&self) -> Result<Layout, Problem> {
        const IS_FLOAT: u32 = 1;
        const IS_BIG_ENDIAN: u32 = 2;
        const IS_SIGNED: u32 = 4;
        const IS_PLANAR: u32 = 32;
        let mut fields = Fields::new(self.version_2.unwrap_or_default(), "stsd");
        fields.take(20)?;
        let [bits, flags, frame_bytes, frames] = [fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?];
        let bytes = whole_bytes(bits);
        let sample = match flags {
            _ if flags & IS_FLOAT != 0 => Sample::float(bytes),
            _ if flags & IS_SIGNED != 0 => Sample::integer(bytes),
            _ => Some(Sample::U8).filter(|_| bits == 8),
        };
        // Without gaps between the samples, and with one frame in each packet.
        let is_plain = frames == 1
            && flags & IS_PLANAR == 0
            && u64::from(bits) * self.channels as u64 == 8 * u64::from(frame_bytes);
        self.layout_of(sample.filter(|_| is_plain), flags & IS_BIG_ENDIAN != 0)
    }

    fn layout_of(&self, sample: Option<Sample>, big_endian: bool) -> Result<Layout, Problem> {
        let sample = sample.ok_or_else(|| {
            let name = String::from_utf8_lossy(&self.name);
            Problem::Unsupported(format!("this type of '{}' samples in mov", name.trim_end()))
        })?;
        let stated = match self.positions.and_then(|content| content.get(4..)) {
            Some(content) => channel_layout(&mut Cursor::new(content.to_vec()), 0, content.len() as u64)?,
            None => None,
        };
        let mixer = match stated.filter(|mixer| mixer.channels() == self.channels) {
            Some(mixer) => mixer,
            None => Mixer::of_count(self.channels)?,
        };
        Ok(Layout { format: "mov (pcm)", sample, big_endian, sample_rate: self.rate, mixer })
    }
}

/// The bytes of `bits` bits, or 0 if they are no whole bytes.
fn whole_bytes(bits: u32) -> usize {
    if bits.is_multiple_of(8) { bits as usize / 8 } else { 0 }
}

/// Decoder of packets of whole frames.
pub(super) struct Pcm(pub(super) Layout);

impl Codec for Pcm {
    fn rate(&self) -> u32 {
        self.0.sample_rate
    }

    fn channels(&self) -> usize {
        self.0.mixer.channels()
    }

    fn preroll(&self) -> Option<u64> {
        Some(0)
    }

    /// Only the whole packet tells.
    fn block(&self, _packet: &[u8]) -> Option<u64> {
        None
    }

    fn frames(&self, _previous: Option<u64>, block: u64) -> u64 {
        block
    }

    fn decode(&mut self, packet: &[u8], out: &mut Stereo) -> Result<(), Problem> {
        if !packet.len().is_multiple_of(self.0.frame_bytes()) {
            return Err(Problem::header("a packet ends inside a frame"));
        }
        self.0.append(packet, out);
        Ok(())
    }

    fn reset(&mut self) {}
}
