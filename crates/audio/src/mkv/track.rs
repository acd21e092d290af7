//! The description of an audio track.

use super::ebml::{children, float, unsigned};
use crate::aac;
use crate::codec::Codec;
use crate::error::Problem;
use crate::ogg::vorbis::VORBIS;
use crate::opus::{Head, Opus};
use crate::packet_codec::{Kind, PacketCodec, Settings, flac};

/// How a track is decoded.
#[derive(Clone, Debug)]
pub(super) enum Description {
    Plain(Settings),
    Opus(Head),
    Vorbis(Vec<Vec<u8>>),
}

/// An audio track.
pub(super) struct Track {
    pub(super) number: u64,
    pub(super) is_default: bool,
    pub(super) description: Result<Description, Problem>,
    /// Time before the song in nanoseconds.
    pub(super) delay: u64,
}

impl Track {
    /// Parses a track. `None` if it is not audio.
    pub(super) fn parse(entry: &[u8]) -> Option<Self> {
        let parts = children(entry);
        let find = |wanted: u32| parts.iter().find(|(id, _)| *id == wanted).map(|(_, content)| *content);
        let flag = |wanted| find(wanted).map_or(1, unsigned) != 0;
        const AUDIO: u64 = 2;
        if find(0x83).map(unsigned) != Some(AUDIO) {
            return None;
        }
        let audio = find(0xe1).map(children).unwrap_or_default();
        let setting = |wanted: u32| audio.iter().find(|(id, _)| *id == wanted).map(|(_, content)| *content);
        let rate = setting(0xb5).map_or(8000.0, float) as u32;
        let channels = setting(0x9f).map_or(1, unsigned) as usize;
        let codec = String::from_utf8_lossy(find(0x86).unwrap_or_default()).trim_end_matches('\0').to_owned();
        let private = find(0x63a2).unwrap_or_default();
        let description = match find(0x6d80) {
            Some(_) => Err(Problem::Unsupported("a compressed or encrypted track in Matroska".into())),
            None => Description::parse(&codec, private, rate, channels),
        };
        Some(Self {
            number: find(0xd7).map_or(0, unsigned),
            is_default: flag(0xb9) && flag(0x88),
            description,
            delay: find(0x56aa).map_or(0, unsigned),
        })
    }
}

impl Description {
    fn parse(codec: &str, private: &[u8], rate: u32, channels: usize) -> Result<Self, Problem> {
        match codec {
            "A_OPUS" => Head::of_ogg(private).map(Self::Opus),
            "A_VORBIS" => Ok(Self::Vorbis(laced_headers(private)?)),
            "A_AAC" => {
                let config = aac::config(private)?;
                let header = private.to_vec();
                let (rate, channels) = (config.rate, config.channels);
                Ok(Self::Plain(Settings { kind: Kind::Aac, rate, channels, header }))
            }
            "A_FLAC" => flac(private.get(8..42).unwrap_or_default()).map(Self::Plain),
            "A_MPEG/L3" => Ok(Self::Plain(Settings { kind: Kind::Mp3, rate, channels, header: Vec::new() })),
            other => Err(Problem::Unsupported(format!("the codec {other} in Matroska"))),
        }
    }

    pub(super) fn open(&self) -> Result<Box<dyn Codec>, Problem> {
        match self {
            Self::Plain(settings) => Ok(Box::new(PacketCodec::new(settings)?)),
            Self::Opus(head) => Ok(Box::new(Opus::new(head)?)),
            Self::Vorbis(headers) => (VORBIS.open)(headers),
        }
    }

    pub(super) fn is_aac(&self) -> bool {
        matches!(self, Self::Plain(Settings { kind: Kind::Aac, .. }))
    }

    pub(super) fn format(&self) -> &'static str {
        match self {
            Self::Plain(Settings { kind: Kind::Aac, .. }) => "mkv (aac)",
            Self::Plain(Settings { kind: Kind::Flac, .. }) => "mkv (flac)",
            Self::Plain(Settings { kind: Kind::Alac, .. }) => "mkv (alac)",
            Self::Plain(Settings { kind: Kind::Mp3, .. }) => "mkv (mp3)",
            Self::Opus(_) => "webm (opus)",
            Self::Vorbis(_) => "webm (vorbis)",
        }
    }
}

/// Vorbis' three headers: the number of further headers, their sizes in Xiph's lacing, and the headers.
fn laced_headers(private: &[u8]) -> Result<Vec<Vec<u8>>, Problem> {
    let wrong = || Problem::header("its Vorbis headers are damaged");
    let [2, rest @ ..] = private else { return Err(wrong()) };
    let (first, rest) = xiph_size(rest).ok_or_else(wrong)?;
    let (second, rest) = xiph_size(rest).ok_or_else(wrong)?;
    let (a, rest) = rest.split_at_checked(first).ok_or_else(wrong)?;
    let (b, c) = rest.split_at_checked(second).ok_or_else(wrong)?;
    Ok([a, b, c].map(<[u8]>::to_vec).to_vec())
}

/// A size as the sum of bytes, of which the last is less than 255.
pub(super) fn xiph_size(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let last = bytes.iter().position(|byte| *byte != 255)?;
    Some((255 * last + usize::from(bytes[last]), &bytes[last + 1..]))
}
