//! `unbraid separate` and signals: Ctrl-C, `kill`, `nohup` and `timeout`.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

mod common;

use std::collections::HashSet;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::*;

/// Starts a program, and waits until `runs` programs write the stems of a song into temporary folders in `out`.
fn start_after(mut command: Command, out: &Path, runs: usize) -> Child {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    let writing = || {
        let stems = tree(out).into_iter().filter(|name| name.ends_with(".part"));
        let folders = stems.filter_map(|name| Some(name.split_once('/')?.0.to_owned()));
        folders.collect::<HashSet<_>>().len()
    };
    while writing() < runs {
        assert!(child.try_wait().unwrap().is_none(), "{}", stderr_text(&child.wait_with_output().unwrap()));
        assert!(began.elapsed() < Duration::from_secs(60), "the separation does not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn start(command: Command, out: &Path) -> Child {
    start_after(command, out, 1)
}

fn send(signal: &str, child: &Child) {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// The output of a program that ends within 30 seconds, also on a busy machine.
fn end(mut child: Child) -> Output {
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            panic!("{}", stderr_text(&child.wait_with_output().unwrap()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

/// Whether the program reacts to SIGHUP: on Linux, unless `nohup` started this test.
fn hangup_arrives() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 0)
}

#[test]
fn a_signal_ends_the_work_and_leaves_nothing_behind() {
    let (_guard, folder) = temporary();
    song(&folder.join("long.wav"), 600.0, 8000);
    song(&folder.join("short.wav"), 0.3, 8000);
    let out = folder.join("separated");
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        if signal == "-HUP" && !hangup_arrives() {
            continue;
        }
        let child = start(separate(&folder, "long.wav short.wav --json"), &out);
        send(signal, &child);
        let output = end(child);
        let text = stderr_text(&output);
        assert_eq!(output.status.code(), Some(code), "{text}");
        let report = report(&output);
        assert_eq!(report["interrupted"], true);
        assert_eq!(report["songs"][0]["status"], "unfinished", "{report}");
        assert_eq!(report["songs"][1]["status"], "unfinished", "{report}");
        assert!(!out.exists(), "{:?}", tree(&out));
    }
}

/// `timeout` sends its signal to the program and to its process group, so it arrives twice.
#[test]
fn a_signal_that_arrives_twice_at_once_counts_once() {
    let (_guard, folder) = temporary();
    song(&folder.join("long.wav"), 600.0, 8000);
    let out = folder.join("separated");
    let child = start(separate(&folder, "long.wav"), &out);
    let script = format!("kill -TERM {0}; kill -TERM {0}", child.id());
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    assert_eq!(end(child).status.code(), Some(143));
    assert!(!out.exists());
}

#[test]
fn a_signal_ends_the_wait_for_standard_input() {
    let (_guard, folder) = temporary();
    let mut command = separate(&folder, "- --json");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Nothing is written to it.
    let input = child.stdin.take();
    std::thread::sleep(Duration::from_secs(2));
    send("-TERM", &child);
    let output = end(child);
    drop(input);
    assert_eq!(output.status.code(), Some(143), "{}", stderr_text(&output));
    assert_eq!(report(&output)["interrupted"], true);
}

/// The network computes for several seconds and nothing asks whether it should stop.
#[test]
fn a_second_signal_ends_the_program_at_once() {
    let (_guard, folder) = temporary();
    song(&folder.join("long.wav"), 600.0, 8000);
    let out = folder.join("separated");
    // The first signal ends the program if it comes while the first segments are still being read.
    let interrupted_once = |seconds| {
        let mut child = start(separate(&folder, "long.wav --segment 30"), &out);
        std::thread::sleep(Duration::from_secs(seconds));
        send("-INT", &child);
        std::thread::sleep(Duration::from_millis(400));
        child.try_wait().unwrap().is_none().then_some(child)
    };
    let child = [1, 2, 4].into_iter().find_map(interrupted_once).expect("a run that computes");
    send("-INT", &child);
    let sent = Instant::now();
    let output = end(child);
    assert!(sent.elapsed() < Duration::from_millis(500), "{:?}", sent.elapsed());
    let text = stderr_text(&output);
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("stopping at the next safe point"), "{text}");
    // The next run removes what is left.
    song(&folder.join("short.wav"), 0.3, 8000);
    assert!(separate(&folder, "short.wav").output().unwrap().status.success());
    assert_eq!(tree(&out), stems_in("short"));
}

#[test]
fn the_folder_of_a_killed_run_is_removed_by_the_next() {
    let (_guard, folder) = temporary();
    song(&folder.join("long.wav"), 600.0, 8000);
    song(&folder.join("short.wav"), 0.3, 8000);
    let out = folder.join("separated");
    let mut killed = start(separate(&folder, "long.wav"), &out);
    let running = start_after(separate(&folder, "long.wav"), &out, 2);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(separate(&folder, "short.wav").output().unwrap().status.success());
    let folders = tree(&out).into_iter().filter(|name| name.starts_with(".unbraid-") && !name.contains('/'));
    assert_eq!(folders.count(), 1, "that of the run that works");
    send("-TERM", &running);
    assert_eq!(end(running).status.code(), Some(143));
    assert_eq!(tree(&out), stems_in("short"));
}

#[test]
#[cfg(target_os = "linux")]
fn nohup_keeps_its_meaning() {
    if Command::new("nohup").arg("true").stdin(Stdio::null()).output().is_err() {
        eprintln!("skipped: there is no nohup");
        return;
    }
    let (_guard, folder) = temporary();
    song(&folder.join("song.wav"), 20.0, 8000);
    let mut command = Command::new("nohup");
    command
        .arg(env!("CARGO_BIN_EXE_unbraid"))
        .args(["separate", "song.wav", "--device", "cpu"])
        .current_dir(&folder);
    let child = start(command, &folder.join("separated"));
    send("-HUP", &child);
    let output = child.wait_with_output().unwrap();
    let text = stderr_text(&output);
    assert!(output.status.success() && !text.contains("stopping"), "{text}");
    assert_eq!(tree(&folder.join("separated")), stems_in("song"));
}
