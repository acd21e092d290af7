//! Codecs whose packets all have the same length, or one that the container states. Symphonia decodes them.

use symphonia::core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_ALAC, CODEC_ID_FLAC, CODEC_ID_MP3};
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};
use unbraid_base::Stereo;

use crate::error::Problem;
use crate::ogg::codec::Codec;

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

/// Decoder of the packets.
pub(crate) struct PacketCodec {
    settings: Settings,
    decoder: Box<dyn AudioDecoder>,
    planes: Vec<Vec<f32>>,
}

impl PacketCodec {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Problem> {
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
        Ok(Self { settings: settings.clone(), decoder, planes: Vec::new() })
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

    fn block(&self, _packet: &[u8]) -> Option<u64> {
        None
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
            for (out, channel) in out.iter_mut().zip([0, self.settings.channels - 1]) {
                out.extend_from_slice(&self.planes[channel]);
            }
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.decoder.reset();
    }
}
