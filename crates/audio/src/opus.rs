//! Opus (RFC 6716). `rusty-opus` decodes the packets.
//!
//! Opus is always decoded at 48 kHz, whatever the rate of the sound that was encoded. A packet of more than two channels
//! holds the packets of several streams of one or two channels each. `rusty-opus` 1.0.2 decodes such packets wrongly, so
//! they are taken apart here.

use rusty_opus::OpusDecoder;
use symphonia::core::audio::Position;
use unbraid_base::Stereo;

use crate::codec::{Codec, Kind};
use crate::downmix::{MAX_CHANNELS, Mixer};
use crate::error::Problem;

/// The codec inside of an Ogg (RFC 7845).
pub(crate) const OPUS: Kind = Kind {
    format: "ogg (opus)",
    magic: b"OpusHead",
    headers: 2,
    open: |headers| {
        let head = headers.first().map(Vec::as_slice).unwrap_or_default();
        Ok(Box::new(Opus::new(&Head::of_ogg(head)?)?))
    },
};

/// The output rate of the decoder in Hz.
const RATE: u32 = 48_000;

/// The longest packet: 120 ms.
const MAX_FRAMES: usize = 5760;

/// The largest number of streams in a packet, which is that of eight channels without coupling.
const MAX_STREAMS: usize = 8;

/// The entry of a channel without a stream: it is silent.
const SILENT: u8 = 255;

/// The order of the channels by their number, which is that of Vorbis (RFC 7845, section 5.1.1.2).
const ORDERS: [&[Position]; MAX_CHANNELS] = {
    use Position as P;
    const L: P = P::FRONT_LEFT;
    const R: P = P::FRONT_RIGHT;
    const C: P = P::FRONT_CENTER;
    const BL: P = P::REAR_LEFT;
    const BR: P = P::REAR_RIGHT;
    const SL: P = P::SIDE_LEFT;
    const SR: P = P::SIDE_RIGHT;
    [
        &[C],
        &[L, R],
        &[L, C, R],
        &[L, R, BL, BR],
        &[L, C, R, BL, BR],
        &[L, C, R, BL, BR, P::LFE1],
        &[L, C, R, SL, SR, P::REAR_CENTER, P::LFE1],
        &[L, C, R, SL, SR, BL, BR, P::LFE1],
    ]
};

/// The settings of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    channels: u8,
    /// Frames of the decoder's output before the song.
    pub(crate) skip: u16,
    /// Gain of the output in dB, with 8 fractional bits.
    gain: i16,
    /// How the streams of a packet become channels. 0: one stream of one or two channels. 1: those of [`ORDERS`].
    family: u8,
    /// Streams in a packet. The first `coupled` of them have two channels, the others one.
    streams: u8,
    coupled: u8,
    /// The decoded channel that each channel of the song takes.
    mapping: [u8; MAX_CHANNELS],
}

impl Head {
    /// Parses the first packet of an Ogg stream, which is also the codec's header in Matroska.
    pub(crate) fn of_ogg(packet: &[u8]) -> Result<Self, Problem> {
        match *packet {
            [b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', version, ref rest @ ..] if version < 16 => {
                Self::of_fields(rest, u16::from_le_bytes, i16::from_le_bytes)
            }
            _ => Err(damaged()),
        }
    }

    /// Parses the `dOps` box of an mp4, which is big-endian.
    pub(crate) fn of_mp4(content: &[u8]) -> Result<Self, Problem> {
        match *content {
            [0, ref rest @ ..] => Self::of_fields(rest, u16::from_be_bytes, i16::from_be_bytes),
            _ => Err(damaged()),
        }
    }

    /// Parses the fields after the version (RFC 7845, section 5.1).
    fn of_fields(
        fields: &[u8],
        unsigned: fn([u8; 2]) -> u16,
        signed: fn([u8; 2]) -> i16,
    ) -> Result<Self, Problem> {
        let &[channels, s0, s1, _, _, _, _, g0, g1, family, ref table @ ..] = fields else {
            return Err(damaged());
        };
        let mut head = Self {
            channels,
            skip: unsigned([s0, s1]),
            gain: signed([g0, g1]),
            family,
            streams: 1,
            coupled: u8::from(channels == 2),
            mapping: [0, 1, SILENT, SILENT, SILENT, SILENT, SILENT, SILENT],
        };
        match (family, usize::from(channels)) {
            (_, 0) => return Err(Problem::header("it has no channels")),
            (0, 1 | 2) => {}
            (1, count @ 1..=MAX_CHANNELS) => {
                let [streams, coupled, mapping @ ..] = table else { return Err(damaged()) };
                let mapping = mapping.get(..count).ok_or_else(damaged)?;
                (head.streams, head.coupled) = (*streams, *coupled);
                head.mapping[..count].copy_from_slice(mapping);
            }
            (0 | 1, _) => return Err(damaged()),
            (2 | 3, _) => return Err(Problem::Unsupported("Opus with ambisonics".into())),
            _ => return Err(Problem::Unsupported(format!("Opus with the channel mapping family {family}"))),
        }
        head.check()
    }

    fn check(self) -> Result<Self, Problem> {
        if usize::from(self.streams) > MAX_STREAMS {
            return Err(Problem::Unsupported(format!("Opus with {} streams in a packet", self.streams)));
        }
        let decoded = self.streams + self.coupled.min(self.streams);
        let channels = &self.mapping[..usize::from(self.channels)];
        let wrong = |&channel: &u8| channel >= decoded && channel != SILENT;
        if self.streams == 0 || self.coupled > self.streams || channels.iter().any(wrong) {
            return Err(damaged());
        }
        Ok(self)
    }
}

fn damaged() -> Problem {
    Problem::header("its Opus header is damaged")
}

/// Decoder of the packets of a stream.
pub(crate) struct Opus {
    head: Head,
    gain: f32,
    /// One per stream in a packet.
    decoders: Vec<OpusDecoder>,
    mixer: Mixer,
    /// Interleaved samples of one stream.
    samples: Vec<f32>,
    /// The samples of each channel.
    planes: Vec<Vec<f32>>,
}

impl Opus {
    pub(crate) fn new(head: &Head) -> Result<Self, Problem> {
        let channels = usize::from(head.channels);
        Ok(Self {
            head: *head,
            gain: 10_f32.powf(f32::from(head.gain) / (20.0 * 256.0)),
            decoders: decoders(head)?,
            mixer: Mixer::new(ORDERS[channels - 1])?,
            samples: vec![0.0; MAX_FRAMES * 2],
            planes: vec![Vec::new(); channels],
        })
    }

    /// Decodes the packet of stream `index` into the channels that take it. Returns the number of frames.
    fn decode_stream(&mut self, index: usize, packet: &[u8]) -> Result<usize, Problem> {
        let (coupled, decoder) = (usize::from(self.head.coupled), &mut self.decoders[index]);
        let (first, width) = if index < coupled { (2 * index, 2) } else { (coupled + index, 1) };
        let frames = decoder
            .decode(packet, MAX_FRAMES, &mut self.samples)
            .map_err(|error| Problem::header(format!("a packet is damaged: {error}")))?
            .min(MAX_FRAMES);
        for (plane, &decoded) in self.planes.iter_mut().zip(&self.head.mapping) {
            if let Some(side) = usize::from(decoded).checked_sub(first).filter(|side| *side < width) {
                let samples = self.samples[..frames * width].iter().skip(side).step_by(width);
                plane.clear();
                plane.extend(samples.map(|sample| sample * self.gain));
            }
        }
        Ok(frames)
    }
}

/// Splits a packet of several streams: the packet of the first one, as if it stood alone, and the rest.
///
/// A packet that others follow states the size of its last frame in addition (RFC 6716, appendix B). All frames of one
/// size have a single size. `None` if the packet is damaged.
fn split(packet: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let rest = &mut &*packet;
    let code = byte(rest)? & 3;
    // The number of frames with the stated size, and the bytes of other frames and of padding.
    let (count, others) = match code {
        0 => (1, 0),
        1 => (2, 0),
        2 => (1, size(rest)?),
        _ => {
            let flags = byte(rest)?;
            let (frames, mut others) = (flags & 63, 0);
            let mut padded = flags & 64 != 0;
            while padded {
                let bytes = byte(rest)?;
                others += bytes.min(254);
                padded = bytes == 255;
            }
            if flags & 128 == 0 {
                (frames, others)
            } else {
                for _ in 1..frames {
                    others += size(rest)?;
                }
                (1, others)
            }
        }
    };
    let head = &packet[..packet.len() - rest.len()];
    let stated = size(rest)?;
    let (body, rest) = rest.split_at_checked(count * stated + others)?;
    Some(([head, body].concat(), rest))
}

fn byte(rest: &mut &[u8]) -> Option<usize> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(usize::from(*first))
}

/// The size of a frame in one or two bytes (RFC 6716, section 3.2.1).
fn size(rest: &mut &[u8]) -> Option<usize> {
    match byte(rest)? {
        first @ 0..252 => Some(first),
        first => Some(first + 4 * byte(rest)?),
    }
}

impl Codec for Opus {
    fn rate(&self) -> u32 {
        RATE
    }

    fn channels(&self) -> usize {
        self.planes.len()
    }

    fn delay(&self) -> u64 {
        u64::from(self.head.skip)
    }

    /// The decoder's filters never forget the past entirely.
    fn preroll(&self) -> Option<u64> {
        None
    }

    /// The first byte holds the length of a frame, and the number of frames if it is not in the second byte.
    fn block(&self, packet: &[u8]) -> Option<u64> {
        let first = *packet.first()?;
        let config = usize::from(first >> 3);
        let frame = match config {
            0..12 => [480, 960, 1920, 2880][config & 3],
            12..16 => [480, 960][config & 1],
            _ => [120, 240, 480, 960][config & 3],
        };
        let count = match first & 3 {
            0 => 1,
            1 | 2 => 2,
            _ => u64::from(packet.get(1)? & 63),
        };
        Some((frame * count).min(MAX_FRAMES as u64))
    }

    fn frames(&self, _previous: Option<u64>, block: u64) -> u64 {
        block
    }

    fn decode(&mut self, packet: &[u8], out: &mut Stereo) -> Result<(), Problem> {
        let mut rest = packet;
        let mut frames = None;
        for index in 0..self.decoders.len() {
            let own = if index + 1 < self.decoders.len() {
                let (own, after) =
                    split(rest).ok_or_else(|| Problem::header("a packet is damaged: its streams are cut"))?;
                rest = after;
                self.decode_stream(index, &own)?
            } else {
                self.decode_stream(index, rest)?
            };
            if *frames.get_or_insert(own) != own {
                return Err(Problem::header("a packet is damaged: its streams differ in length"));
            }
        }
        let frames = frames.unwrap_or(0);
        for (plane, _) in self.planes.iter_mut().zip(self.head.mapping).filter(|(_, from)| *from == SILENT) {
            plane.clear();
            plane.resize(frames, 0.0);
        }
        self.mixer.append_planes(&self.planes, 0..frames, out);
        Ok(())
    }

    fn reset(&mut self) {
        if let Ok(decoders) = decoders(&self.head) {
            self.decoders = decoders;
        }
    }
}

fn decoders(head: &Head) -> Result<Vec<OpusDecoder>, Problem> {
    let decoder = |index| OpusDecoder::new(RATE as i32, if index < head.coupled { 2 } else { 1 });
    let decoders = (0..head.streams).map(decoder).collect::<Result<_, _>>();
    decoders.map_err(|error| Problem::header(error.to_string()))
}

#[cfg(test)]
mod tests;
