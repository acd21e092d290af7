//! Runs that go on: from another working directory, after their end, without their settings, beside other processes.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use unbraid_audio::{AudioWriter, Format};

const SETTINGS: &str =
    "--data songs --model tfswa_unet_tiny --segment 0.5 --batch-size 1 --validation-interval 0";

fn program(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unbraid"));
    command.args(arguments.split_whitespace()).current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs the program. Returns whether it succeeded, and what it wrote to standard error.
fn ran(folder: &Path, arguments: &str) -> (bool, String) {
    let Output { status, stderr, .. } = program(folder, arguments).output().unwrap();
    (status.success(), String::from_utf8_lossy(&stderr).into_owned())
}

fn succeeds(folder: &Path, arguments: &str) -> String {
    let (succeeded, text) = ran(folder, arguments);
    assert!(succeeded, "{text}");
    text
}

fn fails(folder: &Path, arguments: &str) -> String {
    let (succeeded, text) = ran(folder, arguments);
    assert!(!succeeded, "{text}");
    text
}

#[test]
fn a_run_goes_on_from_another_folder_and_after_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let away = home.join("away");
    fs::create_dir(&away).unwrap();
    succeeds(home, "data synth songs --tracks 3 --seconds 4 --seed 1");
    let text = succeeds(home, &format!("train --device cpu --out run --steps 1 {SETTINGS}"));
    assert!(text.contains("done: 1 step in"), "{text}");
    let text = succeeds(&away, "train --device cpu --out ../run --resume --steps 2");
    assert!(text.contains("done: 2 steps in"), "{text}");
    let text = succeeds(&away, "train --device cpu --out ../run --resume");
    assert!(text.contains("complete already, after 2 steps") && text.contains("`--steps` above 2"), "{text}");
    let text = fails(&away, "train --device cpu --out ../new --data songs --model tfswa_unet_tiny");
    assert!(
        text.lines().any(|line| line.contains("no folder songs in ") && line.ends_with("away")),
        "{text}"
    );

    // Without its settings, the run needs them from elsewhere.
    fs::rename(home.join("run/config.toml"), home.join("kept.toml")).unwrap();
    let text = fails(home, "train --device cpu --out run --resume");
    assert!(
        text.contains("settings (config.toml) are missing") && text.contains("--resume --config"),
        "{text}"
    );
    let text = succeeds(home, "train --device cpu --out run --resume --config kept.toml --steps 3");
    assert!(text.contains("resuming after step 2"), "{text}");
}

#[test]
fn a_second_process_is_refused_and_a_killed_one_leaves_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    succeeds(home, "data synth songs --tracks 3 --seconds 4 --seed 1");
    let train = format!("train --device cpu --out run --steps 100000 --checkpoint-interval 1 {SETTINGS}");
    let mut first = program(home, &train).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let has_checkpoint = || {
        let entries = fs::read_dir(home.join("run/checkpoints")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with("step-"))
    };
    while !has_checkpoint() {
        assert!(first.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(120));
        std::thread::sleep(Duration::from_millis(50));
    }
    let text = fails(home, "train --device cpu --out run --resume");
    assert!(text.contains("error: another process is training the run in run\nhelp: Wait"), "{text}");
    first.kill().unwrap();
    first.wait().unwrap();
    succeeds(home, "train --device cpu --out run --resume --steps 1");
}

/// An instrumental in the test set, between folders of other programs.
#[test]
fn an_evaluation_tells_silent_stems_apart() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    succeeds(home, "data synth songs --tracks 3 --seconds 4 --seed 1");
    succeeds(home, &format!("train --device cpu --out run --steps 1 {SETTINGS}"));
    let song = fs::read_dir(home.join("songs/test")).unwrap().next().unwrap().unwrap().path();
    let mut writer = AudioWriter::create(&song.join("vocals.wav"), Format::Wav16, 44_100).unwrap();
    writer.write(&[vec![0.0; 4 * 44_100], vec![0.0; 4 * 44_100]]).unwrap();
    writer.finish().unwrap();
    fs::create_dir(home.join("songs/test/@eaDir")).unwrap();
    let evaluate = "evaluate --device cpu --data songs --model run/model.safetensors";
    let Output { status, stdout, stderr } = program(home, evaluate).arg("--json").output().unwrap();
    let notices = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{notices}");
    assert!(
        notices.contains("hold no song: @eaDir") && notices.contains("scoring 1 song (0.1 min)"),
        "{notices}"
    );
    let scores: serde_json::Value = serde_json::from_slice(&stdout).unwrap();
    let mean = ["bass", "drums", "other"].map(|stem| scores["stems"][stem]["usdr"].as_f64().unwrap());
    let mean = mean.iter().sum::<f64>() / 3.0;
    assert!((scores["usdr"].as_f64().unwrap() - mean).abs() < 1e-9, "{scores}");
    assert!(scores["stems"].get("vocals").is_none(), "{scores}");
    assert!(
        scores["silent"]["vocals"]["leak"].is_f64() && scores["silent"]["vocals"]["songs"] == 1,
        "{scores}"
    );
    let Output { stdout, .. } = program(home, evaluate).output().unwrap();
    let table = String::from_utf8_lossy(&stdout);
    assert!(table.contains("vocals is silent in every song and has no score; leak "), "{table}");
}
