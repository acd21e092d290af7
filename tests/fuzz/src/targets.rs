//! The parsers.

use std::fmt;
use std::io::Cursor;

use burn::tensor::Device;
use clap::ValueEnum;
use unbraid_audio::{AudioReader, ReadOptions};
use unbraid_model::{ModelConfig, weights};
use unbraid_train::TrainConfig;

use crate::checkpoint;

/// A parser of files from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// Mp3.
    Mp3,
    /// Mp4, m4a and mov.
    Mp4,
    /// Ogg.
    Ogg,
    /// Wav and the other containers of uncompressed audio.
    Wav,
    /// Flac.
    Flac,
    /// Standard MIDI Files.
    Midi,
    /// SoundFonts: sf2 and sf3. Those that are accepted are played.
    #[value(name = "soundfont")]
    SoundFont,
    /// Weights files.
    Weights,
    /// TOML files of training settings and networks.
    Config,
    /// Checkpoints of PyTorch: archives and pickles.
    Checkpoint,
    /// YAML files of other training programs.
    Yaml,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.pad(value.as_ref().map_or("", |value| value.get_name()))
    }
}

impl Target {
    /// Parses `file` as far as possible. Returns whether the parser accepted it.
    pub(crate) fn parse(self, file: &[u8]) -> bool {
        match self {
            Self::Mp3 | Self::Mp4 | Self::Ogg | Self::Wav | Self::Flac => read(file, self),
            Self::Midi => unbraid_synth::try_midi(file).is_ok(),
            Self::SoundFont => unbraid_synth::try_font(file).is_ok(),
            Self::Checkpoint => checkpoint::parse(file),
            Self::Yaml => checkpoint::parse_yaml(file),
            Self::Weights => weights::from_bytes(file, &Device::flex()).is_ok(),
            Self::Config => {
                let text = String::from_utf8_lossy(file);
                let network = ModelConfig::from_toml(&text).is_ok_and(|config| config.validate().is_ok());
                let training = TrainConfig::from_toml(&text).is_ok_and(|config| config.validate().is_ok());
                network || training
            }
        }
    }
}

/// Reads a song to its end, as the page does, or a segment of it, as training does.
fn read(file: &[u8], target: Target) -> bool {
    const RATE: u32 = 44_100;
    const BLOCK: usize = 1 << 14;
    // A damaged header can announce years of silence, and reading them takes time that is not the parser's.
    const MOST_FRAMES: usize = 30 * RATE as usize;
    let options = match file.len() % 3 {
        0 => ReadOptions::COMPLETE,
        1 => ReadOptions::NEARLY_COMPLETE,
        _ => ReadOptions::ANY_LENGTH,
    };
    let extension = (target == Target::Mp3).then_some("mp3");
    let opened = AudioReader::from_source(Box::new(Cursor::new(file.to_vec())), extension, RATE, options);
    let Ok(mut reader) = opened else { return false };
    let announced = reader.frames();
    let starts_later = file.len().is_multiple_of(5);
    if starts_later && reader.seek(announced.unwrap_or(10_000) / 2).is_err() {
        return false;
    }
    let mut frames = 0;
    loop {
        match reader.read(BLOCK) {
            Ok(block) if block[0].is_empty() => break,
            Ok(block) => frames += block[0].len(),
            Err(_) => return false,
        }
        if frames > MOST_FRAMES {
            return true;
        }
    }
    if let Some(announced) = announced
        && !starts_later
    {
        assert_eq!(frames as u64, announced, "the frames that were read are those that were announced");
    }
    true
}
