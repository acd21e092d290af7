//! What the program does where its surroundings are not as they might be: work is kept, and what cannot end well is
//! refused before it is begun.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use unbraid_audio::{AudioWriter, Format};

fn program(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unbraid"));
    command.args(arguments.split_whitespace()).current_dir(folder);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Trains two steps, and gives the model.
fn train(folder: &Path, stderr: impl Into<Stdio>) -> PathBuf {
    let songs = program(folder, "data synth songs --tracks 3 --seconds 4 --seed 1").output().unwrap();
    assert!(songs.status.success(), "{}", said(&songs));
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

/// As with `| tee` at Ctrl-C, which ends tee too.
#[test]
fn a_run_goes_on_where_nobody_reads_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let model = train(folder.path(), writer);
    assert!(model.is_file());
    assert!(folder.path().join("run/checkpoints/step-000002.safetensors").is_file());
}

/// As with `| head -1`.
#[test]
fn a_result_that_nobody_reads_to_its_end_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = program(Path::new("."), "doctor").stdout(writer).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", said(&output));
}

#[test]
#[cfg(target_os = "linux")]
fn a_result_that_cannot_be_written_is_an_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = program(Path::new("."), "doctor").stdout(full).output().unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("cannot write to standard output"), "{text}");
}

#[test]
fn a_file_is_no_folder_for_stems() {
    let folder = tempfile::tempdir().unwrap();
    song(&folder.path().join("song"));
    let output = program(folder.path(), "separate song --model none --out .").output().unwrap();
    let text = said(&output);
    assert!(!output.status.success() && text.contains("song exists and is no folder"), "{text}");
}

#[test]
#[cfg(unix)]
fn two_names_of_one_folder_do_not_cost_the_first_song_its_stems() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let model = train(folder.path(), Stdio::inherit());
    song(&path("one.wav"));
    song(&path("two.wav"));
    // What upper and lower case are on other systems.
    fs::create_dir_all(path("stems/one")).unwrap();
    std::os::unix::fs::symlink("one", path("stems/two")).unwrap();
    let output = separate(folder.path(), &model, "one.wav two.wav").output().unwrap();
    let text = said(&output);
    assert!(!output.status.success() && text.contains("two.wav was not separated"), "{text}");
    assert!(text.contains("exists: --force"), "{text}");
    assert!(path("stems/one/vocals.wav").is_file());
}

/// A float wav of 5 hours and one channel fits into 4 GiB; its stems, of two, do not.
#[test]
fn a_song_too_long_for_the_format_is_not_begun() {
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
        // Floats, in one channel.
        [3, 0, 1, 0],
        44_100_u32.to_le_bytes(),
        (SECOND as u32).to_le_bytes(),
        // Bytes of a frame, bits of a sample.
        [4, 0, 32, 0],
        *b"data",
        bytes.to_le_bytes(),
    ];
    let mut long = header.as_flattened().to_vec();
    long.resize(long.len() + 2 * SECOND, 0);
    // Where it would end if it were begun.
    long.extend(f32::NAN.to_le_bytes());
    let path = folder.path().join("long.wav");
    fs::write(&path, long).unwrap();
    // The rest is silence, and takes no room on the disk.
    File::options().write(true).open(&path).unwrap().set_len(8 + 36 + u64::from(bytes)).unwrap();
    let output = separate(folder.path(), &model, "long.wav --format wav32f").output().unwrap();
    let text = said(&output);
    assert!(!output.status.success() && text.contains("a wav file holds at most 4 GiB"), "{text}");
    assert!(!folder.path().join("stems").exists());
}

/// Such names are there on Linux alone.
#[test]
#[cfg(target_os = "linux")]
fn a_report_has_songs_whose_names_are_not_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let model = train(folder.path(), Stdio::inherit());
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.wav");
    song(&folder.path().join(name));
    let output = separate(folder.path(), &model, "--json").arg(name).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["songs"][0]["song"], "caf\u{fffd}.wav");
    assert_eq!(report["songs"][0]["stems"].as_array().unwrap().len(), 4);
}
