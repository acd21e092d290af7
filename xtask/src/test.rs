//! Installs what the tests need, runs them all, and counts.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cargo::{build, cargo, root, say, shown, status, target_folder};
use crate::{chromium, mesa, web};

/// Runs every test there is; gives the exit code.
pub(crate) fn test() -> Result<u8> {
    mesa::ensure();
    let chromium = chromium::ensure();
    let target = target_folder()?;
    let runtime = runtime_folder(&target)?;

    let mut tests = cargo(&["test", "--release", "--workspace", "--no-fail-fast"]);
    tests.env("XDG_RUNTIME_DIR", &runtime);
    if chromium {
        let folder = web::folder()?;
        web::build(&folder)?;
        let server = web::Server::bind(&folder, 0)?;
        tests.env("UNBRAID_PAGE", server.url()).env("UNBRAID_PROGRAM", build("unbraid")?);
        tests.env("UNBRAID_SHOTS", target.join("web-tests"));
        thread::spawn(|| server.run());
        // The tests of the page's own scripts, which no built page holds.
        let sources = web::Server::bind(&root().join("web"), 0)?;
        tests.env("UNBRAID_SOURCES", sources.url());
        thread::spawn(|| sources.run());
    }
    say("Unit and end-to-end tests (the first time builds burn: about 15 minutes on 2 cores)");
    let mut counts = counted(&mut tests)?;

    let conformance = build("conformance")?;
    say("Conformance: every operation on every device");
    let report = target.join("conformance.json");
    let mut cases = Command::new(conformance);
    cases.arg("run").arg("--json").arg(&report).env("XDG_RUNTIME_DIR", &runtime);
    counts.add(&conformed(&mut cases, &report)?);

    say(&format!("Every conformance case with its error and bound: {}", report.display()));
    println!("{counts}");
    Ok(u8::from(counts.failed > 0))
}

/// Vulkan's drivers want a folder for their sockets; a machine without a desktop session has none.
fn runtime_folder(target: &Path) -> Result<std::ffi::OsString> {
    if let Some(folder) = std::env::var_os("XDG_RUNTIME_DIR") {
        return Ok(folder);
    }
    let folder = target.join("runtime");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.into())
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// A program that ends badly without a failed test (it does not build, it crashed) is a failure all the same.
    fn judged(mut self, success: bool) -> Self {
        if !success && self.failed == 0 {
            self.failed = 1;
        }
        self
    }
}

/// Runs `cargo test`, shows its output as it comes and adds up its result lines.
fn counted(command: &mut Command) -> Result<Counts> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    let output = child.stdout.take().expect("stdout is piped, above");
    let mut counts = Counts::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read what the tests print")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        if let Some(more) = result_line(&line) {
            counts.add(&more);
        }
    }
    let status = child.wait().context("cannot wait for the tests")?;
    Ok(counts.judged(status.success()))
}

/// `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s`
fn result_line(line: &str) -> Option<Counts> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let of = |word: &str| {
        let mut fields = numbers.split(';').map(str::trim);
        fields.find_map(|field| field.strip_suffix(word)?.trim().parse().ok())
    };
    Some(Counts { passed: of("passed")?, failed: of("failed")?, skipped: of("ignored")? })
}

/// Runs the conformance program and counts the cases of its report.
fn conformed(command: &mut Command, report: &Path) -> Result<Counts> {
    // A report of an earlier run must not be counted for one that broke.
    if report.exists() {
        fs::remove_file(report).with_context(|| format!("cannot remove the old {}", report.display()))?;
    }
    let success = status(command)?.success();
    let counts = match fs::read(report) {
        Ok(bytes) => verdicts(
            &serde_json::from_slice(&bytes).with_context(|| format!("{} is not JSON", report.display()))?,
        ),
        Err(_) => Counts::default(),
    };
    if success && counts.passed == 0 {
        say("The conformance program measured nothing");
        return Ok(counts.judged(false));
    }
    Ok(counts.judged(success))
}

/// Adds up the verdicts of a report, wherever they stand in it: "pass", "fail", or { "skipped": reason }.
fn verdicts(report: &Value) -> Counts {
    let mut counts = Counts::default();
    match report {
        Value::Array(values) => values.iter().for_each(|value| counts.add(&verdicts(value))),
        Value::Object(fields) => match fields.get("verdict") {
            Some(Value::String(verdict)) if verdict == "pass" => counts.passed = 1,
            Some(Value::Object(verdict)) if verdict.contains_key("skipped") => counts.skipped = 1,
            Some(_) => counts.failed = 1,
            None => fields.values().for_each(|value| counts.add(&verdicts(value))),
        },
        _ => {}
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn counts(passed: usize, failed: usize, skipped: usize) -> Counts {
        Counts { passed, failed, skipped }
    }

    #[test]
    fn result_lines_are_read_and_others_are_not() {
        let line =
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.10s";
        assert_eq!(result_line(line), Some(counts(5, 0, 1)));
        let line = "test result: FAILED. 15 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(result_line(line), Some(counts(15, 3, 0)));
        assert_eq!(result_line("test tests::five ... ok"), None);
        assert_eq!(result_line("test result: "), None);
    }

    #[test]
    fn a_program_that_ends_badly_counts_as_a_failure() {
        let mut broken = cargo(&["no-such-verb"]);
        assert_eq!(counted(broken.stderr(Stdio::null())).unwrap(), counts(0, 1, 0));
        assert_eq!(counts(3, 2, 0).judged(false), counts(3, 2, 0));
        assert_eq!(counts(3, 0, 0).judged(true), counts(3, 0, 0));
    }

    #[test]
    fn verdicts_are_counted_and_an_unknown_one_is_a_failure() {
        let report = json!({ "devices": [{ "name": "cpu" }], "entries": [
            { "case": "a", "verdict": "pass" }, { "case": "b", "verdict": { "skipped": "no adapter" } },
            { "case": "c", "verdict": "fail" }, { "case": "d", "verdict": "new" }, { "case": "e", "verdict": "pass" },
        ]});
        assert_eq!(verdicts(&report), counts(2, 2, 1));
    }
}
