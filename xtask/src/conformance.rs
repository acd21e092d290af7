//! `cargo xtask conformance`: starts the native driver. For browsers it also builds and serves the page.

use std::ffi::OsString;
use std::thread;

use anyhow::Result;

use crate::cargo::{build, exit_code, forward, program};
use crate::{install, web};

pub(crate) fn conformance(args: Vec<OsString>) -> Result<u8> {
    let wants = |places: &[&str]| {
        args.iter()
            .map(|argument| argument.to_string_lossy())
            .any(|argument| places.contains(&argument.strip_prefix("--device=").unwrap_or(&argument)))
    };
    if !wants(&["browser", "chromium", "firefox", "--all"]) {
        let verb = OsString::from("run");
        return forward("conformance", &std::iter::once(verb).chain(args).collect::<Vec<_>>());
    }
    if wants(&["browser", "chromium", "--all"]) {
        install::for_the_page();
    }
    let driver = build("conformance")?;
    let folder = web::folder()?;
    web::build(&folder)?;
    let server = web::Server::bind(&folder, 0)?;
    let mut command = program(&driver);
    command.arg("run").args(args).env("UNBRAID_PAGE", server.url());
    thread::spawn(|| server.run());
    exit_code(&mut command)
}
