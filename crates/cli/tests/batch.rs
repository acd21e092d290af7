//! `unbraid separate` on folders and on many songs: names, counts, failures and memory.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

mod common;

use std::fs;
use std::path::Path;

use common::*;

#[test]
fn a_folder_keeps_its_structure_and_a_bad_song_does_not_stop_the_others() {
    let (_guard, folder) = temporary();
    song(&folder.join("Music/01. Intro.wav"), 0.3, 44_100);
    song(&folder.join("Music/CD 2/Mr. Brightside.flac"), 0.3, 44_100);
    fs::write(folder.join("Music/broken.mp3"), "no music").unwrap();
    fs::write(folder.join("Music/cover.jpg"), "no music").unwrap();
    song(&folder.join("Music/.trash/old.wav"), 0.3, 44_100);
    song(&folder.join("Music/@eaDir/thumb.wav"), 0.3, 44_100);
    // The stems are inside of the folder of the songs, and are no songs the second time.
    for _ in 0..2 {
        let output = separate(&folder, "Music --out Music/stems --json --force").output().unwrap();
        let text = stderr_text(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("error: 2 of 3 songs separated, 1 failed\n  Music/broken.mp3: "), "{text}");
        assert!(text.contains("not an audio file"), "{text}");
        let report = report(&output);
        let status = |name: &str| {
            let songs = report["songs"].as_array().unwrap();
            songs.iter().find(|song| song["song"] == name).unwrap()["status"].clone()
        };
        assert_eq!(report["songs"].as_array().unwrap().len(), 3, "{report}");
        assert_eq!(status("Music/01. Intro.wav"), "separated");
        assert_eq!(status("Music/CD 2/Mr. Brightside.flac"), "separated");
        assert_eq!(status("Music/broken.mp3"), "failed");
        let mut expected = vec!["Music".into(), "Music/CD 2".into()];
        expected.extend(stems_in("Music/01. Intro"));
        expected.extend(stems_in("Music/CD 2/Mr. Brightside"));
        expected.sort();
        assert_eq!(tree(&folder.join("Music/stems")), expected);
    }
}

#[test]
fn existing_stems_are_kept_skipped_or_replaced() {
    let (_guard, folder) = temporary();
    song(&folder.join("a.wav"), 0.3, 44_100);
    song(&folder.join("b.wav"), 0.3, 44_100);
    let run = |arguments: &str| separate(&folder, arguments).output().unwrap();
    assert!(run("a.wav --stems vocals").status.success());
    let vocals = folder.join("separated/a/vocals.wav");
    fs::write(&vocals, "mine").unwrap();
    let kept = run("a.wav");
    let text = stderr_text(&kept);
    assert!(!kept.status.success() && text.contains("vocals.wav exists\nhelp: `--force`"), "{text}");
    // Only what is missing is written.
    assert!(run("a.wav b.wav --skip-existing").status.success());
    assert_eq!(fs::read(&vocals).unwrap(), b"mine");
    assert_eq!(tree(&folder.join("separated")), [stems_in("a"), stems_in("b")].concat());
    let skipped = run("a.wav b.wav --skip-existing --json");
    assert!(skipped.status.success(), "{}", stderr_text(&skipped));
    assert_eq!(report(&skipped)["songs"][1]["status"], "skipped");
    assert!(run("a.wav --force").status.success());
    assert_ne!(fs::read(&vocals).unwrap(), b"mine");
}

#[test]
fn equal_names_do_not_collide() {
    let (_guard, folder) = temporary();
    song(&folder.join("a/song.wav"), 0.2, 44_100);
    song(&folder.join("b/song.wav"), 0.4, 44_100);
    song(&folder.join("b/song.flac"), 0.3, 44_100);
    let output = separate(&folder, "a/song.wav b/song.wav b/song.flac --stems bass").output().unwrap();
    assert!(output.status.success(), "{}", stderr_text(&output));
    let frames = |name: &str| read(&folder.join("separated").join(name).join("bass.wav")).0[0].len();
    assert_eq!(["song", "song (2)", "song (3)"].map(frames), [8820, 17_640, 13_230]);
}

#[test]
fn a_template_names_the_files() {
    let (_guard, folder) = temporary();
    song(&folder.join("album/song.wav"), 0.2, 44_100);
    let run = |template: &str, more: &str| {
        separate(&folder, more).args(["album/song.wav", "--name", template]).output().unwrap()
    };
    let output = run("{folder}/{song} ({stem})", "--stems bass,vocals");
    assert!(output.status.success(), "{}", stderr_text(&output));
    let expected = ["album", "album/song (bass).wav", "album/song (vocals).wav"];
    assert_eq!(tree(&folder.join("separated")), expected);
    assert!(run("only {song}", "--stems bass --out one").status.success());
    assert_eq!(tree(&folder.join("one")), ["only song.wav"]);
    for (template, fact) in
        [("{song}", "lacks {stem}"), ("../{stem}", "relative"), ("/{stem}", "relative"), ("{x}", "unknown")]
    {
        let output = run(template, "");
        let text = stderr_text(&output);
        assert!(!output.status.success() && text.contains(fact), "{template}: {text}");
    }
}

/// File systems hold names of up to 255 bytes.
#[test]
fn a_name_that_the_target_cannot_hold_is_found_before_the_work() {
    let (_guard, folder) = temporary();
    let long = "x".repeat(245);
    song(&folder.join(format!("{long}.wav")), 0.2, 44_100);
    song(&folder.join("short.wav"), 0.2, 44_100);
    let mut command = separate(&folder, "--json --stems vocals --name");
    let output = command.args(["{song} ({stem})", &format!("{long}.wav"), "short.wav"]).output().unwrap();
    let report = report(&output);
    assert_eq!(
        (output.status.code(), &report["songs"][1]["status"]),
        (Some(1), &"separated".into()),
        "{report}"
    );
    let error = report["songs"][0]["error"].as_str().unwrap();
    assert!(error.contains("cannot hold the name 'xxx"), "{error}");
    assert!(report["songs"][0]["advice"].as_str().unwrap().contains("--name"));
    assert_eq!(tree(&folder.join("separated")), ["short (vocals).wav"]);
}

#[test]
fn no_songs_are_an_error_with_a_whole_report() {
    let (_guard, folder) = temporary();
    fs::create_dir(folder.join("empty")).unwrap();
    for arguments in ["empty", "missing.wav", "missing.wav --model missing", "empty --stems guitar"] {
        let output = separate(&folder, &format!("{arguments} --json")).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let report = report(&output);
        let error = &report["songs"].get(0).map_or(&report["error"], |song| song)["error"];
        assert!(error.is_string(), "{report}");
    }
    assert!(!folder.join("separated").exists());
}

#[test]
fn the_built_in_models_are_listed() {
    let output = program(Path::new("."), "models --json").output().unwrap();
    let models = report(&output);
    let model = &models[0];
    assert_eq!((&model["name"], &model["default"]), (&"default".into(), &true.into()));
    assert_eq!(model["stems"], serde_json::json!(["drums", "bass", "other", "vocals"]));
    assert!(
        model["parameters"].as_u64().unwrap() > 100_000 && model["provenance"]["steps"].as_u64() > Some(0)
    );
    let text = program(Path::new("."), "models").output().unwrap().stdout;
    assert!(String::from_utf8(text).unwrap().starts_with("default (used without `--model`)"));
}

/// The peak of the resident memory of a running program, in bytes, as the system counts it until its end.
#[cfg(target_os = "linux")]
fn peak_memory(mut command: std::process::Command) -> (u64, std::process::Output) {
    let child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output().unwrap()).unwrap());
    let mut peak = 0;
    loop {
        // The kernel keeps the highest value, so that only the last milliseconds may be missed.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak);
        if let Ok(output) = receiver.recv_timeout(std::time::Duration::from_millis(5)) {
            return (peak * 1024, output);
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn fifty_good_and_bad_songs_are_counted_and_memory_stays_flat() {
    let (_guard, folder) = temporary();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).unwrap();
    for few in [true, false] {
        let root = if few { "few" } else { "all" };
        fs::create_dir(folder.join(root)).unwrap();
        for index in 0..if few { 5 } else { 50 } {
            let name = |extension: &str| format!("{root}/{index:02}.{extension}");
            match index % 10 {
                3 => write(&name("mp3"), b""),
                5 => write(&name("mp3"), b"This is a text, and no music at all."),
                7 | 9 => {
                    let path = name("wav");
                    song(&folder.join(&path), 1.0, 44_100);
                    let mut bytes = fs::read(folder.join(&path)).unwrap();
                    if index % 10 == 7 {
                        bytes.truncate(20_000);
                        // Far more than a second is missing.
                        bytes[40..44].copy_from_slice(&10_000_000_u32.to_le_bytes());
                    } else {
                        bytes[20..22].copy_from_slice(&[0x77, 0x77]);
                    }
                    write(&path, &bytes);
                }
                2 => song(&folder.join(name("flac")), 1.0, 48_000),
                _ => song(&folder.join(name("wav")), 1.0, 44_100),
            }
        }
    }
    let run = |root: &str| peak_memory(separate(&folder, &format!("{root} --json")));
    let (few, _) = run("few");
    let (all, output) = run("all");
    let report = report(&output);
    let count = |status: &str| {
        report["songs"].as_array().unwrap().iter().filter(|song| song["status"] == status).count()
    };
    assert_eq!((count("separated"), count("failed"), output.status.code()), (30, 20, Some(1)), "{report}");
    let text = stderr_text(&output);
    assert!(text.contains("error: 30 of 50 songs separated, 20 failed"), "{text}");
    let good = (0..50).filter(|index| ![3, 5, 7, 9].contains(&(index % 10)));
    let mut expected = vec!["all".to_owned()];
    expected.extend(good.flat_map(|index| stems_in(&format!("all/{index:02}"))));
    let written: Vec<_> =
        tree(&folder.join("separated")).into_iter().filter(|f| !f.starts_with("few")).collect();
    assert_eq!(written, expected);
    for file in written.iter().filter(|file| file.ends_with(".wav")) {
        assert_eq!(read(&folder.join("separated").join(file)).0[0].len(), 44_100, "{file}");
    }
    eprintln!("peak memory: {} MiB for 5 songs, {} MiB for 50", few >> 20, all >> 20);
    assert!(all < few + few / 5, "{few} bytes for 5 songs, {all} bytes for 50");
}
