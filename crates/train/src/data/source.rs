//! A file of a data set, or one track of a file that holds several.

use crate::data::error::DataError;
use std::fmt;
use std::path::{Path, PathBuf};
use unbraid_audio::{AudioError, AudioReader, ReadOptions};
use unbraid_base::Stereo;

/// The rate of most music, in Hz.
const USUAL_RATE: u32 = 44_100;

/// A file, or one audio track of an mp4 file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// The track, counted from 0. `None` for a file with one track.
    pub track: Option<usize>,
}

impl Source {
    /// The only track of a file.
    pub(crate) fn file(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), track: None }
    }

    /// Opens it for reading at `rate`.
    pub(crate) fn open(&self, rate: u32) -> Result<AudioReader, AudioError> {
        AudioReader::open(&self.path, rate, ReadOptions::COMPLETE.of_track(self.track))
    }

    /// Opens it for reading at its own rate, which is also returned.
    pub(crate) fn open_at_own_rate(&self) -> Result<(AudioReader, u32), AudioError> {
        let reader = self.open(USUAL_RATE)?;
        let rate = reader.source().sample_rate;
        Ok((if rate == USUAL_RATE { reader } else { self.open(rate)? }, rate))
    }

    /// `samples` from sample `start` on. Beyond the end there is silence.
    pub(crate) fn read(&self, start: u64, samples: usize, rate: u32) -> Result<Stereo, DataError> {
        let mut reader = self.open(rate)?;
        reader.seek(start)?;
        read_padded(&mut reader, samples)
    }

    /// Its name relative to the folder `root`, with `#TRACK` after the name of a file with several tracks.
    pub(crate) fn name(&self, root: &Path) -> String {
        let path = self.path.strip_prefix(root).unwrap_or(&self.path).display();
        self.track.map_or_else(|| path.to_string(), |track| format!("{path}#{track}"))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name(Path::new("")))
    }
}

/// The next `frames` samples of a reader. Beyond its end there is silence.
pub(crate) fn read_padded(reader: &mut AudioReader, frames: usize) -> Result<Stereo, DataError> {
    let mut audio = reader.read(frames)?;
    for channel in &mut audio {
        channel.resize(frames, 0.0);
    }
    Ok(audio)
}

/// Adds `other` to `sum`.
pub(crate) fn add(sum: &mut Stereo, other: &Stereo) {
    for (sum, other) in sum.iter_mut().zip(other) {
        for (sum, other) in sum.iter_mut().zip(other) {
            *sum += other;
        }
    }
}
