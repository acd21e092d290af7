//! The registry of formats: which decoder reads which container.
//!
//! To add a format, add its signature to [`crate::container`] and a line here. A format that symphonia demuxes
//! implements [`SymphoniaFormat`](crate::symphonia_decoder::SymphoniaFormat) in its own file.

use symphonia::core::io::MediaSource;

use crate::adts;
use crate::container::{Container, identify};
use crate::decoder::Decoder;
use crate::error::Problem;
use crate::flac_frames::FlacFrames;
use crate::mkv;
use crate::mp3;
use crate::mp4;
use crate::notice::ReadOptions;
use crate::ogg;
use crate::source::Shared;
use crate::symphonia_decoder::{SymphoniaDecoder, guarded};
use crate::{aiff, au, caf, w64, wav};

/// Opens a decoder for `source`. `extension` is that of the file's name, as a hint.
pub(crate) fn open(
    mut source: Box<dyn MediaSource>,
    extension: Option<&str>,
    options: ReadOptions,
) -> Result<Box<dyn Decoder>, Problem> {
    let length = match source.byte_len() {
        Some(length) if source.is_seekable() => length,
        _ => return Err(Problem::NotAFile),
    };
    if length == 0 {
        return Err(Problem::Empty);
    }
    let (container, start) = identify(&mut *source, length, extension)?;
    if let Some(track @ 1..) = options.track
        && container != Container::Mp4
    {
        return Err(Problem::NoTrack { track, tracks: 1 });
    }
    let decoder = match container {
        Container::Wav => return wav::open(source, start, length, options),
        Container::W64 => return w64::open(source, start, length, options),
        Container::Caf => return guarded(|| caf::open(source, start, length, options)),
        Container::Aiff => return aiff::open(source, start, length, options),
        Container::Au => return au::open(source, start, length, options),
        Container::Flac => {
            let flac = guarded(|| FlacFrames::find(&mut *source, start, length))?;
            let source = Shared::new(source).part(start..flac.end);
            SymphoniaDecoder::open(&flac, Box::new(source), 0, options)
        }
        Container::Mp3 => return Ok(Box::new(guarded(|| mp3::open(source, length, options))?)),
        Container::Ogg => return Ok(Box::new(guarded(|| ogg::open(source, start, length, options))?)),
        Container::Adts => return Ok(Box::new(guarded(|| adts::open(source, start, length, options))?)),
        Container::Matroska => return Ok(Box::new(guarded(|| mkv::open(source, start, length, options))?)),
        Container::Mp4 => return Ok(Box::new(guarded(|| mp4::open(source, start, length, options))?)),
    }?;
    Ok(Box::new(decoder))
}
