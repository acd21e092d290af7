//! Builds the page's folder: the files of `web/`, the wasm modules, and compressed copies.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::{WEB_PACK, cargo, root, run, say, target_folder};

const TARGET: &str = "wasm32-unknown-unknown";

/// A package, the name of its module, and the module's folder in the page.
const MODULES: [(&str, &str, &str); 2] =
    [("unbraid-wasm", "unbraid_wasm", "wasm"), ("conformance-web", "conformance_web", "conformance/wasm")];

/// Marks a folder that this program created. No other folder is ever replaced.
const MARK: &str = ".unbraid-web";

/// Builds the page in `out`.
pub(crate) fn build(out: &Path) -> Result<()> {
    if out.exists() && !out.join(MARK).exists() && fs::read_dir(out)?.next().is_some() {
        bail!("{} holds files that are not a built page; give an empty folder, or remove it", out.display());
    }
    ensure_target()?;

    // The flags differ from those of the native build. In a shared folder each build would invalidate the other.
    let target = target_folder()?;
    let wasm = target.join("wasm");
    let first = if wasm.exists() {
        ""
    } else {
        "; the first build compiles burn for wasm, 10 to 15 minutes on 2 cores"
    };
    say(&format!("Building the wasm modules{first}"));
    let mut modules = cargo(&["build", "--locked", "--profile", "wasm", "--target", TARGET]);
    modules
        .args(MODULES.iter().flat_map(|(package, ..)| ["--package", package]))
        .arg("--target-dir")
        .arg(&wasm);
    run(&mut modules)?;

    let pack = packer(&target)?;
    say("Assembling the page");
    // The page is assembled in another folder and then renamed, so that `out` never holds half a page.
    let draft = draft_of(out)?;
    if draft.exists() {
        fs::remove_dir_all(&draft).with_context(|| format!("cannot remove {}", draft.display()))?;
    }
    copy(&root().join("web"), &draft)?;
    for (_, module, folder) in MODULES {
        let file = wasm.join(TARGET).join("wasm").join(module).with_extension("wasm");
        run(Command::new(&pack).arg("bindgen").arg(file).arg(module).arg(draft.join(folder)))?;
    }
    run(Command::new(&pack).arg("compress").arg(&draft))?;
    fs::write(draft.join(MARK), "Created by `cargo xtask web build`, which replaces this folder.\n")?;
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("cannot replace {}", out.display()))?;
    }
    fs::rename(&draft, out).with_context(|| format!("cannot create {}", out.display()))
}

/// A folder next to `out`, on the same disk, so that it can be renamed to `out`.
fn draft_of(out: &Path) -> Result<PathBuf> {
    let out =
        std::path::absolute(out).with_context(|| format!("{} is not a path of a folder", out.display()))?;
    let name = out.file_name().with_context(|| format!("{} has no name", out.display()))?;
    let mut draft = OsStr::new(".").to_owned();
    draft.push(name);
    draft.push(".part");
    let draft = out.with_file_name(draft);
    let parent = draft.parent().context("a file name has a folder")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    Ok(draft)
}

/// Adds the standard library for wasm to the toolchain if it is missing.
fn ensure_target() -> Result<()> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", TARGET]).current_dir(root());
    let output = rustc.output().context("cannot start `rustc`")?;
    let library = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && Path::new(&library).exists() {
        return Ok(());
    }
    say(&format!("Adding Rust's {TARGET} target"));
    run(Command::new("rustup").args(["target", "add", TARGET]).current_dir(root()))
        .context("if rustup did not install Rust, install Rust's standard library for wasm32-unknown-unknown")
}

/// Builds the program that packs wasm modules for browsers.
fn packer(target: &Path) -> Result<PathBuf> {
    let folder = target.join("web-pack");
    let manifest = root().join(WEB_PACK);
    let mut build = cargo(&["build", "--quiet", "--locked", "--release", "--manifest-path"]);
    run(build.arg(manifest).arg("--target-dir").arg(&folder))?;
    Ok(folder.join("release").join(format!("web-pack{}", std::env::consts::EXE_SUFFIX)))
}

/// Copies a folder without what only developers need: the tests and the types of the page's scripts.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        let target = to.join(name);
        if path.is_dir() {
            if name != "tests" && name != "types" {
                copy(&path, &target)?;
            }
        } else if !name.to_string_lossy().starts_with("jsconfig") {
            fs::copy(&path, &target).with_context(|| format!("cannot write {}", target.display()))?;
        }
    }
    Ok(())
}
