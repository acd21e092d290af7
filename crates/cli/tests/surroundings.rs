//! Checks the program in difficult surroundings: it loses no work, and it refuses work that cannot succeed before it
//! starts.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use unbraid_audio::{AudioWriter, Format};

fn program(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unbraid"));
    command.args(arguments.split_whitespace()).current_dir(folder);
    command
}

fn stderr_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Trains two steps and returns the model.
fn train(folder: &Path, stderr: impl Into<Stdio>) -> PathBuf {
    let songs = program(folder, "data synth songs --tracks 3 --seconds 4 --seed 1").output().unwrap();
    assert!(songs.status.success(), "{}", stderr_text(&songs));
    let run = "train --data songs --out run --model tfswa_unet_tiny --device cpu --steps 2";
    let flags = "--segment 0.5 --batch-size 1 --validation-interval 0";
    let status = program(folder, &format!("{run} {flags}")).stderr(stderr).status().unwrap();
    assert!(status.success(), "{status}");
    folder.join("run/model.safetensors")
}

fn separate(folder: &Path, model: &Path, flags: &str) -> Command {
    let mut command = program(folder, "separate --device cpu --out stems --model");
    command.arg(model).args(flags.split_whitespace());
    command
}

/// A second of a square wave.
fn song(path: &Path) {
    let wave: Vec<f32> = (0..44_100).map(|n| if n % 100 < 50 { 0.25 } else { -0.25 }).collect();
    let mut writer = AudioWriter::create(path, Format::Wav16, 44_100).unwrap();
    writer.write(&[wave.clone(), wave]).unwrap();
    writer.finish().unwrap();
}

/// Happens with `| tee`: Ctrl-C ends tee too.
#[test]
fn a_run_continues_when_nobody_reads_its_notices() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let model = train(folder.path(), writer);
    assert!(model.is_file());
    assert!(folder.path().join("run/checkpoints/step-000002.safetensors").is_file());
}

/// Happens with `| head -1`.
#[test]
fn a_reader_that_stops_early_is_not_an_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = program(Path::new("."), "doctor").stdout(writer).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr_text(&output));
}

#[test]
#[cfg(target_os = "linux")]
fn a_result_that_cannot_be_written_is_an_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = program(Path::new("."), "doctor").stdout(full).output().unwrap();
    let text = stderr_text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("cannot write to standard output"), "{text}");
}

#[test]
fn a_file_with_the_name_of_the_stems_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    song(&folder.path().join("song"));
    let output = program(folder.path(), "separate song --model none --out .").output().unwrap();
    let text = stderr_text(&output);
    assert!(
        !output.status.success() && text.contains("song exists and is not a folder\nhelp: `--out DIR`"),
        "{text}"
    );
}

#[test]
#[cfg(unix)]
fn two_names_of_one_folder_do_not_overwrite_the_stems_of_the_first_song() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let model = train(folder.path(), Stdio::inherit());
    song(&path("one.wav"));
    song(&path("two.wav"));
    // Other systems have such names: they ignore upper and lower case.
    fs::create_dir_all(path("stems/one")).unwrap();
    std::os::unix::fs::symlink("one", path("stems/two")).unwrap();
    let output = separate(folder.path(), &model, "one.wav two.wav").output().unwrap();
    let text = stderr_text(&output);
    assert!(!output.status.success() && text.contains("two.wav was not separated"), "{text}");
    assert!(text.contains("exists\nhelp: `--force`"), "{text}");
    assert!(path("stems/one/vocals.wav").is_file());
}

/// A float wav of 5 hours with one channel fits into 4 GiB. Its stems have two channels and do not.
#[test]
fn a_song_too_long_for_the_format_is_refused() {
    const SECOND: usize = 4 * 44_100;
    let folder = tempfile::tempdir().unwrap();
    let model = train(folder.path(), Stdio::inherit());
    let bytes = 3_u32 << 30;
    let header = [
        *b"RIFF",
        (bytes + 36).to_le_bytes(),
        *b"WAVE",
        *b"fmt ",
        16_u32.to_le_bytes(),
        // Floats, one channel.
        [3, 0, 1, 0],
        44_100_u32.to_le_bytes(),
        (SECOND as u32).to_le_bytes(),
        // Bytes per frame, bits per sample.
        [4, 0, 32, 0],
        *b"data",
        bytes.to_le_bytes(),
    ];
    let mut long = header.as_flattened().to_vec();
    long.resize(long.len() + 2 * SECOND, 0);
    // The separation would fail here if it were started.
    long.extend(f32::NAN.to_le_bytes());
    let path = folder.path().join("long.wav");
    fs::write(&path, long).unwrap();
    // The rest is silence, which needs no space on the disk.
    File::options().write(true).open(&path).unwrap().set_len(8 + 36 + u64::from(bytes)).unwrap();
    let output = separate(folder.path(), &model, "long.wav --format wav32f").output().unwrap();
    let text = stderr_text(&output);
    assert!(
        !output.status.success() && text.contains("4 GiB") && text.contains("help: `--format flac`"),
        "{text}"
    );
    assert!(!folder.path().join("stems").exists());
}

/// Only Linux allows such names.
#[test]
#[cfg(target_os = "linux")]
fn a_report_includes_songs_whose_names_are_not_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let model = train(folder.path(), Stdio::inherit());
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.wav");
    song(&folder.path().join(name));
    let output = separate(folder.path(), &model, "--json").arg(name).output().unwrap();
    assert!(output.status.success(), "{}", stderr_text(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["songs"][0]["song"], "caf\u{fffd}.wav");
    assert_eq!(report["songs"][0]["stems"].as_array().unwrap().len(), 4);
}
