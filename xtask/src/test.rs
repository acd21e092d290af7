//! `cargo xtask test`: runs all tests and counts them.
//!
//! A test that cannot run on this machine is ignored, with its reason. The counts call it skipped.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cargo::{build, cargo, root, say, shown, status, target_folder};
use crate::{install, web};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Install missing programs without asking
    #[arg(long)]
    yes: bool,
}

/// Runs all tests and returns the exit code.
pub(crate) fn test(options: &Options) -> Result<u8> {
    install::for_tests(options.yes);
    let target = target_folder()?;
    let runtime = runtime_folder(&target)?;

    let mut tests = cargo(&["test", "--release", "--workspace", "--no-fail-fast"]);
    tests.env("XDG_RUNTIME_DIR", &runtime);
    if install::has_chromium() {
        let folder = web::folder()?;
        web::build(&folder)?;
        let server = web::Server::bind(&folder, 0)?;
        tests.env("UNBRAID_PAGE", server.url()).env("UNBRAID_PROGRAM", build("unbraid")?);
        tests.env("UNBRAID_SHOTS", target.join("web-tests"));
        thread::spawn(|| server.run());
        // The tests of the page's scripts are not part of the built page.
        let sources = web::Server::bind(&root().join("web"), 0)?;
        tests.env("UNBRAID_SOURCES", sources.url());
        thread::spawn(|| sources.run());
    }
    say("Unit and end-to-end tests (the first run builds burn: about 15 minutes on 2 cores)");
    let mut counts = counted(&mut tests)?;

    let conformance = build("conformance")?;
    say("Conformance of every operation on every device");
    let report = target.join("conformance.json");
    let mut cases = Command::new(conformance);
    cases.arg("run").arg("--json").arg(&report).env("XDG_RUNTIME_DIR", &runtime);
    counts.add(&conformed(&mut cases, &report)?);

    say(&format!("All conformance cases with their errors and bounds: {}", report.display()));
    if counts.skipped() > 0 {
        println!("\nSkipped:\n{}", counts.reasons());
    }
    println!("{counts}");
    Ok(u8::from(counts.failed > 0))
}

/// The folder for sockets that Vulkan's drivers need. A machine without a desktop session does not set it.
fn runtime_folder(target: &Path) -> Result<std::ffi::OsString> {
    if let Some(folder) = std::env::var_os("XDG_RUNTIME_DIR") {
        return Ok(folder);
    }
    let folder = target.join("runtime");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder.into())
}

/// Tests by outcome.
#[derive(Clone, Debug, Default, PartialEq)]
struct Counts {
    passed: usize,
    failed: usize,
    /// How many tests were skipped, by reason.
    skipped: BTreeMap<String, usize>,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped())
    }
}

impl Counts {
    fn skipped(&self) -> usize {
        self.skipped.values().sum()
    }

    fn skip(&mut self, reason: &str, count: usize) {
        if count > 0 {
            *self.skipped.entry(reason.to_owned()).or_default() += count;
        }
    }

    fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        other.skipped.iter().for_each(|(reason, count)| self.skip(reason, *count));
    }

    /// One line for each reason.
    fn reasons(&self) -> String {
        let lines = self.skipped.iter().map(|(reason, count)| format!("  {count}: {reason}"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Counts one failure for a program that failed without a failed test: it did not build, or it crashed.
    fn judged(mut self, success: bool) -> Self {
        if !success && self.failed == 0 {
            self.failed = 1;
        }
        self
    }
}

const NO_REASON: &str = "no reason given";

/// Runs `cargo test`, shows its output as it comes, and adds up its result lines.
fn counted(command: &mut Command) -> Result<Counts> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    let output = child.stdout.take().expect("stdout is piped, above");
    let mut tally = Tally::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read the output of the tests")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.read(&line);
    }
    let status = child.wait().context("cannot wait for the tests")?;
    Ok(tally.total.judged(status.success()))
}

/// Reads the output of Rust's test harness and of libtest-mimic.
#[derive(Default)]
struct Tally {
    total: Counts,
    /// The reasons of the ignored tests since the last result line.
    reasons: Vec<String>,
}

impl Tally {
    fn read(&mut self, line: &str) {
        if let Some(reason) = ignored(line) {
            self.reasons.push(reason);
        } else if let Some((passed, failed, ignored)) = result_line(line) {
            self.total.passed += passed;
            self.total.failed += failed;
            let reasons = std::mem::take(&mut self.reasons);
            self.total.skip(NO_REASON, ignored.saturating_sub(reasons.len()));
            // The result line decides how many there are.
            reasons.iter().take(ignored).for_each(|reason| self.total.skip(reason, 1));
        }
    }
}

/// The reason in `test name ... ignored, reason`, or in libtest-mimic's `test name ... ignored (reason)`.
fn ignored(line: &str) -> Option<String> {
    let (_, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let reason = outcome.strip_prefix("ignored")?;
    let reason = reason
        .strip_prefix(", ")
        .or_else(|| reason.strip_prefix(" (").and_then(|reason| reason.trim_end().strip_suffix(')')));
    Some(reason.unwrap_or(NO_REASON).to_owned())
}

/// The passed, failed and ignored tests of
/// `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s`.
fn result_line(line: &str) -> Option<(usize, usize, usize)> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let of = |word: &str| {
        let mut fields = numbers.split(';').map(str::trim);
        fields.find_map(|field| field.strip_suffix(word)?.trim().parse().ok())
    };
    Some((of("passed")?, of("failed")?, of("ignored")?))
}

/// Runs the conformance program and counts the cases of its report.
fn conformed(command: &mut Command, report: &Path) -> Result<Counts> {
    // The report of an earlier run must not be counted for a run that crashes.
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

/// Adds up the verdicts in a report at any depth: "pass", "fail", or { "skipped": reason }.
fn verdicts(report: &Value) -> Counts {
    let mut counts = Counts::default();
    match report {
        Value::Array(values) => values.iter().for_each(|value| counts.add(&verdicts(value))),
        Value::Object(fields) => match fields.get("verdict") {
            Some(Value::String(verdict)) if verdict == "pass" => counts.passed = 1,
            Some(Value::Object(verdict)) if verdict.contains_key("skipped") => {
                counts.skip(verdict["skipped"].as_str().unwrap_or(NO_REASON), 1);
            }
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

    fn counts(passed: usize, failed: usize, skipped: &[(&str, usize)]) -> Counts {
        let skipped = skipped.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
        Counts { passed, failed, skipped }
    }

    fn read(lines: &[&str]) -> Counts {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.read(line));
        tally.total
    }

    #[test]
    fn result_lines_are_added_up_and_other_lines_are_not() {
        let first =
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.10s";
        let second = "test result: FAILED. 15 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(read(&[first, second]), counts(20, 3, &[(NO_REASON, 1)]));
        assert_eq!(read(&["test tests::five ... ok", "test result: "]), Counts::default());
    }

    #[test]
    fn ignored_tests_of_both_harnesses_are_counted_with_their_reasons() {
        let counted = read(&[
            "test a ... ignored, it takes an hour",
            "test b     ... ignored (no GPU (none found))",
            "test c ... ignored (no GPU (none found))",
            "test d ... ignored",
            "test result: ok. 1 passed; 0 failed; 4 ignored; 0 measured; 0 filtered out; finished in 0.10s",
            // A line that only looks like an ignored test is not counted.
            "test e ... ignored, by nobody",
            "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
        ]);
        let reasons = [("it takes an hour", 1), ("no GPU (none found)", 2), (NO_REASON, 1)];
        assert_eq!(counted, counts(2, 0, &reasons));
        assert_eq!(counted.to_string(), "2 passed, 0 failed, 4 skipped");
        assert_eq!(
            counted.reasons(),
            "  1: it takes an hour\n  2: no GPU (none found)\n  1: no reason given"
        );
    }

    #[test]
    fn a_program_that_fails_without_a_failed_test_is_a_failure() {
        let mut broken = cargo(&["no-such-verb"]);
        assert_eq!(counted(broken.stderr(Stdio::null())).unwrap(), counts(0, 1, &[]));
        assert_eq!(counts(3, 2, &[]).judged(false), counts(3, 2, &[]));
        assert_eq!(counts(3, 0, &[]).judged(true), counts(3, 0, &[]));
    }

    #[test]
    fn verdicts_are_counted_and_an_unknown_one_is_a_failure() {
        let report = json!({ "devices": [{ "name": "cpu" }], "entries": [
            { "case": "a", "verdict": "pass" }, { "case": "b", "verdict": { "skipped": "no adapter" } },
            { "case": "c", "verdict": "fail" }, { "case": "d", "verdict": "new" }, { "case": "e", "verdict": "pass" },
        ]});
        assert_eq!(verdicts(&report), counts(2, 2, &[("no adapter", 1)]));
    }
}
