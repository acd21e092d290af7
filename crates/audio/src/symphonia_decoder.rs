//! All formats except uncompressed samples: symphonia demuxes and decodes, and this file counts the frames.
//!
//! A player may ignore a missing end or play an encoder's delay. Separation and training need exactly the song.
//! Therefore each format states the extent of its song ([`SymphoniaFormat::trim`]), everything outside of it is dropped
//! here, and missing audio is an error.

use std::io::{Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_ALAC;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatReader, SeekMode, SeekTo, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::packet::Packet;
use symphonia::core::units::Timestamp;
use unbraid_base::Stereo;

use crate::decoder::Decoder;
use crate::downmix::Mixer;
use crate::error::Problem;
use crate::info::{AudioInfo, check_layout};
use crate::notice::{Notice, Notices, ReadOptions};
use crate::packet_codec::check_alac;
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

    /// Adds what is known about the file before it is decoded: what it lacks, and what was assumed about it.
    fn report(&self, _: &mut Notices, _sample_rate: u32) -> Result<(), Problem> {
        Ok(())
    }

    /// The positions of the channels as in a wav's header, if the file states them and symphonia does not read them.
    fn channel_mask(&self) -> Option<u32> {
        None
    }

    /// Whether the packets' time stamps are numbers of samples. Then a jump in them is a gap in the song.
    fn is_numbered(&self) -> bool {
        false
    }

    /// Whether no packet is missing. Only then is a checksum of all samples meaningful.
    fn has_whole_stream(&self) -> bool {
        true
    }
}

/// Decoder of a file that symphonia demuxes.
pub(crate) struct SymphoniaDecoder {
    demuxer: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    info: AudioInfo,
    notices: Notices,
    mask: Option<u32>,
    /// Set with the first packet.
    mixer: Option<Mixer>,
    numbered: bool,
    /// A packet after a gap, which is decoded after the silence that fills the gap.
    after_gap: Option<Packet>,
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
        if codec.codec == CODEC_ID_ALAC {
            check_alac(codec.extra_data.as_deref().unwrap_or_default())?;
        }
        let mut notices = Notices::new(read_options);
        format.report(&mut notices, sample_rate)?;
        // `verify`: a flac carries a checksum of its samples.
        let options = AudioDecoderOptions::default().gapless(false).verify(format.has_whole_stream());
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
            notices,
            mask: format.channel_mask(),
            mixer: None,
            numbered: format.is_numbered(),
            after_gap: None,
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
                if self.numbered && self.unbroken && matches!(self.demuxer.next_packet(), Ok(Some(_))) {
                    return Err(self.malformed("more audio follows its last sample"));
                }
                if self.unbroken && self.decoder.finalize().verify_ok == Some(false) {
                    return Err(self.malformed("its samples do not match its checksum"));
                }
                break;
            }
            if let Some(packet) = &self.after_gap {
                let frames = packet.pts.get() - self.next;
                if self.fill_gap(frames, out) {
                    return Ok(true);
                }
                if let Some(packet) = self.after_gap.take_if(|packet| packet.pts.get() <= self.next)
                    && self.decode_packet(&packet, out)?
                {
                    return Ok(true);
                }
                continue;
            }
            match self.demuxer.next_packet() {
                Ok(Some(packet)) if packet.track_id != self.track => {}
                Ok(Some(packet)) => {
                    if self.numbered && !self.landing && packet.pts.get() != self.next {
                        self.find_gap(packet)?;
                    } else if self.decode_packet(&packet, out)? {
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
        let (frames, layout, rate) = match self.decoder.decode(packet) {
            Ok(buffer) => {
                buffer.copy_to_vecs_planar(&mut self.planes);
                (buffer.frames(), buffer.spec().channels().clone(), buffer.spec().rate())
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
        let channels = self.planes.len();
        if self.info.channels == 0 {
            check_layout(channels, rate)?;
            self.info.channels = channels;
        }
        let mixer = match &self.mixer {
            Some(mixer) => mixer,
            None => {
                let mixer = match self.mask {
                    Some(mask) => Mixer::of_mask(channels, mask)?,
                    None => Mixer::of_channels(&layout)?,
                };
                mixer.notice().into_iter().for_each(|notice| self.notices.add(notice));
                self.mixer.insert(mixer)
            }
        };
        if channels != self.info.channels || rate != self.info.sample_rate {
            return Err(self.malformed("its channels or its sample rate change"));
        }
        let (begin, end) = (self.next, self.next.saturating_add(frames as i64));
        self.next = end;
        let from = self.wanted.clamp(begin, end);
        let to = self.trim.end.unwrap_or(end).clamp(from, end);
        let range = (from - begin) as usize..(to - begin) as usize;
        mixer.append_planes(&self.planes, range.clone(), out);
        Ok(!range.is_empty())
    }

    /// Accepts or refuses the gap between the last packet and `packet`.
    fn find_gap(&mut self, packet: Packet) -> Result<(), Problem> {
        let begin = self.next;
        let stop = packet.pts.get().min(self.trim.end.unwrap_or(i64::MAX));
        if stop <= begin {
            return Err(self.malformed("its frames do not follow each other"));
        }
        let rate = f64::from(self.info.sample_rate);
        let at = (begin - self.trim.start) as f64 / rate;
        let detail = "a part of it is damaged";
        let refused = || Problem::Malformed { seconds: at, detail: detail.into() };
        self.notices.missing(at, (stop - begin) as f64 / rate, detail, refused)?;
        self.unbroken = false;
        self.after_gap = Some(packet);
        Ok(())
    }

    /// Appends the next part of a gap of `frames` frames as silence. Returns `false` if there is none.
    fn fill_gap(&mut self, frames: i64, out: &mut Stereo) -> bool {
        const BLOCK: i64 = 1 << 16;
        let stop = self.next.saturating_add(frames.clamp(0, BLOCK));
        let stop = self.trim.end.map_or(stop, |end| stop.min(end));
        let silent = stop - self.wanted.clamp(self.next, stop);
        self.next = stop;
        for channel in out {
            channel.resize(channel.len() + silent as usize, 0.0);
        }
        silent > 0
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
