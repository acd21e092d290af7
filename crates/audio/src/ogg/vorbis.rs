//! Vorbis. Symphonia decodes the packets.
//!
//! The block sizes of packets are in the headers ("Vorbis I specification", sections 4.2.2 and 4.2.4). They give the
//! length of a packet without decoding it.

use symphonia::core::codecs::audio::well_known::CODEC_ID_VORBIS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};
use unbraid_base::Stereo;

use super::setup::modes;
use crate::codec::{Codec, Kind};
use crate::error::Problem;
use crate::info::check_layout;

pub(crate) const VORBIS: Kind = Kind {
    format: "ogg (vorbis)",
    magic: b"\x01vorbis",
    headers: 3,
    open: |headers| Ok(Box::new(Vorbis::new(headers)?)),
};

struct Vorbis {
    rate: u32,
    channels: usize,
    /// The sizes of short and long blocks in frames.
    blocks: [u64; 2],
    /// For every mode, whether its block is long.
    modes: Vec<bool>,
    decoder: Box<dyn AudioDecoder>,
    planes: Vec<Vec<f32>>,
}

impl Vorbis {
    fn new(headers: &[Vec<u8>]) -> Result<Self, Problem> {
        let [identification, _, setup] = headers else {
            return Err(Problem::header("its Vorbis headers are incomplete"));
        };
        let wrong = || Problem::header("its Vorbis headers are damaged");
        let bytes: &[u8; 30] = identification.as_slice().try_into().map_err(|_| wrong())?;
        // Symphonia takes other first bytes for headers in Matroska's lacing.
        if !bytes.starts_with(VORBIS.magic) {
            return Err(wrong());
        }
        let channels = usize::from(bytes[11]);
        let rate = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
        check_layout(channels, rate)?;
        // Symphonia 0.6.1 undoes the coupling of channels in the wrong order. One pair of channels has one order only.
        if channels > 2 {
            return Err(Problem::Unsupported(format!("Vorbis with {channels} channels")));
        }
        let exponents = [bytes[28] & 15, bytes[28] >> 4];
        if exponents.iter().any(|exponent| !(6..=13).contains(exponent)) || exponents[0] > exponents[1] {
            return Err(wrong());
        }
        let modes = modes(setup, channels)?;
        let mut parameters = AudioCodecParameters::new();
        let headers = [identification.as_slice(), setup].concat().into_boxed_slice();
        parameters.for_codec(CODEC_ID_VORBIS).with_extra_data(headers);
        // `gapless`: the decoder outputs nothing for the first packet.
        let options = AudioDecoderOptions::default().gapless(true);
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(&parameters, &options)
            .map_err(|error| failed(&error))?;
        let blocks = exponents.map(|exponent| 1 << exponent);
        Ok(Self { rate, channels, blocks, modes, decoder, planes: Vec::new() })
    }
}

fn failed(error: &Error) -> Problem {
    Problem::header(error.to_string())
}

impl Codec for Vorbis {
    fn rate(&self) -> u32 {
        self.rate
    }

    fn channels(&self) -> usize {
        self.channels
    }

    /// A packet depends on the previous packet only. Decoding always begins with one packet without output.
    fn preroll(&self) -> Option<u64> {
        Some(0)
    }

    fn block(&self, packet: &[u8]) -> Option<u64> {
        let first = *packet.first()?;
        // Bit 0 is set in header packets. The number of the mode follows.
        let bits = usize::BITS - (self.modes.len() - 1).leading_zeros();
        let mode = usize::from(first >> 1) & ((1 << bits) - 1);
        let long = *self.modes.get(mode).filter(|_| first & 1 == 0)?;
        Some(self.blocks[usize::from(long)])
    }

    fn frames(&self, previous: Option<u64>, block: u64) -> u64 {
        previous.map_or(0, |previous| (previous + block) / 4)
    }

    fn decode(&mut self, packet: &[u8], out: &mut Stereo) -> Result<(), Problem> {
        let packet = PacketRef::new(0, Timestamp::ZERO, Duration::ZERO, packet);
        let buffer = self.decoder.decode_ref(&packet).map_err(|error| failed(&error))?;
        buffer.copy_to_vecs_planar(&mut self.planes);
        if buffer.frames() > 0 {
            for (out, channel) in out.iter_mut().zip([0, self.channels - 1]) {
                out.extend_from_slice(&self.planes[channel]);
            }
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.decoder.reset();
    }
}
