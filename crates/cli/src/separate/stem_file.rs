//! The file of a stem while it is made, and what becomes of samples beyond full scale.

use std::path::Path;

use anyhow::bail;
use clap::ValueEnum;
use unbraid_audio::{AudioError, AudioWriter, Format, Spool, Stereo, WriteOptions};

use crate::advice::advised;
use crate::interrupt;

/// What becomes of samples beyond full scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Peaks {
    /// They are clipped and counted.
    Clip,
    /// All stems of a song are lowered by the same factor, so that the loudest sample is at full scale.
    Rescale,
    /// They are kept.
    #[value(name = "none")]
    Keep,
}

impl Peaks {
    /// The choice for a format. By default, stems have the level of the song: clipping is rare and is counted, while
    /// another level would be a surprise in a mix.
    pub(super) fn for_format(choice: Option<Self>, format: Format) -> anyhow::Result<Self> {
        let keeps = format.exceeds_full_scale();
        match choice {
            None => Ok(if keeps { Self::Keep } else { Self::Clip }),
            Some(Self::Keep) if !keeps => {
                let advice = "`--format wav32f` keeps them, `--clip rescale` lowers all stems, and `--clip clip` clips.";
                Err(advised(format_args!("{format} cannot hold samples beyond full scale"), advice))
            }
            Some(choice) => Ok(choice),
        }
    }
}

/// A file that gets its stem's name when it is complete.
pub(super) enum StemFile {
    /// The samples are written as they come.
    Direct(AudioWriter),
    /// The samples wait for their factor, which is known at the end of the song.
    Waiting { spool: Spool, path: std::path::PathBuf, options: WriteOptions },
}

impl StemFile {
    pub(super) fn create(path: &Path, options: WriteOptions, clip: Peaks) -> Result<Self, AudioError> {
        let options = WriteOptions { clip: clip == Peaks::Clip, ..options };
        if clip != Peaks::Rescale {
            return Ok(Self::Direct(AudioWriter::with_options(path, &options)?));
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        Ok(Self::Waiting { spool: Spool::create(folder)?, path: path.to_owned(), options })
    }

    pub(super) fn write(&mut self, block: &Stereo) -> Result<(), AudioError> {
        match self {
            Self::Direct(writer) => writer.write(block),
            Self::Waiting { spool, .. } => spool.write(block),
        }
    }
}

/// The result of all stems of a song.
pub(super) struct Finished {
    /// Clipped samples, per stem.
    pub(super) clipped: Vec<u64>,
    /// The gain of all stems in dB, if they are rescaled.
    pub(super) gain_db: Option<f64>,
}

/// Completes the files of all stems of a song.
pub(super) fn finish(files: Vec<StemFile>) -> anyhow::Result<Finished> {
    let peaks = files.iter().filter_map(|file| match file {
        StemFile::Direct(_) => None,
        StemFile::Waiting { spool, .. } => Some(spool.peak()),
    });
    // Stems below full scale keep their level.
    let divisor = peaks.fold(None, |loudest: Option<f32>, peak| Some(loudest.unwrap_or(1.0).max(peak)));
    let mut clipped = Vec::new();
    for file in files {
        clipped.push(match file {
            StemFile::Direct(writer) => writer.finish()?,
            StemFile::Waiting { spool, path, options } => {
                let mut writer = AudioWriter::with_options(&path, &options)?;
                if !spool.copy_to(&mut writer, divisor.unwrap_or(1.0), interrupt::requested)? {
                    bail!("interrupted");
                }
                writer.finish()?
            }
        });
    }
    Ok(Finished { clipped, gain_db: divisor.map(|divisor| -20.0 * f64::from(divisor).log10() + 0.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_cannot_keep_loud_samples() {
        for (name, format) in Format::ALL {
            let chosen = |clip| Peaks::for_format(clip, format);
            let keeps = format == Format::Wav32f;
            assert_eq!(chosen(None).unwrap(), if keeps { Peaks::Keep } else { Peaks::Clip }, "{name}");
            assert_eq!(chosen(Some(Peaks::Keep)).is_ok(), keeps, "{name}");
            assert_eq!(chosen(Some(Peaks::Rescale)).unwrap(), Peaks::Rescale, "{name}");
        }
    }

    #[test]
    fn stems_keep_their_balance_when_they_are_rescaled() {
        let folder = tempfile::tempdir().unwrap();
        let stem = |value: f32| [vec![value; 100], vec![-value; 100]];
        for (loud, gain) in [(4.0f32, -12.041), (0.5, 0.0)] {
            let mut files: Vec<StemFile> = ["a", "b"]
                .map(|name| {
                    let options = WriteOptions::new(Format::Wav32f, 44_100);
                    StemFile::create(&folder.path().join(name), options, Peaks::Rescale).unwrap()
                })
                .into();
            files[0].write(&stem(loud)).unwrap();
            files[1].write(&stem(0.25)).unwrap();
            let Finished { clipped, gain_db } = finish(files).unwrap();
            assert_eq!(clipped, [0, 0]);
            assert!((gain_db.unwrap() - gain).abs() < 1e-3, "{gain_db:?}");
            let read = |name| {
                let path = folder.path().join(name);
                let options = unbraid_audio::ReadOptions::COMPLETE;
                unbraid_audio::AudioReader::open(&path, 44_100, options).unwrap().read(1).unwrap()[0][0]
            };
            assert_eq!((read("a"), read("b")), (loud.min(1.0), 0.25 / loud.max(1.0)));
        }
    }
}
