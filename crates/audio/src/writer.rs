//! Writes stereo to a file that appears under its name complete or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use unbraid_base::Stereo;
use unbraid_base::file::WholeFile;

use crate::error::{AudioError, Problem};
use crate::flac::FlacWriter;
use crate::format::Format;
use crate::mp3_writer::Mp3Writer;
use crate::opus_writer::OpusWriter;
use crate::tags::Tags;

/// What a file becomes.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// The format.
    pub format: Format,
    /// Sample rate of the samples in Hz.
    pub rate: u32,
    /// Clips samples beyond full scale even if the format can hold them.
    pub clip: bool,
    /// Tags of the file.
    pub tags: Tags,
}

impl WriteOptions {
    /// A file without tags, which clips only if its format requires it.
    pub fn new(format: Format, rate: u32) -> Self {
        Self { format, rate, clip: false, tags: Tags::default() }
    }
}

type Out = BufWriter<File>;

enum Encoder {
    Wav(hound::WavWriter<Out>),
    Flac(Box<FlacWriter<Out>>),
    Mp3(Box<Mp3Writer<Out>>),
    Opus(Box<OpusWriter<Out>>),
}

/// Writes stereo to a temporary file in the target's folder. [`finish`](Self::finish) gives it the target's name.
/// A writer that is dropped before that removes its file.
pub struct AudioWriter {
    encoder: Encoder,
    file: WholeFile,
    path: PathBuf,
    format: Format,
    rate: u32,
    clip: bool,
    /// An ID3v2 tag that follows the samples of a wav.
    trailer: Vec<u8>,
    frames: u64,
    clipped: u64,
}

impl AudioWriter {
    /// Starts a file at `rate` Hz. An existing file of that name stays until `finish` replaces it.
    ///
    /// # Errors
    /// [`Problem::Write`] if the folder is missing or cannot be written to. [`Problem::FormatRate`] for a rate that
    /// the format cannot hold.
    pub fn create(path: &Path, format: Format, rate: u32) -> Result<Self, AudioError> {
        Self::with_options(path, &WriteOptions::new(format, rate))
    }

    /// Like [`create`](Self::create), with tags and a choice of clipping.
    ///
    /// # Errors
    /// Those of [`create`](Self::create).
    pub fn with_options(path: &Path, options: &WriteOptions) -> Result<Self, AudioError> {
        Self::start(path, options).map_err(|problem| AudioError::new(Some(path), problem))
    }

    fn start(path: &Path, options: &WriteOptions) -> Result<Self, Problem> {
        let &WriteOptions { format, rate, clip, ref tags } = options;
        format.check_rate(rate)?;
        let file = WholeFile::create(path).map_err(Problem::Write)?;
        let mut out = BufWriter::with_capacity(1 << 16, file.handle().map_err(Problem::Write)?);
        let mut trailer = Vec::new();
        let encoder = match format {
            Format::Flac | Format::Flac16 => {
                let bits = format.bits().unwrap_or(24);
                let flac = FlacWriter::new(out, rate, bits, &tags.comments(), tags.picture(false));
                Encoder::Flac(Box::new(flac.map_err(Problem::Write)?))
            }
            Format::Wav16 | Format::Wav24 | Format::Wav32f => {
                let (bits_per_sample, sample_format) = match format.bits() {
                    Some(bits) => (bits as u16, hound::SampleFormat::Int),
                    None => (32, hound::SampleFormat::Float),
                };
                trailer = tags.id3v2().map_err(Problem::Write)?;
                let spec = hound::WavSpec { channels: 2, sample_rate: rate, bits_per_sample, sample_format };
                Encoder::Wav(hound::WavWriter::new(out, spec).map_err(wav_error)?)
            }
            Format::Mp3 => {
                let tag = tags.id3v2().map_err(Problem::Write)?;
                out.write_all(&tag).map_err(Problem::Write)?;
                Encoder::Mp3(Box::new(Mp3Writer::new(out, rate).map_err(Problem::Write)?))
            }
            Format::Opus => {
                let mut comments = tags.comments();
                if let Some(picture) = tags.picture(true) {
                    let picture = String::from_utf8_lossy(&picture).into_owned();
                    comments.push(("METADATA_BLOCK_PICTURE".to_owned(), picture));
                }
                let opus = OpusWriter::new(out, rate, &comments).map_err(Problem::Write)?;
                Encoder::Opus(Box::new(opus))
            }
        };
        let path = path.to_path_buf();
        let clip = clip || !format.exceeds_full_scale();
        Ok(Self { encoder, file, path, format, rate, clip, trailer, frames: 0, clipped: 0 })
    }

    /// Appends a block of any length.
    ///
    /// Integer formats round to the nearest value. All formats but [`Format::Wav32f`] clip at full scale.
    ///
    /// # Errors
    /// [`Problem::NonFinite`] for a sample that is NaN or infinite. [`Problem::TooLong`] beyond the 4 GiB of a wav.
    /// [`Problem::Write`] if the system refuses, for example because the disk is full.
    ///
    /// # Panics
    /// If the channels differ in length.
    pub fn write(&mut self, block: &Stereo) -> Result<(), AudioError> {
        self.append(block).map_err(|problem| AudioError::new(Some(&self.path), problem))
    }

    fn append(&mut self, block: &Stereo) -> Result<(), Problem> {
        let [left, right] = block;
        assert_eq!(left.len(), right.len(), "both channels have the same length");
        for channel in block {
            if let Some(index) = channel.iter().position(|sample| !sample.is_finite()) {
                let seconds = (self.frames + index as u64) as f64 / f64::from(self.rate);
                return Err(Problem::NonFinite { seconds });
            }
        }
        self.frames += left.len() as u64;
        self.format.check_length(self.frames)?;
        let loud = |sample: &f32| sample.abs() > 1.0;
        let clipped: Stereo;
        let mut block = block;
        if self.clip && block.iter().flatten().any(loud) {
            self.clipped += block.iter().flatten().filter(|sample| loud(sample)).count() as u64;
            clipped = block.each_ref().map(|channel| channel.iter().map(|x| x.clamp(-1.0, 1.0)).collect());
            block = &clipped;
        }
        let interleaved = block[0].iter().zip(&block[1]).flat_map(|(&left, &right)| [left, right]);
        let scale = self.format.bits().map_or(0.0, |bits| f64::from(1 << (bits - 1)));
        let quantised = interleaved
            .clone()
            .map(|sample| (f64::from(sample) * scale).round().clamp(-scale, scale - 1.0) as i32);
        match &mut self.encoder {
            Encoder::Flac(flac) => flac.write(quantised).map_err(Problem::Write),
            Encoder::Mp3(mp3) => mp3.write(&interleaved.collect::<Vec<_>>()).map_err(Problem::Write),
            Encoder::Opus(opus) => opus.write(block).map_err(Problem::Write),
            Encoder::Wav(wav) => match self.format.bits() {
                None => interleaved.into_iter().try_for_each(|sample| wav.write_sample(sample)),
                Some(_) => quantised.into_iter().try_for_each(|sample| wav.write_sample(sample)),
            }
            .map_err(wav_error),
        }
    }

    /// Completes the file, syncs it to disk and gives it its name. Returns the number of clipped samples, summed over
    /// both channels.
    ///
    /// # Errors
    /// [`Problem::Write`]. Then an existing file of that name is unchanged.
    pub fn finish(self) -> Result<u64, AudioError> {
        let Self { encoder, file, path, trailer, clipped, .. } = self;
        let done = match encoder {
            Encoder::Wav(wav) => wav
                .finalize()
                .map_err(wav_error)
                .and_then(|()| append_chunk(&file, &trailer).map_err(Problem::Write)),
            Encoder::Flac(flac) => flac.finish().map(drop).map_err(Problem::Write),
            Encoder::Mp3(mp3) => mp3.finish().map(drop).map_err(Problem::Write),
            Encoder::Opus(opus) => opus.finish().map(drop).map_err(Problem::Write),
        };
        done.and_then(|()| file.commit().map_err(Problem::Write))
            .map_err(|problem| AudioError::new(Some(&path), problem))?;
        Ok(clipped)
    }
}

/// Appends an ID3v2 tag to a complete wav as a chunk, and counts it in the size of the file.
fn append_chunk(file: &WholeFile, tag: &[u8]) -> io::Result<()> {
    if tag.is_empty() {
        return Ok(());
    }
    let mut file = file.handle()?;
    let end = file.seek(SeekFrom::End(0))?;
    // A chunk has an even length.
    let mut chunk = [b"id3 ", &(tag.len() as u32).to_le_bytes()[..], tag].concat();
    chunk.resize(chunk.len().next_multiple_of(2), 0);
    file.write_all(&chunk)?;
    file.seek(SeekFrom::Start(4))?;
    file.write_all(&((end + chunk.len() as u64 - 8) as u32).to_le_bytes())
}

fn wav_error(error: hound::Error) -> Problem {
    Problem::Write(match error {
        hound::Error::IoError(error) => error,
        error => io::Error::other(error),
    })
}

#[cfg(test)]
mod tests {
    use super::{AudioWriter, Format};
    use crate::error::Problem;

    #[test]
    fn a_wav_beyond_4_gib_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let block = [vec![0.0; 100], vec![0.0; 100]];
        for (name, format) in Format::ALL {
            let path = folder.path().join(name);
            let mut writer = AudioWriter::create(&path, format, 44_100).expect("a writable folder");
            let is_wav = format.extension() == "wav";
            // Pretends that 4 GiB less the space for tags and a few frames have been written.
            let frame_bytes = 2 * u64::from(format.bits().unwrap_or(32) / 8);
            writer.frames = ((1 << 32) - (8 << 20)) / frame_bytes - 60;
            let result = writer.write(&block).map_err(|error| error.problem);
            assert_eq!(matches!(result, Err(Problem::TooLong(_))), is_wav, "{name}: {result:?}");
            // A damaged header may state such a length.
            assert_eq!(format.check_length(u64::MAX).is_err(), is_wav, "{name}");
        }
    }
}
