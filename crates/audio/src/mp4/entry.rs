//! The description of a track's samples (`stsd`): the codec and its header.

use super::boxes::Fields;
use super::pcm::{Pcm, Sound};
use crate::aac;
use crate::codec::Codec;
use crate::error::Problem;
use crate::opus::{Head, Opus};
use crate::packet_codec::{Kind, PacketCodec, Settings, flac};
use crate::pcm::Layout;

/// How a track is decoded.
#[derive(Clone, Debug)]
pub(crate) enum Description {
    Plain(Settings),
    Opus(Head),
    Pcm(Layout),
}

impl Description {
    pub(super) fn open(&self) -> Result<Box<dyn Codec>, Problem> {
        Ok(match self {
            Self::Plain(settings) => Box::new(PacketCodec::new(settings)?),
            Self::Opus(head) => Box::new(Opus::new(head)?),
            Self::Pcm(layout) => Box::new(Pcm(layout.clone())),
        })
    }

    pub(super) fn rate(&self) -> u32 {
        match self {
            Self::Plain(settings) => settings.rate,
            Self::Opus(_) => 48_000,
            Self::Pcm(layout) => layout.sample_rate,
        }
    }

    /// Bytes of one frame of uncompressed samples. Their tables count frames instead of packets.
    pub(super) fn frame_bytes(&self) -> Option<usize> {
        match self {
            Self::Pcm(layout) => Some(layout.frame_bytes()),
            _ => None,
        }
    }

    /// The number of frames of every packet, if the codec fixes it.
    pub(super) fn each(&self) -> Option<u64> {
        match self {
            Self::Plain(Settings { kind: Kind::Aac, .. }) => Some(aac::FRAMES),
            Self::Plain(settings) if settings.kind == Kind::Mp3 => Some(settings.mp3_frames()),
            _ => None,
        }
    }

    pub(super) fn is_aac(&self) -> bool {
        self.each() == Some(aac::FRAMES)
    }

    pub(super) fn format(&self) -> &'static str {
        match self {
            Self::Plain(settings) => match settings.kind {
                Kind::Aac => "m4a (aac)",
                Kind::Alac => "m4a (alac)",
                Kind::Flac => "mp4 (flac)",
                Kind::Mp3 => "mp4 (mp3)",
            },
            Self::Opus(_) => "mp4 (opus)",
            Self::Pcm(layout) => layout.format,
        }
    }
}

/// Parses entry `index`, counted from 1, of a `stsd` box.
pub(super) fn description(stsd: &[u8], index: u32) -> Result<Description, Problem> {
    let entries = Fields::new(stsd.get(8..).unwrap_or_default(), "stsd").boxes();
    let entry = usize::try_from(index).ok().and_then(|index| index.checked_sub(1));
    let &(name, content) = entry
        .and_then(|index| entries.get(index))
        .ok_or_else(|| Problem::header("it does not describe its audio"))?;
    let mut fields = Fields::new(content, "stsd");
    fields.take(8)?;
    let version = fields.u16()?;
    fields.take(6)?;
    let mut channels = usize::from(fields.u16()?);
    let bits = fields.u16()?;
    fields.take(4)?;
    let mut rate = fields.u32()? >> 16;
    // Versions of QuickTime.
    let extension = fields.take(match version {
        1 => 16,
        2 => 36,
        _ => 0,
    })?;
    if version == 2 {
        let mut fields = Fields::new(extension, "stsd");
        fields.take(4)?;
        // The conversion saturates, and the range is checked later.
        rate = f64::from_bits(fields.u64()?).round() as u32;
        channels = fields.u32()? as usize;
    }
    let mut boxes = fields.boxes();
    if let Some((_, wave)) = boxes.iter().find(|(name, _)| name == b"wave") {
        boxes.extend(Fields::new(wave, "wave").boxes());
    }
    let find = |wanted: &[u8; 4]| boxes.iter().find(|(name, _)| name == wanted).map(|(_, content)| *content);
    let header =
        |wanted| find(wanted).ok_or_else(|| Problem::header("it does not state the settings of its codec"));
    let sound = Sound {
        name,
        channels,
        bits,
        rate,
        version_2: Some(extension).filter(|_| version == 2),
        endian: find(b"enda"),
        positions: find(b"chan"),
    };
    if let Some(layout) = sound.layout()? {
        return Ok(Description::Pcm(layout));
    }
    match &name {
        b"mp4a" => mpeg(header(b"esds")?, rate, channels),
        b"alac" => alac(header(b"alac")?),
        b"Opus" => Head::of_mp4(header(b"dOps")?).map(Description::Opus),
        b"fLaC" => flac(header(b"dfLa")?.get(8..42).unwrap_or_default()).map(Description::Plain),
        b".mp3" | b"ms\0U" => Ok(plain(Kind::Mp3, rate, channels, Vec::new())),
        name => Err(Problem::Unsupported(match name {
            b"drms" | b"enca" => "encrypted audio (DRM)".into(),
            b"ac-3" | b"sac3" => "AC-3 (Dolby Digital)".into(),
            b"ec-3" => "E-AC-3 (Dolby Digital Plus)".into(),
            b"ac-4" => "AC-4".into(),
            b"dtsc" | b"dtse" | b"dtsh" | b"dtsl" => "DTS".into(),
            b"samr" | b"sawb" | b"sawp" => "AMR".into(),
            b"ipcm" | b"fpcm" => "PCM in mp4".into(),
            name => format!("the codec '{}' in mp4", String::from_utf8_lossy(name).trim_end()),
        })),
    }
}

fn plain(kind: Kind, rate: u32, channels: usize, header: Vec<u8>) -> Description {
    Description::Plain(Settings { kind, rate, channels, header })
}

/// Parses an `esds` box (ISO/IEC 14496-1, 7.2.6.5).
fn mpeg(esds: &[u8], rate: u32, channels: usize) -> Result<Description, Problem> {
    let mut fields = Fields::new(esds, "esds");
    fields.take(4)?;
    let mut stream = descriptor(&mut fields, 3)?;
    stream.take(2)?;
    let flags = stream.u8()?;
    if flags & 0x80 != 0 {
        stream.take(2)?;
    }
    if flags & 0x40 != 0 {
        let length = usize::from(stream.u8()?);
        stream.take(length)?;
    }
    if flags & 0x20 != 0 {
        stream.take(2)?;
    }
    let mut decoder = descriptor(&mut stream, 4)?;
    let object = decoder.u8()?;
    decoder.take(12)?;
    match object {
        0x40 | 0x66..=0x68 => {
            let header = descriptor(&mut decoder, 5)?.rest().to_vec();
            let config = aac::config(&header)?;
            Ok(plain(Kind::Aac, config.rate, config.channels, header))
        }
        0x69 | 0x6b => Ok(plain(Kind::Mp3, rate, channels, Vec::new())),
        object => Err(Problem::Unsupported(match object {
            0xa5 => "AC-3 (Dolby Digital)".into(),
            0xa6 => "E-AC-3 (Dolby Digital Plus)".into(),
            0xa9..=0xac => "DTS".into(),
            0xdd => "Vorbis in mp4".into(),
            other => format!("the MPEG codec {other:#x}"),
        })),
    }
}

/// The contents of the next descriptor, which must have `tag`. A size has 7 bits per byte.
fn descriptor<'a>(fields: &mut Fields<'a>, tag: u8) -> Result<Fields<'a>, Problem> {
    let found = fields.u8()?;
    let mut size = 0;
    for _ in 0..4 {
        let byte = fields.u8()?;
        size = size << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    if found != tag {
        return Err(Problem::header("it does not state the settings of its codec"));
    }
    // The size of the outermost descriptor is wrong in some files.
    Ok(Fields::new(fields.take(size.min(fields.rest().len()))?, "esds"))
}

/// Parses the cookie after the version and flags of an `alac` box.
fn alac(content: &[u8]) -> Result<Description, Problem> {
    let cookie = content.get(4..).filter(|cookie| cookie.len() >= 24);
    let cookie = cookie.ok_or_else(|| Problem::header("its ALAC cookie is too short"))?;
    let rate = u32::from_be_bytes([cookie[20], cookie[21], cookie[22], cookie[23]]);
    let header = if cookie.len() < 48 { &cookie[..24] } else { &cookie[..48] };
    Ok(plain(Kind::Alac, rate, usize::from(cookie[9]), header.to_vec()))
}
