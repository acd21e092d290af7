//! Tells the program the commit that it is built from, if it is built in a checkout with git installed. Leaves the
//! symbols out of a release.

use std::path::Path;
use std::process::Command;

fn main() {
    // The file that Cargo takes a change of as a reason to build again. Without any such line it would be all files.
    println!("cargo::rerun-if-changed=build.rs");
    let version = env!("CARGO_PKG_VERSION");
    let version = match commit() {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    };
    println!("cargo::rustc-env=UNBRAID_VERSION={version}");
    // Cargo's option `strip` would build every dependency again.
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if variable("PROFILE") == "release" && variable("CARGO_CFG_TARGET_OS") == "linux" {
        println!("cargo::rustc-link-arg-bins=-Wl,--strip-all");
    }
}

/// The commit and its date, such as `865e326f, 2026-11-27`.
fn commit() -> Option<String> {
    // The sources may lie inside another project's checkout, which does not track them.
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    let mut watched = vec!["HEAD".to_owned(), "packed-refs".to_owned()];
    watched.extend(git(&["symbolic-ref", "--quiet", "HEAD"]));
    for name in watched {
        // A path that does not exist would cause a build every time.
        let path = git(&["rev-parse", "--git-path", &name]).filter(|path| Path::new(path).exists());
        if let Some(path) = path {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["show", "--no-patch", "--abbrev=8", "--date=short", "--format=%h, %cd", "HEAD"])
}

/// The output of a git command in this folder. `None` if it fails.
fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned())
}
