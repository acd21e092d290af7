//! Reads any supported file as stereo at a chosen sample rate.

use std::fs::File;
use std::path::{Path, PathBuf};

use symphonia::core::io::MediaSource;
use unbraid_base::Stereo;

use crate::decoder::Decoder;
use crate::error::{AudioError, Problem};
use crate::formats;
use crate::info::{AudioInfo, RATES};
use crate::notice::{Notice, ReadOptions};
use crate::resample::Resampler;

/// Samples above this, in units of full scale, are refused. Samples below it cannot overflow in later stages.
const MAX_AMPLITUDE: f32 = 1e6;

/// Frames per block on the way to the resampler.
const BLOCK: usize = 16_384;

/// Reads a file from start to end as stereo at one sample rate. Memory does not grow with the file's length.
pub struct AudioReader {
    decoder: Box<dyn Decoder>,
    resampler: Option<Resampler>,
    path: Option<PathBuf>,
    /// Frames that the decoder has output, at the file's rate, from the file's beginning.
    decoded: u64,
    /// Converted frames that have not been returned yet.
    ready: Stereo,
    ended: bool,
}

impl AudioReader {
    /// Opens a file and checks its headers and its first block. `rate` is the sample rate of the output, in Hz.
    ///
    /// Mono is copied to both channels, and more than two channels are mixed down (ITU-R BS.775). Output sample 0 is the
    /// first sample of the song. The length is the file's, times `rate` over the file's rate, rounded.
    ///
    /// # Errors
    /// [`AudioError`] if the file is missing, empty, not audio or damaged, if it lacks more than `options` allow, if it
    /// has channels that cannot be mixed down, if its first samples are not finite, or if its rate or `rate` is outside
    /// 1000 to 384000 Hz.
    pub fn open(path: &Path, rate: u32, options: ReadOptions) -> Result<Self, AudioError> {
        let mut reader = open_file(path)
            .and_then(|file| {
                let extension = path.extension().and_then(|extension| extension.to_str());
                Self::prepare(Box::new(file), extension, rate, options)
            })
            .map_err(|problem| AudioError::new(Some(path), problem))?;
        reader.path = Some(path.to_path_buf());
        Ok(reader)
    }

    /// Like [`open`](Self::open), for a source that is not a file. `extension` is that of the file's name, as a hint.
    ///
    /// # Errors
    /// Those of [`AudioReader::open`]. A source that cannot seek is refused.
    pub fn from_source(
        source: Box<dyn MediaSource>,
        extension: Option<&str>,
        rate: u32,
        options: ReadOptions,
    ) -> Result<Self, AudioError> {
        Self::prepare(source, extension, rate, options).map_err(|problem| AudioError::new(None, problem))
    }

    fn prepare(
        source: Box<dyn MediaSource>,
        extension: Option<&str>,
        rate: u32,
        options: ReadOptions,
    ) -> Result<Self, Problem> {
        if !RATES.contains(&rate) {
            return Err(Problem::SampleRate(rate));
        }
        let decoder = formats::open(source, extension, options)?;
        let own_rate = decoder.info().sample_rate;
        let resampler = (own_rate != rate).then(|| Resampler::new(own_rate, rate));
        Ok(Self { decoder, resampler, path: None, decoded: 0, ready: Stereo::default(), ended: false })
    }

    /// The length in frames at the output rate. `None` if the file does not state it.
    pub fn frames(&self) -> Option<u64> {
        let frames = self.source().frames?;
        Some(self.resampler.as_ref().map_or(frames, |resampler| resampler.length(frames)))
    }

    /// The properties of the file, before conversion.
    pub fn source(&self) -> &AudioInfo {
        self.decoder.info()
    }

    /// The frame of the file that the decoder has reached, at the file's own rate. It is the length of the song when
    /// [`read`](Self::read) has returned fewer frames than it was asked for.
    pub fn decoded(&self) -> u64 {
        self.decoded
    }

    /// What the file lacks and what was assumed about it, so far. It is complete when [`read`](Self::read) has returned
    /// fewer frames than it was asked for.
    pub fn notices(&self) -> &[Notice] {
        self.decoder.notices()
    }

    /// The next `frames` frames. There are fewer only at the end, and none after it.
    ///
    /// # Errors
    /// [`AudioError`] if the file proves to be incomplete or damaged, or if a sample is not finite.
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

    /// Decodes one more block, or ends. `wanted` is the number of frames that the caller asked for.
    fn fill(&mut self, wanted: usize) -> Result<(), Problem> {
        let Some(resampler) = &mut self.resampler else {
            let old = self.ready[0].len();
            let more = self.decoder.read(wanted - old, &mut self.ready)?;
            self.ended = !more;
            check_samples(&self.ready, old, self.decoded, self.decoder.info())?;
            self.decoded += (self.ready[0].len() - old) as u64;
            return Ok(());
        };
        let mut block = Stereo::default();
        let more = self.decoder.read(BLOCK, &mut block)?;
        check_samples(&block, 0, self.decoded, self.decoder.info())?;
        self.decoded += block[0].len() as u64;
        resampler.push(&block, &mut self.ready);
        if !more {
            self.ended = true;
            resampler.finish(&mut self.ready);
        }
        Ok(())
    }

    /// Makes `frame`, at the output rate, the next frame to be read. Call it before the first read.
    ///
    /// # Errors
    /// [`AudioError`] if the file proves to be incomplete or damaged before that frame.
    pub fn seek(&mut self, frame: u64) -> Result<(), AudioError> {
        if self.frames().is_some_and(|frames| frame >= frames) {
            self.ended = true;
            return Ok(());
        }
        let start = self.resampler.as_mut().map_or(frame, |resampler| resampler.seek(frame));
        self.decoded = start;
        self.decoder.seek(start).map_err(|problem| AudioError::new(self.path.as_deref(), problem))
    }
}

/// `frames` frames of a file from frame `start` on, both at `rate`, equal to what [`AudioReader`] reads there.
///
/// The result is shorter at the end of the file, and empty beyond it. Uncompressed samples are read with one seek.
/// Other formats are decoded from shortly before `start`, or from their beginning if a decoder's state needs that (Opus,
/// ADPCM). AAC fills some bands with noise, whose samples depend on where decoding began.
///
/// # Errors
/// Those of [`AudioReader`]. Damage outside of the segment may not be detected.
pub fn read_segment(path: &Path, start: u64, frames: usize, rate: u32) -> Result<Stereo, AudioError> {
    let mut reader = AudioReader::open(path, rate, ReadOptions::COMPLETE)?;
    reader.seek(start)?;
    reader.read(frames)
}

fn open_file(path: &Path) -> Result<File, Problem> {
    let file = File::open(path).map_err(Problem::Open)?;
    if file.metadata().map_err(Problem::Open)?.is_file() { Ok(file) } else { Err(Problem::NotAFile) }
}

/// Refuses samples from index `from` on that are not finite. Sample `from` of the block is frame `frame` of the file.
fn check_samples(block: &Stereo, from: usize, frame: u64, info: &AudioInfo) -> Result<(), Problem> {
    let is_sound = |sample: &f32| sample.abs() <= MAX_AMPLITUDE;
    for channel in block {
        let samples = &channel[from..];
        // No early exit, so that the compiler vectorises the loop.
        if samples.iter().fold(true, |sound, sample| sound & is_sound(sample)) {
            continue;
        }
        let index = samples.iter().position(|sample| !is_sound(sample)).unwrap_or(0);
        let seconds = (frame + index as u64) as f64 / f64::from(info.sample_rate);
        return Err(Problem::NonFinite { seconds });
    }
    Ok(())
}
