//! TypeScript's checker over the page's scripts, whose types are in their JSDoc comments.

use std::process::Command;

use anyhow::{Context, Result};

use super::outcome::Outcome;
use crate::cargo::{root, run, runs, target_folder};

/// The version that is installed from the npm registry into the target folder.
const TYPESCRIPT: &str = "7.0.2";

/// The scripts of the page, of its workers, and of its end-to-end tests, which have different globals.
const PROJECTS: [&str; 3] =
    ["web/jsconfig.json", "web/jsconfig.workers.json", "tests/browser/tests/page/jsconfig.json"];

pub(super) fn check() -> Result<Outcome> {
    for program in ["node", "npm"] {
        if !runs(program) {
            return Ok(Outcome::Skipped(format!("{program} is not installed (https://nodejs.org)")));
        }
    }
    let folder = target_folder()?.join("tools").join(format!("typescript-{TYPESCRIPT}"));
    let checker = folder.join("node_modules/typescript/bin/tsc");
    if !checker.exists() {
        let mut install = Command::new("npm");
        install.args(["install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund"]);
        // An interrupted installation must not be taken for a complete one.
        let draft = folder.with_extension("part");
        install.args(["--loglevel=error", "--prefix"]).arg(&draft);
        install.arg(format!("typescript@{TYPESCRIPT}"));
        std::fs::create_dir_all(&draft).with_context(|| format!("cannot make {}", draft.display()))?;
        if let Err(error) = run(&mut install) {
            return Ok(Outcome::Skipped(format!("{error:#}")));
        }
        std::fs::rename(&draft, &folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    for project in PROJECTS {
        run(Command::new("node").arg(&checker).args(["-p", project]).current_dir(root()))
            .with_context(|| format!("wrong types in the scripts of {project}"))?;
    }
    Ok(Outcome::Passed)
}
