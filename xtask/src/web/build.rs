//! The page's folder: the files of `web/` as they are, the wasm modules, and compressed copies of all.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, root, run, say, target_folder};

const TARGET: &str = "wasm32-unknown-unknown";

/// Package, its module's name, and the page's folder that it goes to.
const MODULES: [(&str, &str, &str); 2] =
    [("unbraid-wasm", "unbraid_wasm", "wasm"), ("conformance-web", "conformance_web", "conformance/wasm")];

/// Marks a folder as made here, so that no other is ever replaced.
const MARK: &str = ".unbraid-web";

/// Makes the page in `out`.
pub(crate) fn build(out: &Path) -> Result<()> {
    if out.exists() && !out.join(MARK).exists() && fs::read_dir(out)?.next().is_some() {
        bail!("{} is not a page that was made here; give an empty folder, or remove it", out.display());
    }
    ensure_target()?;

    // Flags differ from the native build's: in one folder the two would take turns in rebuilding everything.
    let target = target_folder()?;
    let wasm = target.join("wasm");
    let first = if wasm.exists() {
        ""
    } else {
        "; the first build compiles burn for it, 10 to 15 minutes on 2 cores"
    };
    say(&format!("Building the wasm modules{first}"));
    let mut modules = cargo(&["build", "--locked", "--profile", "wasm", "--target", TARGET]);
    modules
        .args(MODULES.iter().flat_map(|(package, ..)| ["--package", package]))
        .arg("--target-dir")
        .arg(&wasm);
    run(&mut modules)?;

    let pack = packer(&target)?;
    say("Putting the page together");
    // Beside its place, so that a page is never half a page.
    let draft = beside(out)?;
    if draft.exists() {
        fs::remove_dir_all(&draft).with_context(|| format!("cannot remove {}", draft.display()))?;
    }
    copy(&root().join("web"), &draft)?;
    for (_, module, folder) in MODULES {
        let file = wasm.join(TARGET).join("wasm").join(module).with_extension("wasm");
        run(Command::new(&pack).arg("bindgen").arg(file).arg(module).arg(draft.join(folder)))?;
    }
    run(Command::new(&pack).arg("compress").arg(&draft))?;
    fs::write(draft.join(MARK), "Made by `cargo xtask web build`, and replaced by it.\n")?;
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("cannot replace {}", out.display()))?;
    }
    fs::rename(&draft, out).with_context(|| format!("cannot make {}", out.display()))
}

/// The draft's folder: on the same disk, so that it can be renamed into place.
fn beside(out: &Path) -> Result<PathBuf> {
    let out = std::path::absolute(out).with_context(|| format!("{} is no folder", out.display()))?;
    let name = out.file_name().with_context(|| format!("{} has no name", out.display()))?;
    let mut draft = OsStr::new(".").to_owned();
    draft.push(name);
    draft.push(".part");
    let draft = out.with_file_name(draft);
    let parent = draft.parent().context("a file name has a folder")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    Ok(draft)
}

/// Adds the standard library for wasm to the toolchain, where it is missing.
fn ensure_target() -> Result<()> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", TARGET]).current_dir(root());
    let output = rustc.output().context("cannot start `rustc`")?;
    let library = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && Path::new(&library).exists() {
        return Ok(());
    }
    say(&format!("Adding Rust's {TARGET} target"));
    run(Command::new("rustup").args(["target", "add", TARGET]).current_dir(root())).context(
        "where Rust was not installed by rustup, install its standard library for wasm32-unknown-unknown",
    )
}

/// Builds the program that makes modules ready for browsers.
fn packer(target: &Path) -> Result<PathBuf> {
    let folder = target.join("web-pack");
    let manifest = root().join("xtask/web-pack/Cargo.toml");
    let mut build = cargo(&["build", "--quiet", "--locked", "--release", "--manifest-path"]);
    run(build.arg(manifest).arg("--target-dir").arg(&folder))?;
    Ok(folder.join("release").join(format!("web-pack{}", std::env::consts::EXE_SUFFIX)))
}

/// Copies a folder with all that is in it, but for the tests of the page's own code.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        let target = to.join(name);
        if path.is_dir() {
            if name != "tests" {
                copy(&path, &target)?;
            }
        } else {
            fs::copy(&path, &target).with_context(|| format!("cannot write {}", target.display()))?;
        }
    }
    Ok(())
}
