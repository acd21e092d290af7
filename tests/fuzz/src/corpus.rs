//! Good files, which mutations start from.

mod music;

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use unbraid_audio::{AudioWriter, Format, Stereo};
use unbraid_model::{ModelConfig, weights};

use crate::targets::Target;

/// The files of a target. They are small, because a mutation of a small file changes a larger part of it.
pub(crate) fn files(target: Target) -> Vec<Vec<u8>> {
    let mut files = match target {
        Target::Mp3 => fixtures("audio", &["mp3"]),
        Target::Mp4 => fixtures("audio", &["m4a", "mp4"]),
        Target::Ogg => fixtures("audio", &["ogg", "opus"]),
        Target::Wav => fixtures("audio", &["aiff", "caf", "w64"]),
        Target::Flac => fixtures("audio", &["flac"]),
        Target::Midi => return music::midi(),
        Target::SoundFont => {
            return music::sound_fonts(fixtures("audio", &["ogg"]).first().expect("an ogg file"));
        }
        Target::Checkpoint => fixtures("import", &["ckpt"]),
        Target::Yaml => fixtures("import", &["yaml"]),
        Target::Weights => return vec![network()],
        Target::Config => {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
            return [root.join("train"), root.join("model")]
                .iter()
                .flat_map(|path| folder(path, &["toml"]))
                .collect();
        }
    };
    match target {
        Target::Wav => files.extend([Format::Wav16, Format::Wav24, Format::Wav32f].map(written)),
        Target::Flac => files.push(written(Format::Flac)),
        _ => {}
    }
    assert!(!files.is_empty(), "{target} has good files");
    files
}

fn fixtures(package: &str, extensions: &[&str]) -> Vec<Vec<u8>> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates");
    folder(&crates.join(package).join("tests/fixtures"), extensions)
}

/// The files of a folder in the order of their names, so that a seed gives the same files everywhere.
fn folder(path: &Path, extensions: &[&str]) -> Vec<Vec<u8>> {
    let has_extension = |path: &PathBuf| {
        extensions.iter().any(|wanted| path.extension().is_some_and(|found| found == *wanted))
    };
    let entries = fs::read_dir(path).expect("the folder of the good files");
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a readable folder").path()).filter(has_extension).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a good file")).collect()
}

/// 50 ms of a tone.
fn written(format: Format) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tone");
    let tone = |step: f32| (0..2205).map(|n| 0.3 * (n as f32 * step).sin()).collect::<Vec<f32>>();
    let block: Stereo = [tone(0.05), tone(0.08)];
    let mut writer = AudioWriter::create(&path, format, 44_100).expect("a writable folder");
    writer.write(&block).expect("a valid block");
    writer.finish().expect("a writable disk");
    fs::read(path).expect("the file exists")
}

/// A weights file of a small network.
fn network() -> Vec<u8> {
    let text = "family = 'tfswa_unet'\nname = 'small'\nstems = ['drums', 'vocals']\nsample_rate = 8000\n\
                n_fft = 256\nhop_length = 64\nsubbands = 4\ndims = [8, 8]\ndepths = [1, 1]\nnum_heads = 2\n\
                window_size = [4, 4]\nmlp_ratio = 1\npositional = 'rotary'\n";
    let config = ModelConfig::from_toml(text).expect("a valid configuration");
    config.validate().expect("a valid configuration");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.safetensors");
    weights::save(&path, &config.init(&Device::flex()), &weights::Provenance::default())
        .expect("a writable folder");
    fs::read(path).expect("the file exists")
}
