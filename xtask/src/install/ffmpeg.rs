//! FFmpeg, for the tests that compare decoders.

use anyhow::Result;

use super::apt::{Admin, commands};
use super::need::{Missing, Need};
use crate::cargo::runs;

const PACKAGES: [&str; 1] = ["ffmpeg"];

pub(super) fn missing() -> Option<Missing> {
    if runs("ffmpeg") {
        return None;
    }
    if !(cfg!(target_os = "linux") && runs("apt-get")) {
        let how = "`ffmpeg` is not installed. The tests that compare decoders with it will be ignored.";
        return Some(Missing::ByHand(how.into()));
    }
    let tests = "the comparison of decoders with ffmpeg";
    Some(Missing::ByApt(Need { tests, changes: commands(&PACKAGES), install }))
}

fn install(admin: &Admin) -> Result<()> {
    admin.update()?;
    admin.install(&[], &PACKAGES)
}
