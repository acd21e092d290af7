//! Chromium and its driver, in which the page is tested.

use anyhow::Result;

use crate::apt::{Admin, runs};
use crate::cargo::say;

const PACKAGES: [&str; 2] = ["chromium", "chromium-driver"];

/// Installs Chromium where that can be done without asking; elsewhere says what is missing. Whether it is there.
///
/// A machine without it is no error: the tests that need it show as skipped.
pub(crate) fn ensure() -> bool {
    match provide() {
        Ok(()) => true,
        Err(error) => {
            say(&format!("Chromium not available: {error:#}. The page's tests will show as skipped."));
            false
        }
    }
}

fn provide() -> Result<()> {
    if runs("chromium") && runs("chromedriver") {
        return Ok(());
    }
    let needs =
        "`chromium` and `chromedriver` are missing (Debian: apt-get install chromium chromium-driver)";
    if !(cfg!(target_os = "linux") && runs("apt-get")) {
        anyhow::bail!("{needs}");
    }
    let admin = Admin::find(needs)?;
    say("Installing Chromium, in which the page is tested.");
    admin.run(&["apt-get", "-o", "Acquire::Retries=3", "-q", "update"])?;
    let mut install = vec!["apt-get", "-o", "Acquire::Retries=3", "-o", "Dpkg::Use-Pty=0", "-q"];
    install.extend(["install", "-y", "--no-install-recommends"]);
    install.extend(PACKAGES);
    admin.run(&install)?;
    // Ubuntu's packages of these names only bring a snap.
    if runs("chromium") && runs("chromedriver") { Ok(()) } else { anyhow::bail!("{needs}") }
}
