//! Every format but uncompressed wav: symphonia demuxes and decodes, and this file keeps count of the samples.
//!
//! Symphonia plays what it can, as a player should; for us a song that silently lacks its end, or begins with an
//! encoder's run-in, is a wrong song. So lengths come from [`crate::mp3`], [`crate::mp4`] and [`crate::ogg`], what
//! lies outside the song is dropped here, and what is missing is an error.

use std::io::{Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_ALAC, CODEC_ID_VORBIS};
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader, SeekMode, SeekTo, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, ReadBytes};
use symphonia::core::packet::Packet;
use symphonia::core::units::Timestamp;
use symphonia::default::formats::{AiffReader, FlacReader, IsoMp4Reader, MpaReader, OggReader, WavReader};

use crate::container::Container;
use crate::reader::{AudioInfo, check_layout};
use crate::song::{self, Entry, Song};
use crate::{Problem, Stereo, mp3, mp4, ogg};

/// Decoder of a compressed file.
pub(crate) struct Coded {
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    info: AudioInfo,
    song: Song,
    entry: Option<Entry>,
    /// Number of the next frame to be decoded.
    next: i64,
    /// Number of the next frame to be given out.
    wanted: i64,
    /// After a seek the next packet tells where it landed.
    landing: bool,
    /// Decoded from the beginning without a gap, so that a checksum over everything can hold.
    unbroken: bool,
    ended: bool,
    planes: Vec<Vec<f32>>,
    /// The first block: decoded at once, so that a file that cannot be decoded fails when it is opened.
    first: Stereo,
}

impl Coded {
    /// Opens a file of a known container; `begin`: past its ID3 tags, `length`: of the file.
    pub(crate) fn open(
        container: Container,
        source: Box<dyn MediaSource>,
        begin: u64,
        length: u64,
    ) -> Result<Self, Problem> {
        guarded(|| Self::start(container, source, begin, length))
    }

    fn start(
        container: Container,
        mut source: Box<dyn MediaSource>,
        begin: u64,
        length: u64,
    ) -> Result<Self, Problem> {
        let mut start = begin;
        let mut scan = None;
        let mut movie = None;
        match container {
            Container::Mp3 => {
                let found = mp3::scan(&mut *source, begin, length)?;
                start = found.start;
                scan = Some(found);
            }
            Container::Mp4 => movie = Some(mp4::parse(&mut *source, length)?),
            Container::Ogg => ogg::check_end(&mut *source, length)?,
            Container::Wav | Container::Aiff | Container::Flac => {}
        }
        source.seek(SeekFrom::Start(0)).map_err(Problem::Read)?;
        let format = demuxer(container, source, start).map_err(|error| opening(container, error))?;
        let track = format.default_track(TrackType::Audio).ok_or(Problem::NoAudio)?.clone();
        let Some(CodecParameters::Audio(codec)) = &track.codec_params else {
            return Err(Problem::NoAudio);
        };
        let name = match (container, codec.codec) {
            (Container::Wav, _) => "wav (compressed)",
            (Container::Aiff, _) => "aiff",
            (Container::Flac, _) => "flac",
            (Container::Mp3, _) => "mp3",
            (Container::Ogg, CODEC_ID_VORBIS) => "ogg (vorbis)",
            (Container::Mp4, CODEC_ID_AAC) => "m4a (aac)",
            (Container::Mp4, CODEC_ID_ALAC) => "m4a (alac)",
            _ => return Err(Problem::Unsupported("the codec inside this file".into())),
        };
        let sample_rate =
            codec.sample_rate.ok_or_else(|| Problem::header("it does not tell its sample rate"))?;
        if let Some(channels) = &codec.channels {
            check_layout(channels.count(), sample_rate)?;
        }
        // Only Vorbis leaves the trimming of its ends to the decoder; a flac carries a checksum of its samples.
        let options = AudioDecoderOptions::default().gapless(container == Container::Ogg).verify(true);
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(codec, &options)
            .map_err(|error| opening(container, error))?;
        let (song, entry) = match (container, scan, movie) {
            (Container::Mp3, Some(scan), _) => song::mp3(&scan, &track),
            (Container::Mp4, _, Some(movie)) => song::mp4(&movie, &track, codec, sample_rate),
            (Container::Ogg, ..) => (song::ogg(&track), None),
            // Symphonia seeks to the wrong place in a wav whose samples come in blocks.
            (Container::Wav, ..) => (song::plain(&track).0, None),
            _ => song::plain(&track),
        };
        let frames = song.end.map(|end| u64::try_from(end - song.start).unwrap_or(0));
        if frames == Some(0) {
            return Err(Problem::NoAudio);
        }
        let mut coded = Self {
            format,
            decoder,
            track: track.id,
            info: AudioInfo { format: name, sample_rate, channels: 0, frames },
            song,
            entry,
            next: song.origin,
            wanted: song.start,
            landing: false,
            unbroken: true,
            ended: false,
            planes: Vec::new(),
            first: Stereo::default(),
        };
        let mut first = Stereo::default();
        if !coded.decode(&mut first)? {
            return Err(Problem::NoAudio);
        }
        coded.first = first;
        Ok(coded)
    }

    pub(crate) fn info(&self) -> AudioInfo {
        self.info.clone()
    }

    /// Appends the next block; `false` at the end.
    pub(crate) fn read_block(&mut self, out: &mut Stereo) -> Result<bool, Problem> {
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

    /// Makes `frame` the next frame to be read, or the end where the file is shorter. Call before reading.
    pub(crate) fn seek(&mut self, frame: u64) -> Result<(), Problem> {
        let ready = self.first[0].len();
        if let Ok(frame) = usize::try_from(frame)
            && frame < ready
        {
            self.first.iter_mut().for_each(|first| drop(first.drain(..frame)));
            return Ok(());
        }
        self.first.iter_mut().for_each(Vec::clear);
        self.wanted = self.song.start.saturating_add_unsigned(frame);
        if self.song.end.is_some_and(|end| self.wanted >= end) {
            self.ended = true;
            return Ok(());
        }
        if let Some(entry) = self.entry
            && self.wanted - entry.preroll > self.next
            && self.wanted <= entry.limit
        {
            let ts = Timestamp::new(self.wanted - entry.preroll - entry.offset);
            let to = SeekTo::Timestamp { ts, track_id: self.track };
            guarded(|| self.format.seek(SeekMode::Accurate, to).map_err(|error| self.failed(error)))?;
            self.decoder.reset();
            self.landing = true;
            self.unbroken = false;
        }
        Ok(())
    }

    fn decode(&mut self, out: &mut Stereo) -> Result<bool, Problem> {
        while !self.ended {
            if self.song.end.is_some_and(|end| self.next >= end) {
                self.ended = true;
                if self.unbroken && self.decoder.finalize().verify_ok == Some(false) {
                    return Err(self.malformed("its samples do not match its checksum"));
                }
                break;
            }
            match self.format.next_packet() {
                Ok(Some(packet)) if packet.track_id != self.track => {}
                Ok(Some(packet)) => {
                    if self.decode_packet(&packet, out)? {
                        return Ok(true);
                    }
                }
                Ok(None) => {
                    self.ended = true;
                    if let Some(end) = self.song.end {
                        let (missing, rate) = (end - self.next, f64::from(self.info.sample_rate));
                        let missing = missing as f64 / rate;
                        return Err(Problem::Truncated(format!("its last {missing:.3} s are missing")));
                    }
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(false)
    }

    /// Appends what of the packet belongs to the song; `false` if nothing does.
    fn decode_packet(&mut self, packet: &Packet, out: &mut Stereo) -> Result<bool, Problem> {
        if self.landing
            && let Some(entry) = self.entry
        {
            self.landing = false;
            self.next = packet.pts.get().saturating_add(entry.offset);
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
                    // Here the "file" is one packet.
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
        let to = self.song.end.unwrap_or(end).clamp(from, end);
        let range = (from - begin) as usize..(to - begin) as usize;
        for (out, channel) in out.iter_mut().zip([0, channels - 1]) {
            out.extend_from_slice(&self.planes[channel][range.clone()]);
        }
        Ok(!range.is_empty())
    }

    fn malformed(&self, detail: &str) -> Problem {
        let seconds = (self.next - self.song.start).max(0) as f64 / f64::from(self.info.sample_rate);
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

/// Turns a panic of a decoder over a file that makes no sense into an error: the decoders are not ours, and one
/// bad file must not end a training run. (In a browser a panic cannot be caught; there the page's worker ends.)
fn guarded<T>(work: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Problem::header("its decoder cannot make sense of it")))
}

fn demuxer(
    container: Container,
    source: Box<dyn MediaSource>,
    start: u64,
) -> Result<Box<dyn FormatReader>, Error> {
    let mut stream = MediaSourceStream::new(source, Default::default());
    if start > 0 {
        stream.seek(SeekFrom::Start(start))?;
    }
    let options = FormatOptions::default();
    Ok(match container {
        Container::Wav => Box::new(WavReader::try_new(stream, options)?),
        Container::Aiff => Box::new(AiffReader::try_new(stream, options)?),
        Container::Flac => Box::new(FlacReader::try_new(stream, options)?),
        Container::Mp3 => Box::new(MpaReader::try_new(stream, options)?),
        Container::Ogg => Box::new(OggReader::try_new(stream, options)?),
        Container::Mp4 => {
            // The reader goes back four bytes: it expects to stand at the marker, which the size precedes.
            stream.read_quad_bytes()?;
            Box::new(IsoMp4Reader::try_new(stream, options)?)
        }
    })
}

fn opening(container: Container, error: Error) -> Problem {
    match error {
        Error::IoError(error) => Problem::read(error),
        Error::Unsupported(detail) => {
            Problem::Unsupported(format!("this {} file ({detail})", format!("{container:?}").to_lowercase()))
        }
        error => Problem::header(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::guarded;
    use crate::Problem;

    #[test]
    fn a_panic_in_a_decoder_is_an_error() {
        let result: Result<(), Problem> = guarded(|| panic!("said on purpose by a test"));
        assert!(matches!(result, Err(Problem::Malformed { .. })), "{result:?}");
        assert_eq!(guarded(|| Ok(7)).expect("no panic"), 7);
    }
}
