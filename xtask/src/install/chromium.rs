//! Chromium and its driver, for the page's tests.

use anyhow::{Result, ensure};

use super::apt::{Admin, commands};
use super::need::{Missing, Need};
use crate::cargo::runs;

const PACKAGES: [&str; 2] = ["chromium", "chromium-driver"];
const TESTS: &str = "the tests of the page";

/// Whether both programs can be started.
pub(crate) fn is_installed() -> bool {
    runs("chromium") && runs("chromedriver")
}

pub(super) fn missing() -> Option<Missing> {
    if is_installed() {
        return None;
    }
    if !(cfg!(target_os = "linux") && runs("apt-get")) {
        let how = "`chromium` and `chromedriver` are not installed. The tests of the page will be ignored.";
        return Some(Missing::ByHand(how.into()));
    }
    Some(Missing::ByApt(Need { tests: TESTS, changes: commands(&PACKAGES), install }))
}

fn install(admin: &Admin) -> Result<()> {
    admin.update()?;
    admin.install(&[], &PACKAGES)?;
    // Ubuntu's packages of these names only bring a snap.
    ensure!(is_installed(), "after the installation `chromium` and `chromedriver` do not start");
    Ok(())
}
