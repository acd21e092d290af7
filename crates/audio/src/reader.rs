//! Any supported file as stereo at the rate that is asked for.

use std::fs::File;
use std::path::{Path, PathBuf};

use symphonia::core::io::MediaSource;

use crate::coded::Coded;
use crate::container::{Container, identify};
use crate::resample::Resampler;
use crate::wav::{self, WavDecoder};
use crate::{AudioError, Problem, Stereo};

/// Sample rates worth reading: from telephones to converters at eight times the usual rate.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;

/// Samples beyond this, in units of full scale, are no audio; nothing below can overflow on its way.
const MAX_AMPLITUDE: f32 = 1e6;

/// What a file holds, before conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioInfo {
    /// Container and codec, such as `wav` or `m4a (aac)`.
    pub format: &'static str,
    /// Samples of a channel in a second.
    pub sample_rate: u32,
    /// 1 or 2.
    pub channels: usize,
    /// Frames (samples of one channel) at the file's own rate, where the file tells.
    pub frames: Option<u64>,
}

enum Decoder {
    Wav(WavDecoder),
    Coded(Box<Coded>),
}

/// Reads a file from end to end as stereo at one sample rate. Memory does not grow with the file's length.
pub struct AudioReader {
    decoder: Decoder,
    info: AudioInfo,
    resampler: Option<Resampler>,
    path: Option<PathBuf>,
    /// Frames that the decoder has given, at the file's rate, from the file's beginning.
    decoded: u64,
    /// Frames that are ready to be given out.
    ready: Stereo,
    ended: bool,
}

impl AudioReader {
    /// Opens a file and checks what can be checked before decoding it.
    ///
    /// Mono is given on both channels. Output sample 0 is the first sample of the song, and the length is the
    /// file's, times `rate` over its own rate, rounded.
    ///
    /// # Errors
    /// [`AudioError`] for a file that is missing, empty, no audio, cut short, damaged, of more than two channels,
    /// of a rate outside 1000 to 384000 Hz (or such a `rate`), or that begins with samples that are not finite.
    pub fn open(path: &Path, rate: u32) -> Result<Self, AudioError> {
        let mut reader = open_file(path)
            .and_then(|file| {
                let extension = path.extension().and_then(|extension| extension.to_str());
                Self::prepare(Box::new(file), extension, rate)
            })
            .map_err(|problem| AudioError::new(Some(path), problem))?;
        reader.path = Some(path.to_path_buf());
        Ok(reader)
    }

    /// The same from bytes that are not a file, such as a page's. `extension`: of the file's name, a hint.
    ///
    /// # Errors
    /// As for [`AudioReader::open`]; a source that cannot seek is refused.
    pub fn from_source(
        source: Box<dyn MediaSource>,
        extension: Option<&str>,
        rate: u32,
    ) -> Result<Self, AudioError> {
        Self::prepare(source, extension, rate).map_err(|problem| AudioError::new(None, problem))
    }

    fn prepare(
        mut source: Box<dyn MediaSource>,
        extension: Option<&str>,
        rate: u32,
    ) -> Result<Self, Problem> {
        if !RATES.contains(&rate) {
            return Err(Problem::SampleRate(rate));
        }
        let length = match source.byte_len() {
            Some(length) if source.is_seekable() => length,
            _ => return Err(Problem::NotAFile),
        };
        if length == 0 {
            return Err(Problem::Empty);
        }
        let (container, start) = identify(&mut *source, length, extension)?;
        let uncompressed =
            if container == Container::Wav { wav::parse(&mut *source, start, length)? } else { None };
        let decoder = match uncompressed {
            Some(layout) => Decoder::Wav(WavDecoder::new(source, layout)),
            None => Decoder::Coded(Box::new(Coded::open(container, source, start, length)?)),
        };
        let info = match &decoder {
            Decoder::Wav(wav) => wav.info(),
            Decoder::Coded(coded) => coded.info(),
        };
        let resampler = (info.sample_rate != rate).then(|| Resampler::new(info.sample_rate, rate));
        let ready = Stereo::default();
        Ok(Self { decoder, info, resampler, path: None, decoded: 0, ready, ended: false })
    }

    /// The length in frames at the rate that was asked for, where the file tells.
    pub fn frames(&self) -> Option<u64> {
        let frames = self.info.frames?;
        Some(self.resampler.as_ref().map_or(frames, |resampler| resampler.length(frames)))
    }

    /// What the file holds, before conversion.
    pub fn source(&self) -> &AudioInfo {
        &self.info
    }

    /// The next `frames` frames; fewer only at the end, none after it.
    ///
    /// # Errors
    /// [`AudioError`] where the file turns out to be cut short or damaged, or a sample is not finite.
    pub fn read(&mut self, frames: usize) -> Result<Stereo, AudioError> {
        while self.ready[0].len() < frames && !self.ended {
            self.fill(frames).map_err(|problem| AudioError::new(self.path.as_deref(), problem))?;
        }
        let count = frames.min(self.ready[0].len());
        Ok(self.ready.each_mut().map(|ready| {
            let rest = ready.split_off(count);
            std::mem::replace(ready, rest)
        }))
    }

    /// Decodes a block more, or ends. `wanted`: the frames that are asked for.
    fn fill(&mut self, wanted: usize) -> Result<(), Problem> {
        let Some(resampler) = &mut self.resampler else {
            let old = self.ready[0].len();
            let more = match &mut self.decoder {
                // As much as is wanted in one read: training reads segments.
                Decoder::Wav(wav) => wav.read(wanted - old, &mut self.ready)?,
                Decoder::Coded(coded) => coded.read_block(&mut self.ready)?,
            };
            self.ended = !more;
            check_samples(&self.ready, old, self.decoded, &self.info)?;
            self.decoded += (self.ready[0].len() - old) as u64;
            return Ok(());
        };
        let mut block = Stereo::default();
        let more = match &mut self.decoder {
            Decoder::Wav(wav) => wav.read_block(&mut block)?,
            Decoder::Coded(coded) => coded.read_block(&mut block)?,
        };
        check_samples(&block, 0, self.decoded, &self.info)?;
        self.decoded += block[0].len() as u64;
        resampler.push(&block, &mut self.ready);
        if !more {
            self.ended = true;
            resampler.finish(&mut self.ready);
        }
        Ok(())
    }

    /// Makes `frame`, at the rate that was asked for, the next to be read. Call before reading.
    ///
    /// # Errors
    /// [`AudioError`] where the file turns out to be cut short or damaged on the way there.
    pub fn seek(&mut self, frame: u64) -> Result<(), AudioError> {
        if self.frames().is_some_and(|frames| frame >= frames) {
            self.ended = true;
            return Ok(());
        }
        let start = self.resampler.as_mut().map_or(frame, |resampler| resampler.seek(frame));
        self.decoded = start;
        match &mut self.decoder {
            Decoder::Wav(wav) => {
                wav.seek(start);
                Ok(())
            }
            Decoder::Coded(coded) => {
                coded.seek(start).map_err(|problem| AudioError::new(self.path.as_deref(), problem))
            }
        }
    }
}

/// `frames` frames of a file from frame `start` on, both at `rate`: what [`AudioReader`] would give there.
///
/// Fewer frames than asked come back where the file ends, none from beyond its end. Uncompressed wav is read with
/// one seek; flac, aiff, mp3 and m4a are entered near `start`; an ogg is decoded from its beginning. (AAC fills
/// some bands with noise, whose samples depend on where decoding began.)
///
/// # Errors
/// As for [`AudioReader`], but for damage outside the segment.
pub fn read_segment(path: &Path, start: u64, frames: usize, rate: u32) -> Result<Stereo, AudioError> {
    let mut reader = AudioReader::open(path, rate)?;
    reader.seek(start)?;
    reader.read(frames)
}

fn open_file(path: &Path) -> Result<File, Problem> {
    let file = File::open(path).map_err(Problem::Open)?;
    if file.metadata().map_err(Problem::Open)?.is_file() { Ok(file) } else { Err(Problem::NotAFile) }
}

/// Refuses headers that promise what cannot be worked with.
pub(crate) fn check_layout(channels: usize, sample_rate: u32) -> Result<(), Problem> {
    match channels {
        0 => Err(Problem::header("it has no channels")),
        1 | 2 if RATES.contains(&sample_rate) => Ok(()),
        1 | 2 => Err(Problem::SampleRate(sample_rate)),
        _ => Err(Problem::Channels(channels)),
    }
}

/// Refuses samples from index `from` on that are not finite; the block's sample `from` is frame `frame` of the file.
fn check_samples(block: &Stereo, from: usize, frame: u64, info: &AudioInfo) -> Result<(), Problem> {
    let is_sound = |sample: &f32| sample.abs() <= MAX_AMPLITUDE;
    for channel in block {
        let samples = &channel[from..];
        // Without an early exit the loop runs on vectors.
        if samples.iter().fold(true, |sound, sample| sound & is_sound(sample)) {
            continue;
        }
        let index = samples.iter().position(|sample| !is_sound(sample)).unwrap_or(0);
        let seconds = (frame + index as u64) as f64 / f64::from(info.sample_rate);
        return Err(Problem::NonFinite { seconds });
    }
    Ok(())
}
