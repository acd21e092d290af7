//! `unbraid separate` with pipes: songs from standard input, stems to standard output, progress without a terminal.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

mod common;

use std::fs::{self, File};
use std::process::Stdio;

use common::*;

#[test]
fn a_song_from_standard_input_gives_the_stems_of_the_file() {
    let (_guard, folder) = temporary();
    song(&folder.join("song.flac"), 0.5, 48_000);
    assert!(separate(&folder, "song.flac").output().unwrap().status.success());
    let mut cat = std::process::Command::new("cat")
        .arg(folder.join("song.flac"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = separate(&folder, "-").stdin(cat.stdout.take().unwrap()).output().unwrap();
    cat.wait().unwrap();
    assert!(output.status.success(), "{}", stderr_text(&output));
    for stem in STEMS {
        let bytes = |song: &str| fs::read(folder.join(format!("separated/{song}/{stem}.wav"))).unwrap();
        assert!(bytes("stdin") == bytes("song"), "{stem}");
    }
}

#[test]
#[cfg(unix)]
fn named_pipes_and_redirected_files_are_songs() {
    let (_guard, folder) = temporary();
    song(&folder.join("song.wav"), 0.3, 44_100);
    let shell = |script: &str| {
        let unbraid = format!("{} separate --device cpu", env!("CARGO_BIN_EXE_unbraid"));
        let script = script.replace("unbraid", &unbraid);
        let output =
            std::process::Command::new("sh").args(["-c", &script]).current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{script}: {}", stderr_text(&output));
    };
    shell("mkfifo pipe.wav && { cat song.wav > pipe.wav & unbraid pipe.wav; }");
    assert_eq!(tree(&folder.join("separated")), stems_in("pipe"));
    shell("cat song.wav | unbraid /dev/stdin --out devices");
    shell("unbraid /dev/stdin --out redirected < song.wav");
    assert_eq!(tree(&folder.join("devices")), stems_in("stdin"));
    assert_eq!(tree(&folder.join("redirected")), stems_in("stdin"));
}

#[test]
fn endless_nonsense_on_standard_input_is_refused() {
    let (_guard, folder) = temporary();
    let mut yes = std::process::Command::new("yes").stdout(Stdio::piped()).spawn().unwrap();
    let output = separate(&folder, "-").stdin(yes.stdout.take().unwrap()).output().unwrap();
    yes.wait().unwrap();
    let text = stderr_text(&output);
    assert!(output.status.code() == Some(1) && text.contains("not an audio file"), "{text}");
}

#[test]
fn one_stem_goes_to_standard_output() {
    let (_guard, folder) = temporary();
    song(&folder.join("song.wav"), 0.5, 44_100);
    assert!(separate(&folder, "song.wav --stems bass").output().unwrap().status.success());
    let output = separate(&folder, "song.wav --stems bass --out -").output().unwrap();
    assert!(output.status.success(), "{}", stderr_text(&output));
    assert!(output.stdout == fs::read(folder.join("separated/song/bass.wav")).unwrap());
    for (arguments, fact) in [
        ("song.wav --out -", "one stem, not 4"),
        ("song.wav --two-stems bass --out -", "one stem, not 2"),
        ("song.wav other.wav --stems bass --out -", "one song, not 2"),
        ("song.wav --stems bass --out - --json", "both a stem and the report"),
    ] {
        let output = separate(&folder, arguments).output().unwrap();
        assert!(!output.status.success() && stderr_text(&output).contains(fact), "{}", stderr_text(&output));
    }
    // Nobody reads the stem.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let closed = separate(&folder, "song.wav --stems bass --out -").stdout(writer).output().unwrap();
    assert!(closed.status.success(), "{}", stderr_text(&closed));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_leaves_no_half_stem() {
    let (_guard, folder) = temporary();
    song(&folder.join("song.wav"), 0.5, 44_100);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = separate(&folder, "song.wav --stems bass --out -").stdout(full).output().unwrap();
    let text = stderr_text(&output);
    assert!(output.status.code() == Some(1) && text.contains("standard output"), "{text}");
}

#[test]
fn progress_is_plain_lines_without_a_terminal() {
    let (_guard, folder) = temporary();
    // A name can contain characters that control a terminal.
    let name = if cfg!(unix) { "a\u{1b}[2Jb.wav" } else { "ab.wav" };
    // The slowest part is the network, so that a minute takes several seconds.
    song(&folder.join(name), 60.0, 8000);
    let began = std::time::Instant::now();
    let output = separate(&folder, "--stems bass").arg(name).output().unwrap();
    assert!(output.status.success(), "{}", stderr_text(&output));
    let text = stderr_text(&output);
    let lines: Vec<_> = text.lines().filter(|line| line.ends_with(" %")).collect();
    // One per 10 %, or per 10 s on a slow machine.
    let most = 10 + began.elapsed().as_secs() as usize / 10;
    assert!(!lines.is_empty() && lines.len() <= most, "{text}");
    assert!(text.lines().all(|line| !line.contains(|c: char| c.is_control())), "{text:?}");
}

#[test]
fn quiet_prints_errors_only() {
    let (_guard, folder) = temporary();
    song(&folder.join("song.wav"), 0.3, 44_100);
    let output = separate(&folder, "song.wav --quiet").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty() && output.stdout.is_empty());
    let output = separate(&folder, "song.wav --quiet").output().unwrap();
    assert!(stderr_text(&output).starts_with("error: "), "{}", stderr_text(&output));
}
