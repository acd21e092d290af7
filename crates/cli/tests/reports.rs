//! `unbraid report` and `unbraid evaluate` of files.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

mod common;

use common::{program, report, song, stderr_text, temporary};
use std::fs;
use std::path::Path;

/// A run that was cut off in its second step, after a loss that was not finite.
fn run(folder: &Path, name: &str, learning_rate: f64) {
    let run = folder.join(name);
    fs::create_dir_all(&run).unwrap();
    let config =
        format!("run = \"{name}\"\ndata = \"gone\"\nmodel = \"<a & b>\"\nlearning_rate = {learning_rate}\n");
    fs::write(run.join("config.toml"), config).unwrap();
    let step = |step: u64, loss: &str| {
        format!(
            "{{\"kind\":\"step\",\"step\":{step},\"steps\":9,\"progress\":0.1,\"loss\":{loss},\"loss_l1\":{loss},\
             \"gradient_norm\":1.5,\"updated\":true,\"learning_rate\":0.001,\"speed\":2.0,\"memory\":1000,\
             \"memory_peak\":2000,\"elapsed\":7.0}}\n"
        )
    };
    let metrics = format!("{}{}{{\"kind\":\"st", step(1, "2.5"), step(2, "null"));
    fs::write(run.join("metrics.jsonl"), metrics).unwrap();
}

#[test]
fn a_run_that_was_cut_off_has_a_page_of_its_own() {
    let (_guard, folder) = temporary();
    run(&folder, "first", 0.25);
    let output = program(&folder, "report first --device cpu").output().unwrap();
    assert!(output.status.success(), "{}", stderr_text(&output));
    let page = fs::read_to_string(folder.join("first/report.html")).unwrap();
    for expected in [
        "1 line of metrics.jsonl cannot be read",
        "not at its end: step 2 of 9",
        "no validation yet",
        "There are no excerpts: there is no exported model yet",
        "&lt;a &amp; b&gt;",
        "<td>0.25</td>",
        "1 of the logged values are not finite",
        "<svg",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    for forbidden in ["<script", "http", "NaN", "<a & b>"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }

    run(&folder, "second", 0.5);
    fs::write(folder.join("second/metrics.jsonl"), "").unwrap();
    let output = program(&folder, "report first second --no-excerpts --out both.html").output().unwrap();
    assert!(output.status.success(), "{}", stderr_text(&output));
    let page = fs::read_to_string(folder.join("both.html")).unwrap();
    assert!(page.contains("<td>0.25</td><td>0.5</td>") && page.contains("no step is logged yet"));
    assert!(!folder.join("second/report.html").exists());

    let output = program(&folder, "report third --no-excerpts").output().unwrap();
    assert!(!output.status.success() && stderr_text(&output).contains("third holds no run"));
}

#[test]
fn files_of_any_system_are_scored() {
    let (_guard, folder) = temporary();
    for file in
        ["true/a/drums.wav", "true/a/bass.wav", "made/a/drums.flac", "true/b/drums.wav", "made/b/drums.wav"]
    {
        song(&folder.join(file), 2.0, 8000);
    }
    let evaluate = |more: &str| {
        let command = format!("evaluate --reference-dir true --estimate-dir made {more}");
        program(&folder, &command).output().unwrap()
    };
    let output = evaluate("");
    let error = stderr_text(&output);
    assert!(
        !output.status.success() && error.contains("has no stem bass") && error.contains("--stems"),
        "{error}"
    );
    let scores = report(&evaluate("--stems drums --csv scores.csv --json"));
    assert_eq!(scores["songs"].as_array().unwrap().len(), 2);
    assert!(scores["stems"]["drums"]["usdr"].as_f64().unwrap() > 60.0, "{scores}");
    assert_eq!(scores["statistics"]["stems"]["drums"]["usdr"]["songs"], 2);
    let csv = fs::read_to_string(folder.join("scores.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3, "{csv}");
    let output = evaluate("--stems drums");
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains("95 % confidence interval"), "{table}");
    let output = program(&folder, "evaluate --reference-dir true --data x --model default").output().unwrap();
    assert!(!output.status.success() && stderr_text(&output).contains("cannot be used with"));
}
