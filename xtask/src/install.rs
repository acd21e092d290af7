//! Installs programs that tests need, after listing them and asking.
//!
//! Nothing is installed without agreement: `--yes`, `CI=true` in the environment, or an answer on the terminal. The
//! tests whose programs are missing are reported as ignored.

mod apt;
mod chromium;
mod ffmpeg;
mod mesa;
mod need;

use std::io::{IsTerminal, Write};

use crate::cargo::{in_ci, say};
use apt::Admin;
use need::{Missing, Need};

pub(crate) use chromium::is_installed as has_chromium;

/// Offers what the tests need: a Vulkan driver for the GPU cases, Chromium for the page, and ffmpeg for its decoders.
pub(crate) fn for_tests(yes: bool) {
    offer([mesa::missing(), chromium::missing(), ffmpeg::missing()], yes);
}

/// Offers Chromium alone.
pub(crate) fn for_the_page() {
    offer([chromium::missing()], false);
}

fn offer<const N: usize>(missing: [Option<Missing>; N], yes: bool) {
    let mut needs = Vec::new();
    for missing in missing.into_iter().flatten() {
        match missing {
            Missing::ByHand(how) => say(&how),
            Missing::ByApt(need) => needs.push(need),
        }
    }
    if needs.is_empty() {
        return;
    }
    say(&listing(&needs));
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    match agreement(yes || in_ci(), terminal, ask) {
        Agreement::Yes => needs.iter().for_each(|need| install(need, terminal)),
        Agreement::No => say("Nothing is installed. The tests that need these programs will be ignored."),
        Agreement::NobodyToAsk => say(
            "Nothing is installed, because there is no terminal to ask on; `cargo xtask test --yes` installs \
             without asking. The tests that need these programs will be ignored.",
        ),
    }
}

/// The programs that would be installed, and all other changes to this machine.
fn listing(needs: &[Need]) -> String {
    let mut text =
        "Some tests need programs that this machine lacks. Installing them means, as root:".to_owned();
    for need in needs {
        text += &format!("\n  for {}:", need.tests);
        for change in &need.changes {
            text += &format!("\n    {change}");
        }
    }
    text
}

#[derive(Debug, PartialEq)]
enum Agreement {
    Yes,
    No,
    NobodyToAsk,
}

fn agreement(given: bool, terminal: bool, ask: impl FnOnce() -> bool) -> Agreement {
    match (given, terminal) {
        (true, _) => Agreement::Yes,
        (false, false) => Agreement::NobodyToAsk,
        (false, true) if ask() => Agreement::Yes,
        (false, true) => Agreement::No,
    }
}

/// Asks on the terminal. Any answer except a yes is a no.
fn ask() -> bool {
    eprint!("Install them? [y/N] ");
    std::io::stderr().flush().ok();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && is_yes(&answer)
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// A failure is no error: the tests that need the packages are ignored.
fn install(need: &Need, terminal: bool) {
    say(&format!("Installing for {}", need.tests));
    if let Err(error) = Admin::find(terminal).and_then(|admin| (need.install)(&admin)) {
        say(&format!("Not installed: {error:#}. This run ignores {}.", need.tests));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_installed_without_agreement() {
        let unasked = || panic!("nobody is to be asked");
        assert_eq!(agreement(true, false, unasked), Agreement::Yes);
        assert_eq!(agreement(true, true, unasked), Agreement::Yes);
        assert_eq!(agreement(false, false, unasked), Agreement::NobodyToAsk);
        assert_eq!(agreement(false, true, || true), Agreement::Yes);
        assert_eq!(agreement(false, true, || false), Agreement::No);
    }

    #[test]
    fn only_a_yes_is_a_yes() {
        assert!(is_yes("y\n") && is_yes(" Yes\n"));
        for answer in ["", "\n", "n\n", "yellow\n"] {
            assert!(!is_yes(answer), "{answer:?}");
        }
    }

    #[test]
    fn the_listing_names_every_change() {
        let need = |tests, changes: &[&str]| Need {
            tests,
            changes: changes.iter().map(|change| (*change).to_owned()).collect(),
            install: |_| Ok(()),
        };
        let text = listing(&[need("a test", &["apt-get install a"]), need("others", &["writes /etc/b"])]);
        for part in ["for a test:", "apt-get install a", "for others:", "writes /etc/b"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
