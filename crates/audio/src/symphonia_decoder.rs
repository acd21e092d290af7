//! All formats except uncompressed wav: symphonia demuxes and decodes, and this file counts the frames.
//!
//! A player may ignore a missing end or play an encoder's delay. Separation and training need exactly the song.
//! Therefore each format states the extent of its song ([`SymphoniaFormat::trim`]), everything outside of it is dropped
//! here, and missing audio is an error.

use std::io::{Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatReader, SeekMode, SeekTo, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::packet::Packet;
use symphonia::core::units::Timestamp;
use unbraid_base::Stereo;

use crate::decoder::Decoder;
use crate::error::Problem;
use crate::info::{AudioInfo, check_layout};
use crate::notice::{Notice, Notices, ReadOptions};
use crate::trim::{SeekInfo, Trim};

/// The parts of a decoder that depend on the format.
pub(crate) trait SymphoniaFormat {
    /// The container's name in error messages.
    fn container(&self) -> &'static str;

    /// Starts the demuxer. `stream` is at the container's first byte.
    fn demuxer(&self, stream: MediaSourceStream<'static>) -> Result<Box<dyn FormatReader>, Error>;

    /// The name of container and codec in [`AudioInfo::format`]. `None` if the codec is not supported.
    fn name(&self, codec: AudioCodecId) -> Option<&'static str>;

    /// The part of the decoder's output that is the song, and how to seek in the file. `None` if seeking does not work.
    fn trim(&self, track: &Track, codec: &AudioCodecParameters, sample_rate: u32)
    -> (Trim, Option<SeekInfo>);
}

/// Decoder of a file that symphonia demuxes.
pub(crate) struct SymphoniaDecoder {
    demuxer: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    info: AudioInfo,
    notices: Notices,
    trim: Trim,
    seek: Option<SeekInfo>,
    /// Number of the next frame to be decoded.
    next: i64,
    /// Number of the next frame to be output.
    wanted: i64,
    /// Set after a seek: the next packet's time stamp gives its position.
    landing: bool,
    /// Set while everything has been decoded from the start without a gap. Only then is the checksum meaningful.
    unbroken: bool,
    ended: bool,
    planes: Vec<Vec<f32>>,
    /// The first block. It is decoded on opening, so that a file that cannot be decoded fails there.
    first: Stereo,
}

impl SymphoniaDecoder {
    /// Opens a file. `start`: position of the container's first byte.
    pub(crate) fn open(
        format: &dyn SymphoniaFormat,
        source: Box<dyn MediaSource>,
        start: u64,
        options: ReadOptions,
    ) -> Result<Self, Problem> {
        guarded(|| Self::start(format, source, start, options))
    }

    fn start(
        format: &dyn SymphoniaFormat,
        mut source: Box<dyn MediaSource>,
        start: u64,
        read_options: ReadOptions,
    ) -> Result<Self, Problem> {
        let opening = |error| opening(format.container(), error);
        source.seek(SeekFrom::Start(0)).map_err(Problem::Read)?;
        let mut stream = MediaSourceStream::new(source, Default::default());
        if start > 0 {
            stream.seek(SeekFrom::Start(start)).map_err(Problem::read)?;
        }
        let demuxer = format.demuxer(stream).map_err(opening)?;
        let track = demuxer.default_track(TrackType::Audio).ok_or(Problem::NoAudio)?.clone();
        let Some(CodecParameters::Audio(codec)) = &track.codec_params else {
            return Err(Problem::NoAudio);
        };
        let name = format
            .name(codec.codec)
            .ok_or_else(|| Problem::Unsupported("the codec inside this file".into()))?;
        let sample_rate =
            codec.sample_rate.ok_or_else(|| Problem::header("it does not state its sample rate"))?;
        if let Some(channels) = &codec.channels {
            check_layout(channels.count(), sample_rate)?;
        }
        // `verify`: a flac carries a checksum of its samples.
        let options = AudioDecoderOptions::default().gapless(false).verify(true);
        let decoder =
            symphonia::default::get_codecs().make_audio_decoder(codec, &options).map_err(opening)?;
        let (trim, seek) = format.trim(&track, codec, sample_rate);
        let frames = trim.end.map(|end| u64::try_from(end - trim.start).unwrap_or(0));
        if frames == Some(0) {
            return Err(Problem::NoAudio);
        }
        let mut opened = Self {
            demuxer,
            decoder,
            track: track.id,
            info: AudioInfo { format: name, sample_rate, channels: 0, frames },
            notices: Notices::new(read_options),
            trim,
            seek,
            next: trim.origin,
            wanted: trim.start,
            landing: false,
            unbroken: true,
            ended: false,
            planes: Vec::new(),
            first: Stereo::default(),
        };
        let mut first = Stereo::default();
        if !opened.decode(&mut first)? {
            return Err(Problem::NoAudio);
        }
        opened.first = first;
        Ok(opened)
    }

    fn decode(&mut self, out: &mut Stereo) -> Result<bool, Problem> {
        while !self.ended {
            if self.trim.end.is_some_and(|end| self.next >= end) {
                self.ended = true;
                if self.unbroken && self.decoder.finalize().verify_ok == Some(false) {
                    return Err(self.malformed("its samples do not match its checksum"));
                }
                break;
            }
            match self.demuxer.next_packet() {
                Ok(Some(packet)) if packet.track_id != self.track => {}
                Ok(Some(packet)) => {
                    if self.decode_packet(&packet, out)? {
                        return Ok(true);
                    }
                }
                Ok(None) => {
                    self.ended = true;
                    if let Some(end) = self.trim.end {
                        let rate = f64::from(self.info.sample_rate);
                        let seconds = (end - self.next) as f64 / rate;
                        let at = (self.next - self.trim.start).max(0) as f64 / rate;
                        let refused = || Problem::Truncated(format!("its last {seconds:.3} s are missing"));
                        self.notices.missing(at, seconds, "the file is cut short", refused)?;
                    }
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(false)
    }

    /// Appends the part of the packet that belongs to the song. Returns `false` if there is none.
    fn decode_packet(&mut self, packet: &Packet, out: &mut Stereo) -> Result<bool, Problem> {
        if self.landing
            && let Some(seek) = self.seek
        {
            self.landing = false;
            self.next = packet.pts.get().saturating_add(seek.offset);
            if self.next > self.wanted {
                return Err(self.malformed("its time stamps lead to the wrong place"));
            }
        }
        let (frames, channels, rate) = match self.decoder.decode(packet) {
            Ok(buffer) => {
                buffer.copy_to_vecs_planar(&mut self.planes);
                (buffer.frames(), buffer.num_planes(), buffer.spec().rate())
            }
            Err(error) => {
                let detail = match error {
                    // The decoder reads from one packet, not from the file.
                    Error::IoError(_) => "a packet ends too early".to_owned(),
                    error => error.to_string(),
                };
                return Err(self.malformed(&detail));
            }
        };
        if frames == 0 {
            return Ok(false);
        }
        if self.info.channels == 0 {
            check_layout(channels, rate)?;
            self.info.channels = channels;
        }
        if channels != self.info.channels || rate != self.info.sample_rate {
            return Err(self.malformed("its channels or its sample rate change"));
        }
        let (begin, end) = (self.next, self.next.saturating_add(frames as i64));
        self.next = end;
        let from = self.wanted.clamp(begin, end);
        let to = self.trim.end.unwrap_or(end).clamp(from, end);
        let range = (from - begin) as usize..(to - begin) as usize;
        for (out, channel) in out.iter_mut().zip([0, channels - 1]) {
            out.extend_from_slice(&self.planes[channel][range.clone()]);
        }
        Ok(!range.is_empty())
    }

    fn malformed(&self, detail: &str) -> Problem {
        let seconds = (self.next - self.trim.start).max(0) as f64 / f64::from(self.info.sample_rate);
        Problem::Malformed { seconds, detail: detail.to_owned() }
    }

    fn failed(&self, error: Error) -> Problem {
        match error {
            Error::IoError(error) => Problem::read(error),
            Error::ResetRequired => Problem::Unsupported("a file of several songs joined end to end".into()),
            error => self.malformed(&error.to_string()),
        }
    }
}

impl Decoder for SymphoniaDecoder {
    fn info(&self) -> &AudioInfo {
        &self.info
    }

    fn notices(&self) -> &[Notice] {
        self.notices.list()
    }

    fn read(&mut self, _frames: usize, out: &mut Stereo) -> Result<bool, Problem> {
        if self.first[0].is_empty() {
            let result = guarded(|| self.decode(out));
            self.ended |= result.is_err();
            return result;
        }
        for (out, first) in out.iter_mut().zip(&mut self.first) {
            out.append(first);
        }
        Ok(true)
    }

    fn seek(&mut self, frame: u64) -> Result<(), Problem> {
        let ready = self.first[0].len();
        if let Ok(frame) = usize::try_from(frame)
            && frame < ready
        {
            self.first.iter_mut().for_each(|first| drop(first.drain(..frame)));
            return Ok(());
        }
        self.first.iter_mut().for_each(Vec::clear);
        self.wanted = self.trim.start.saturating_add_unsigned(frame);
        if self.trim.end.is_some_and(|end| self.wanted >= end) {
            self.ended = true;
            return Ok(());
        }
        if let Some(seek) = self.seek
            && self.wanted - seek.preroll > self.next
            && self.wanted <= seek.limit
        {
            let ts = Timestamp::new(self.wanted - seek.preroll - seek.offset);
            let to = SeekTo::Timestamp { ts, track_id: self.track };
            guarded(|| self.demuxer.seek(SeekMode::Accurate, to).map_err(|error| self.failed(error)))?;
            self.decoder.reset();
            self.landing = true;
            self.unbroken = false;
        }
        Ok(())
    }
}

/// Turns a panic of a parser into an error, so that one bad file does not end a training run.
///
/// In a browser a panic cannot be caught. There it ends the page's worker.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Problem::header("its decoder failed on it")))
}

fn opening(container: &str, error: Error) -> Problem {
    match error {
        Error::IoError(error) => Problem::read(error),
        Error::Unsupported(detail) => Problem::Unsupported(format!("this {container} file ({detail})")),
        error => Problem::header(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::guarded;
    use crate::error::Problem;

    #[test]
    fn a_panic_in_a_decoder_is_an_error() {
        let result: Result<(), Problem> = guarded(|| panic!("this panic is part of a test"));
        assert!(matches!(result, Err(Problem::Malformed { .. })), "{result:?}");
        assert_eq!(guarded(|| Ok(7)).expect("no panic"), 7);
    }
}
