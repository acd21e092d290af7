//! Data sets on the command line: Ctrl-C, songs that are made during a run, and the scores of partly known stems.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Output;

use common::{program, report, song, stderr_text, temporary, tree};

fn ran(folder: &Path, arguments: &str) -> Output {
    let output = program(folder, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", stderr_text(&output));
    output
}

/// The signals are sent when the program has begun its work.
#[cfg(target_os = "linux")]
mod interrupts {
    use super::*;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    /// Starts a command and waits until `begun` says that it works. Then presses Ctrl-C.
    fn interrupted(folder: &Path, arguments: &str, begun: impl Fn(&Child) -> bool) -> Output {
        let mut command = program(folder, arguments);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let start = Instant::now();
        while !begun(&child) {
            assert!(start.elapsed() < Duration::from_secs(120), "{arguments}: it does not begin");
            assert!(child.try_wait().unwrap().is_none(), "{arguments}: it ended at once");
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        child.wait_with_output().unwrap()
    }

    #[test]
    fn ctrl_c_leaves_complete_songs_only() {
        let (_guard, folder) = temporary();
        let songs = |folder: &Path| fs::read_dir(folder).map_or(0, Iterator::count);
        let begun = |_: &Child| songs(&folder.join("songs/train")) > 1;
        let output = interrupted(&folder, "data synth songs --tracks 500 --seconds 6", begun);
        let text = stderr_text(&output);
        assert_eq!(output.status.code(), Some(130), "{text}");
        assert!(text.contains("interrupted: ") && text.contains(" of 500 songs are in songs"), "{text}");
        let files = tree(&folder.join("songs"));
        assert!(files.iter().all(|file| !file.contains(".part")), "{files:?}");
        let complete = songs(&folder.join("songs/train"));
        assert!((1..400).contains(&complete), "{complete}");
        assert_eq!(files.len(), 2 + 6 * complete);
    }

    #[test]
    fn ctrl_c_ends_a_check_without_a_result() {
        let (_guard, folder) = temporary();
        for stem in ["drums", "bass", "other", "vocals"] {
            song(&folder.join(format!("songs/train/long/{stem}.flac")), 300.0, 44_100);
        }
        // A file of a song is open.
        let begun = |child: &Child| {
            let files = fs::read_dir(format!("/proc/{}/fd", child.id())).into_iter().flatten().flatten();
            let mut paths = files.filter_map(|file| fs::read_link(file.path()).ok());
            paths.any(|path| path.to_string_lossy().ends_with(".flac"))
        };
        let output = interrupted(&folder, "data check songs --json", begun);
        let text = stderr_text(&output);
        assert_eq!(output.status.code(), Some(130), "{text}");
        assert!(
            text.contains("interrupted: the check is not complete") && output.stdout.is_empty(),
            "{text}"
        );
    }
}

/// A run on songs that are made is resumed from another folder, with the same songs.
#[test]
fn a_run_makes_its_songs() {
    let (_guard, folder) = temporary();
    let settings = "--model tfswa_unet_tiny --segment 0.5 --batch-size 1 --schedule constant --log-interval 1 \
                    --validation-seconds 1";
    let recipe = "synth:?seconds=2&validation=1&excerpts=2";
    let output =
        ran(&folder, &format!("train --device cpu --out whole --steps 3 --data {recipe} {settings}"));
    let text = stderr_text(&output);
    assert!(text.contains("100 % of the excerpts are of songs that are made: synth:?"), "{text}");
    assert!(text.contains("song 1 of 1: synth 1") && text.contains("validation at step 3"), "{text}");
    ran(&folder, &format!("train --device cpu --out parts --steps 2 --data {recipe} {settings}"));
    let away = folder.join("away");
    fs::create_dir(&away).unwrap();
    ran(&away, "train --device cpu --out ../parts --resume --steps 3");
    let losses = |run: &str| {
        let metrics = fs::read_to_string(folder.join(run).join("metrics.jsonl")).unwrap();
        let lines = metrics.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter(|line| line["kind"] == "step").map(|line| line["loss"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!((losses("whole").len(), losses("whole")), (3, losses("parts")));

    for (data, reason) in [
        ("synth:?second=2", "it has no option \"second\"; its options are seconds, excerpts, validation"),
        ("tape:", "songs can be made by synth: and midi:, not by tape:"),
        ("midi:nowhere?soundfont=x.sf2", "there is no folder or file nowhere"),
    ] {
        let arguments = format!("train --device cpu --out new --data {data} {settings}");
        let output = program(&folder, &arguments).output().unwrap();
        let text = stderr_text(&output);
        assert!(!output.status.success() && text.contains(reason), "{text}");
        assert!(!folder.join("new").exists());
    }
}

/// Two data sets, one of them with the sum of two stems and another name of the vocals.
#[test]
fn models_are_scored_on_partly_known_stems() {
    let (_guard, folder) = temporary();
    for file in ["a/test/x/drums", "a/test/x/bass+other", "a/test/x/voice"] {
        song(&folder.join(format!("{file}.wav")), 2.0, 44_100);
    }
    for stem in ["drums", "bass", "other"] {
        song(&folder.join(format!("b/test/y/{stem}.wav")), 2.0, 44_100);
    }
    let evaluate = "evaluate --device cpu --model default --data a --data b";
    let output = program(&folder, evaluate).output().unwrap();
    let text = stderr_text(&output);
    assert!(!output.status.success() && text.contains("has no stem vocals"), "{text}");

    let options = "--stems-map voice=vocals --missing-stems silent";
    let scores = report(&ran(&folder, &format!("{evaluate} {options} --json")));
    let stems: Vec<&String> = scores["stems"].as_object().unwrap().keys().collect();
    assert_eq!(stems, ["bass", "bass+other", "drums", "other", "vocals"]);
    let of = |song: usize| {
        let songs = &scores["songs"][song];
        let names = songs["stems"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        (songs["name"].as_str().unwrap().to_owned(), names.join(" "))
    };
    assert_eq!(of(0), ("x".into(), "bass+other drums vocals".into()));
    assert_eq!(of(1), ("y".into(), "bass drums other".into()));
    let usdr = |stem: &str| scores["stems"][stem]["usdr"].as_f64().unwrap();
    let mean = ["bass", "drums", "other", "vocals"].map(usdr).iter().sum::<f64>() / 4.0;
    assert!((scores["usdr"].as_f64().unwrap() - mean).abs() < 1e-9);
    let table = ran(&folder, &format!("{evaluate} {options}"));
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    let header: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["dB", "bass", "bass+other", "drums", "other", "vocals", "average"]);
    assert!(table.contains("a+b: the sum of two estimates"), "{table}");
}
