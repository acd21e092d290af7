//! `cargo xtask conformance`: natively as it is; for browsers the page is made and served first.

use std::ffi::OsString;
use std::thread;

use anyhow::Result;

use crate::cargo::{build, forward, program, status};
use crate::{chromium, web};

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
        chromium::ensure();
    }
    let driver = build("conformance")?;
    let folder = web::folder()?;
    web::build(&folder)?;
    let server = web::Server::bind(&folder, 0)?;
    let mut command = program(&driver);
    command.arg("run").args(args).env("UNBRAID_PAGE", server.url());
    thread::spawn(|| server.run());
    Ok(status(&mut command)?.code().and_then(|code| code.try_into().ok()).unwrap_or(1))
}
