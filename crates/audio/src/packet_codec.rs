//! Codecs whose packets all have the same length, or one that the container states. Symphonia decodes them.

use symphonia::core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_ALAC, CODEC_ID_FLAC, CODEC_ID_MP3};
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};
use unbraid_base::Stereo;

use crate::aac;
use crate::codec::Codec;
use crate::downmix::Mixer;
use crate::error::Problem;

/// A codec of [`PacketCodec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Aac,
    Alac,
    Flac,
    Mp3,
}

impl Kind {
    fn id(self) -> AudioCodecId {
        match self {
            Self::Aac => CODEC_ID_AAC,
            Self::Alac => CODEC_ID_ALAC,
            Self::Flac => CODEC_ID_FLAC,
            Self::Mp3 => CODEC_ID_MP3,
        }
    }
}

/// The settings of a codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) kind: Kind,
    /// Samples per second of one channel.
    pub(crate) rate: u32,
    pub(crate) channels: usize,
    /// The header of the codec: AAC's configuration, ALAC's cookie, FLAC's stream information. Mp3 has none.
    pub(crate) header: Vec<u8>,
}

impl Settings {
    /// Frames of a packet of mp3.
    pub(crate) fn mp3_frames(&self) -> u64 {
        if self.rate < 32_000 { 576 } else { 1152 }
    }
}

/// Parses the stream information of a flac: 20 bits of rate and 3 bits of channels less one, after 10 bytes.
pub(crate) fn flac(header: &[u8]) -> Result<Settings, Problem> {
    if header.len() != 34 {
        return Err(Problem::header("its FLAC header is damaged"));
    }
    let rate = u32::from(header[10]) << 12 | u32::from(header[11]) << 4 | u32::from(header[12]) >> 4;
    let channels = usize::from(header[12] >> 1 & 7) + 1;
    Ok(Settings { kind: Kind::Flac, rate, channels, header: header.to_vec() })
}

/// The number of frames of a flac packet (RFC 9639, 9.1).
fn flac_block(packet: &[u8]) -> Option<u64> {
    let &[0xff, 0xf8 | 0xf9, sizes, _, number, ..] = packet else { return None };
    // The number of the packet has as many bytes as its first byte has leading ones.
    let after = 4 + usize::from(u8::try_from(number.leading_ones()).ok()?.max(1));
    let explicit = |count: usize| {
        let bytes = packet.get(after..after + count)?;
        Some(bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)) + 1)
    };
    match sizes >> 4 {
        1 => Some(192),
        code @ 2..=5 => Some(144 << code),
        6 => explicit(1),
        7 => explicit(2),
        code @ 8..=15 => Some(1 << code),
        _ => None,
    }
}

/// Refuses an ALAC cookie with packets that no encoder writes. The decoder allocates memory for one packet on opening.
pub(crate) fn check_alac(cookie: &[u8]) -> Result<(), Problem> {
    // Apple's encoder writes packets of 4096 frames.
    const MOST_FRAMES: u32 = 1 << 16;
    match cookie.first_chunk() {
        Some(&frames) if u32::from_be_bytes(frames) <= MOST_FRAMES => Ok(()),
        _ => Err(Problem::header("its ALAC header is damaged")),
    }
}

/// Decoder of the packets.
pub(crate) struct PacketCodec {
    settings: Settings,
    decoder: Box<dyn AudioDecoder>,
    /// Made with the first block.
    mixer: Option<Mixer>,
    planes: Vec<Vec<f32>>,
}

impl PacketCodec {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Problem> {
        if settings.kind == Kind::Alac {
            check_alac(&settings.header)?;
        }
        let mut parameters = AudioCodecParameters::new();
        parameters.for_codec(settings.kind.id()).with_sample_rate(settings.rate);
        if !settings.header.is_empty() {
            parameters.with_extra_data(settings.header.clone().into_boxed_slice());
        }
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(&parameters, &AudioDecoderOptions::default())
            .map_err(|error| match error {
                Error::Unsupported(detail) => Problem::Unsupported(format!("this codec ({detail})")),
                error => Problem::header(error.to_string()),
            })?;
        Ok(Self { settings: settings.clone(), decoder, mixer: None, planes: Vec::new() })
    }
}

impl Codec for PacketCodec {
    fn rate(&self) -> u32 {
        self.settings.rate
    }

    fn channels(&self) -> usize {
        self.settings.channels
    }

    fn preroll(&self) -> Option<u64> {
        match self.settings.kind {
            // The overlap of the transform, and the state of the encoder's window shape.
            Kind::Aac => Some(3 * 1024),
            Kind::Alac | Kind::Flac => Some(0),
            // A packet may use bits of packets long before it.
            Kind::Mp3 => None,
        }
    }

    fn block(&self, packet: &[u8]) -> Option<u64> {
        match self.settings.kind {
            Kind::Aac => Some(aac::FRAMES),
            Kind::Mp3 => Some(self.settings.mp3_frames()),
            Kind::Flac => flac_block(packet),
            // Only the whole packet tells.
            Kind::Alac => None,
        }
    }

    fn frames(&self, _previous: Option<u64>, block: u64) -> u64 {
        block
    }

    fn decode(&mut self, packet: &[u8], out: &mut Stereo) -> Result<(), Problem> {
        let packet = PacketRef::new(0, Timestamp::ZERO, Duration::ZERO, packet);
        let buffer = self.decoder.decode_ref(&packet).map_err(|error| {
            Problem::header(match error {
                Error::IoError(_) => "a packet ends too early".to_owned(),
                error => error.to_string(),
            })
        })?;
        if (buffer.num_planes(), buffer.spec().rate()) != (self.settings.channels, self.settings.rate) {
            return Err(Problem::header("its channels or its sample rate change"));
        }
        if buffer.frames() > 0 {
            buffer.copy_to_vecs_planar(&mut self.planes);
            let mixer = match &mut self.mixer {
                Some(mixer) => mixer,
                None => self.mixer.insert(Mixer::of_channels(buffer.spec().channels())?),
            };
            mixer.append_planes(&self.planes, 0..buffer.frames(), out);
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.decoder.reset();
    }
}
