//! Opus (RFC 6716). `rusty-opus` decodes the packets.
//!
//! Opus is always decoded at 48 kHz, whatever the rate of the sound that was encoded.

use rusty_opus::OpusDecoder;
use unbraid_base::Stereo;

use crate::codec::{Codec, Kind};
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

/// The settings of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    channels: u8,
    /// Frames of the decoder's output before the song.
    pub(crate) skip: u16,
    /// Gain of the output in dB, with 8 fractional bits.
    gain: i16,
    /// How the streams of a packet become channels. 0: one stream of one or two channels.
    family: u8,
}

impl Head {
    /// Parses the first packet of an Ogg stream, which is also the codec's header in Matroska.
    pub(crate) fn of_ogg(packet: &[u8]) -> Result<Self, Problem> {
        match *packet {
            [
                b'O',
                b'p',
                b'u',
                b's',
                b'H',
                b'e',
                b'a',
                b'd',
                version,
                channels,
                s0,
                s1,
                _,
                _,
                _,
                _,
                g0,
                g1,
                family,
                ..,
            ] if version < 16 => Ok(Self {
                channels,
                skip: u16::from_le_bytes([s0, s1]),
                gain: i16::from_le_bytes([g0, g1]),
                family,
            }),
            _ => Err(Problem::header("its Opus header is damaged")),
        }
    }

    /// Parses the `dOps` box of an mp4, which is big-endian.
    pub(crate) fn of_mp4(content: &[u8]) -> Result<Self, Problem> {
        match *content {
            [0, channels, s0, s1, _, _, _, _, g0, g1, family, ..] => Ok(Self {
                channels,
                skip: u16::from_be_bytes([s0, s1]),
                gain: i16::from_be_bytes([g0, g1]),
                family,
            }),
            _ => Err(Problem::header("its Opus header is damaged")),
        }
    }
}

/// Decoder of the packets of a stream.
pub(crate) struct Opus {
    channels: usize,
    skip: u64,
    gain: f32,
    decoder: OpusDecoder,
    /// Interleaved samples of one packet.
    samples: Vec<f32>,
}

impl Opus {
    pub(crate) fn new(head: &Head) -> Result<Self, Problem> {
        let channels = usize::from(head.channels);
        match (head.family, channels) {
            (_, 0) => return Err(Problem::header("it has no channels")),
            (0 | 1, 1 | 2) => {}
            (_, 3..) => return Err(Problem::Unsupported(format!("Opus with {channels} channels"))),
            _ => return Err(Problem::Unsupported("Opus with a channel mapping of its own".into())),
        }
        Ok(Self {
            channels,
            skip: u64::from(head.skip),
            gain: 10_f32.powf(f32::from(head.gain) / (20.0 * 256.0)),
            decoder: decoder(channels)?,
            samples: vec![0.0; MAX_FRAMES * channels],
        })
    }
}

impl Codec for Opus {
    fn rate(&self) -> u32 {
        RATE
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn delay(&self) -> u64 {
        self.skip
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
        let frames = self
            .decoder
            .decode(packet, MAX_FRAMES, &mut self.samples)
            .map_err(|error| Problem::header(format!("a packet is damaged: {error}")))?;
        let samples = self.samples.chunks_exact(self.channels).take(frames);
        for frame in samples {
            for (out, sample) in out.iter_mut().zip([frame[0], frame[self.channels - 1]]) {
                out.push(sample * self.gain);
            }
        }
        Ok(())
    }

    fn reset(&mut self) {
        if let Ok(decoder) = decoder(self.channels) {
            self.decoder = decoder;
        }
    }
}

fn decoder(channels: usize) -> Result<OpusDecoder, Problem> {
    OpusDecoder::new(RATE as i32, channels).map_err(|error| Problem::header(error.to_string()))
}
