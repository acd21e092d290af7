//! `--shard`: processes that divide the songs among themselves.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

use common::*;

/// Two albums with songs of the same name, and one file.
fn songs(folder: &Path) {
    for name in ["Music/a/one.wav", "Music/a/two.wav", "Music/b/one.wav", "one.wav", "more/one.wav"] {
        song(&folder.join(name), 0.2, 44_100);
    }
}

const SONGS: &str = "Music one.wav more/one.wav --stems bass";

/// The song of every status in a report.
fn by_status(output: &Output) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::<_, Vec<String>>::new();
    for song in report(output)["songs"].as_array().unwrap() {
        let text = |key: &str| song[key].as_str().unwrap().to_owned();
        found.entry(text("status")).or_default().push(text("song"));
    }
    found
}

/// The parts run at the same time, as the tasks of an array do. Their folder does not exist before.
#[test]
fn the_parts_together_are_the_whole() {
    let (_guard, folder) = temporary();
    songs(&folder);
    assert!(separate(&folder, &format!("{SONGS} --out whole")).output().unwrap().status.success());
    let start = |part| {
        let arguments = format!("{SONGS} --out parts --json --shard {part}/3");
        let mut command = separate(&folder, &arguments);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let children = [1, 2, 3].map(start);
    let mut separated = Vec::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr_text(&output));
        let by_status = by_status(&output);
        assert_eq!(by_status.keys().collect::<Vec<_>>(), ["separated"]);
        separated.push(by_status["separated"].clone());
    }
    // The songs are dealt in their order.
    let expected = [
        vec!["Music/a/one.wav", "one.wav"],
        vec!["Music/a/two.wav", "more/one.wav"],
        vec!["Music/b/one.wav"],
    ];
    assert_eq!(separated, expected);
    // Songs of the same name in different parts do not collide, and get the names that one process gives them.
    let whole = tree(&folder.join("whole"));
    assert!(whole.contains(&"one (2)/bass.wav".to_owned()), "{whole:?}");
    assert_eq!(tree(&folder.join("parts")), whole);
    for file in whole.iter().filter(|file| file.ends_with(".wav")) {
        let bytes = |out: &str| fs::read(folder.join(out).join(file)).unwrap();
        assert!(bytes("whole") == bytes("parts"), "{file}");
    }
}

/// A part is the same whichever stems exist, so that a task may be repeated.
#[test]
fn a_part_does_not_depend_on_what_exists() {
    let (_guard, folder) = temporary();
    songs(&folder);
    let run =
        |more: &str| separate(&folder, &format!("{SONGS} --out Music/stems --json {more}")).output().unwrap();
    assert!(run("--shard 2/2").status.success());
    let again = run("--shard 2/2 --skip-existing");
    let skipped = by_status(&again);
    assert_eq!(skipped.keys().collect::<Vec<_>>(), ["skipped"]);
    let rest = run("--shard 1/2 --skip-existing");
    assert_eq!(by_status(&rest)["separated"].len() + skipped["skipped"].len(), 5);
    let all = run("--skip-existing");
    assert_eq!(by_status(&all)["skipped"].len(), 5, "{}", stderr_text(&all));
    // Without --skip-existing, only the stems of the own part are in the way.
    fs::remove_dir_all(folder.join("Music/stems/Music/a/one")).unwrap();
    let third = run("--shard 1/5");
    assert!(third.status.success(), "{}", stderr_text(&third));
}

#[test]
fn a_part_may_be_empty_and_a_wrong_one_is_refused() {
    let (_guard, folder) = temporary();
    songs(&folder);
    let output = separate(&folder, &format!("{SONGS} --json --shard 9/9")).output().unwrap();
    let text = stderr_text(&output);
    assert!(output.status.success() && text.contains("part 9 of 9: 0 of 5 songs"), "{text}");
    assert_eq!(report(&output)["songs"], serde_json::json!([]));
    for (part, reason) in [
        ("0/4", "counted from 1: 1/4 is the first, and 4/4 the last"),
        ("5/4", "counted from 1: 1/4 is the first, and 4/4 the last"),
        ("a/b", "must be K/N"),
        ("1/0", "at least one part"),
    ] {
        let output = separate(&folder, &format!("one.wav --shard {part}")).output().unwrap();
        let text = stderr_text(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("--shard <K/N>") && text.contains(reason), "{text}");
    }
    let output = separate(&folder, "one.wav --stems bass --out - --shard 1/2").output().unwrap();
    assert!(!output.status.success() && stderr_text(&output).contains("--shard"));
}

#[test]
fn an_evaluation_scores_its_part() {
    let (_guard, folder) = temporary();
    for (index, name) in ["a", "b", "c"].iter().enumerate() {
        for stem in STEMS {
            song(&folder.join(format!("set/test/{name}/{stem}.wav")), 1.1 + 0.1 * index as f64, 44_100);
        }
    }
    let run = |part: &str| {
        let arguments = format!("evaluate --device cpu --model default --data set --json --shard {part}");
        program(&folder, &arguments).output().unwrap()
    };
    let names = |part: &str| -> Vec<String> {
        let output = run(part);
        assert!(output.status.success(), "{}", stderr_text(&output));
        let report = report(&output);
        let songs = report["songs"].as_array().unwrap().iter();
        songs.map(|song| song["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((names("1/2"), names("2/2")), (vec!["a".into(), "c".into()], vec!["b".to_owned()]));
    let text = stderr_text(&run("4/4"));
    assert!(text.contains("nothing to score: part 4 of 4: 0 of 3 songs"), "{text}");
}
