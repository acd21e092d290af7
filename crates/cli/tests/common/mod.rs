//! What the tests of `unbraid separate` share. Each test file uses a part of it.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use unbraid_audio::{AudioReader, AudioWriter, Format, ReadOptions, Stereo};

pub(crate) const STEMS: [&str; 4] = ["bass", "drums", "other", "vocals"];

pub(crate) fn program(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unbraid"));
    command.args(arguments.split_whitespace()).current_dir(folder);
    command
}

/// `unbraid separate` with the built-in model on the CPU.
pub(crate) fn separate(folder: &Path, arguments: &str) -> Command {
    program(folder, &format!("separate --device cpu {arguments}"))
}

pub(crate) fn stderr_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr_text(output)))
}

/// Invented music: two decaying tones per half second.
pub(crate) fn music(frames: usize, rate: u32) -> Stereo {
    let beat = rate as usize / 2;
    let tone = |n: usize, frequency: f32| {
        let time = (n % beat) as f32 / rate as f32;
        0.2 * (std::f32::consts::TAU * frequency * time).sin() * (-4.0 * time).exp()
    };
    let pitch = |n: usize| 110.0 * (1 + n / beat % 3) as f32;
    [0, 1].map(|side| (0..frames).map(|n| tone(n, pitch(n)) + tone(n, 700.0 + 90.0 * side as f32)).collect())
}

/// Writes `seconds` of invented music. The format follows from the extension.
pub(crate) fn song(path: &Path, seconds: f64, rate: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let flac = path.extension().is_some_and(|extension| extension == "flac");
    let format = if flac { Format::Flac } else { Format::Wav16 };
    let mut writer = AudioWriter::create(path, format, rate).unwrap();
    writer.write(&music((seconds * f64::from(rate)).round() as usize, rate)).unwrap();
    writer.finish().unwrap();
}

/// The samples of a file at its own rate, and the rate.
pub(crate) fn read(path: &Path) -> (Stereo, u32) {
    let open = |rate| AudioReader::open(path, rate, ReadOptions::COMPLETE).unwrap();
    let rate = open(44_100).source().sample_rate;
    (open(rate).read(usize::MAX).unwrap(), rate)
}

/// All files and folders below `folder`, sorted, with `/` between names.
pub(crate) fn tree(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            found.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
            if path.is_dir() {
                walk(&path, root, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

/// The files that `separate` writes into `folder` for all stems.
pub(crate) fn stems_in(folder: &str) -> Vec<String> {
    let mut files = vec![folder.to_owned()];
    files.extend(STEMS.map(|stem| format!("{folder}/{stem}.wav")));
    files
}

pub(crate) fn temporary() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    (folder, path)
}
