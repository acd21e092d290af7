//! Decodes a section. Symphonia decodes the frames.

use symphonia::core::codecs::audio::well_known::{CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};
use unbraid_base::Stereo;

use super::header::Header;
use super::scan::{Entry, Piece};
use super::walk::{Step, Walk, lost_frames};
use crate::error::Problem;
use crate::joined::{Gap, SectionDecoder};

/// Frames of mp3 that are decoded at once.
const FRAMES: usize = 8;

/// Samples of silence that are appended at once.
const BLOCK: u64 = 16_384;

/// Frames of mp3 to decode before a target. A frame needs up to 511 bytes of earlier frames (about 24 of the smallest mono
/// frames), and one frame for the overlap.
const PREROLL: u64 = 32;

/// Decoder of a section. Samples are numbered from the first sample that the decoder outputs.
pub(crate) struct PieceDecoder {
    walk: Walk,
    decoder: Box<dyn AudioDecoder>,
    end: u64,
    last: Header,
    delay: u64,
    fill: bool,
    entries: Vec<Entry>,
    /// Samples of silence to be output.
    silence: u64,
    /// The number of the next sample.
    next: u64,
    /// The number of the next sample to be output.
    wanted: u64,
    planes: Vec<Vec<f32>>,
}

impl PieceDecoder {
    /// `walk` is over the whole file.
    pub(crate) fn new(mut walk: Walk, piece: &Piece) -> Result<Self, Problem> {
        walk.seek(piece.start);
        let mut parameters = AudioCodecParameters::new();
        parameters.for_codec(match piece.first.layout.layer {
            1 => CODEC_ID_MP1,
            2 => CODEC_ID_MP2,
            _ => CODEC_ID_MP3,
        });
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(&parameters, &AudioDecoderOptions::default())
            .map_err(|error| Problem::Unsupported(format!("this mp3 file ({error})")))?;
        Ok(Self {
            walk,
            decoder,
            end: piece.end,
            last: piece.first,
            delay: piece.delay,
            fill: piece.fill,
            entries: piece.entries.clone(),
            silence: 0,
            next: 0,
            wanted: piece.delay,
            planes: Vec::new(),
        })
    }

    /// Decodes the frame at the walk's position and appends what is wanted.
    fn decode(&mut self, header: &Header, out: &mut Stereo, gaps: &mut Vec<Gap>) -> Result<(), Problem> {
        let bytes = self.walk.frame(header)?;
        let packet = PacketRef::new(0, Timestamp::ZERO, Duration::ZERO, bytes);
        let detail = match self.decoder.decode_ref(&packet) {
            Ok(buffer) if buffer.frames() as u64 == header.samples => {
                buffer.copy_to_vecs_planar(&mut self.planes);
                None
            }
            Ok(_) => Some("a frame is damaged".to_owned()),
            // The decoder reads from one frame, not from the file.
            Err(Error::IoError(_)) => Some("a frame ends too early".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(detail) = detail {
            self.decoder.reset();
            gaps.push(Gap { at: self.next.saturating_sub(self.delay), frames: header.samples, detail });
            self.silence = header.samples;
            return Ok(());
        }
        let samples = header.samples as usize;
        let dropped = self.wanted.saturating_sub(self.next).min(header.samples) as usize;
        self.next += header.samples;
        for (out, channel) in out.iter_mut().zip([0, header.layout.channels - 1]) {
            out.extend_from_slice(&self.planes[channel][dropped..samples]);
        }
        Ok(())
    }

    /// Appends silence.
    fn emit_silence(&mut self, out: &mut Stereo) {
        let dropped = self.wanted.saturating_sub(self.next).min(self.silence);
        let count = (self.silence - dropped).min(BLOCK);
        self.silence -= dropped + count;
        self.next += dropped + count;
        for out in out {
            out.resize(out.len() + count as usize, 0.0);
        }
    }
}

impl SectionDecoder for PieceDecoder {
    fn read(&mut self, out: &mut Stereo, gaps: &mut Vec<Gap>) -> Result<bool, Problem> {
        let before = out[0].len();
        let mut count = 0;
        while count < FRAMES || out[0].len() == before {
            count += 1;
            if self.silence > 0 {
                self.emit_silence(out);
                continue;
            }
            if self.walk.position() >= self.end {
                return Ok(out[0].len() > before);
            }
            match self.walk.step(&self.last)? {
                Step::Frame(_) if self.walk.position() >= self.end => {}
                Step::Frame(header) => {
                    self.decode(&header, out, gaps)?;
                    self.walk.pass(&header);
                    self.last = header;
                }
                Step::Damage(bytes) if self.fill => {
                    self.decoder.reset();
                    self.silence = lost_frames(bytes, &self.last).saturating_mul(self.last.samples);
                }
                Step::Damage(_) => {}
                Step::Cut | Step::End => return Ok(out[0].len() > before),
            }
        }
        Ok(true)
    }

    fn seek(&mut self, frame: u64) -> Result<(), Problem> {
        self.wanted = self.delay.saturating_add(frame);
        let samples = self.last.samples;
        let slot = |entry: &Entry| entry.frames + if self.fill { entry.lost } else { 0 };
        let target = (self.wanted / samples).saturating_sub(PREROLL);
        let index = self.entries.partition_point(|entry| slot(entry) <= target);
        if let Some(entry) = index.checked_sub(1).and_then(|index| self.entries.get(index)) {
            self.walk.seek(entry.position);
            self.next = slot(entry) * samples;
        }
        Ok(())
    }
}
