//! Checks the program in difficult surroundings: it loses no work, and it refuses work that cannot succeed before it
//! starts.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

mod common;

use std::fs::{self, File};
use std::path::Path;

use common::*;

/// Happens with `| tee`: Ctrl-C ends tee too.
#[test]
fn a_run_continues_when_nobody_reads_its_notices() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let songs = program(folder.path(), "data synth songs --tracks 3 --seconds 4 --seed 1").output().unwrap();
    assert!(songs.status.success(), "{}", stderr_text(&songs));
    let run = "train --data songs --out run --model tfswa_unet_tiny --device cpu --steps 2";
    let flags = "--segment 0.5 --batch-size 1 --validation-interval 0";
    let status = program(folder.path(), &format!("{run} {flags}")).stderr(writer).status().unwrap();
    assert!(status.success(), "{status}");
    assert!(folder.path().join("run/model.safetensors").is_file());
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
    song(&folder.path().join("song"), 1.0, 44_100);
    let output = separate(folder.path(), "song --out .").output().unwrap();
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
    song(&path("one.wav"), 1.0, 44_100);
    song(&path("two.wav"), 1.0, 44_100);
    // Other systems have such names: they ignore upper and lower case.
    fs::create_dir_all(path("stems/one")).unwrap();
    std::os::unix::fs::symlink("one", path("stems/two")).unwrap();
    let output = separate(folder.path(), "one.wav two.wav --out stems").output().unwrap();
    let text = stderr_text(&output);
    assert!(!output.status.success() && text.contains("  two.wav: stems/two/"), "{text}");
    assert!(text.contains("exists\n    help: `--force`"), "{text}");
    assert!(path("stems/one/vocals.wav").is_file());
}

/// A float wav of 5 hours with one channel fits into 4 GiB. Its stems have two channels and do not.
#[test]
fn a_song_too_long_for_the_format_is_refused() {
    const SECOND: usize = 4 * 44_100;
    let folder = tempfile::tempdir().unwrap();
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
    let output = separate(folder.path(), "long.wav --format wav32f --out stems").output().unwrap();
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
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.wav");
    song(&folder.path().join(name), 1.0, 44_100);
    let output = separate(folder.path(), "--json").arg(name).output().unwrap();
    assert!(output.status.success(), "{}", stderr_text(&output));
    let report = report(&output);
    assert_eq!(report["songs"][0]["song"], "caf\u{fffd}.wav");
    assert_eq!(report["songs"][0]["stems"].as_array().unwrap().len(), 4);
}
