//! `web-pack bindgen MODULE.wasm NAME OUT` writes the module and its JavaScript into a folder.
//! `web-pack compress FOLDER` adds a .br and a .gz for every file that compression makes at least a tenth smaller.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};
use flate2::{Compression, write::GzEncoder};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["bindgen", module, name, out] => bindgen(module, name, Path::new(out)),
        ["compress", folder] => compress(Path::new(folder)),
        _ => bail!("usage: web-pack bindgen MODULE.wasm NAME OUT | web-pack compress FOLDER"),
    }
}

fn bindgen(module: &str, name: &str, out: &Path) -> Result<()> {
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(module)
        .out_name(name)
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(out)
        .with_context(|| format!("cannot generate the JavaScript of {module}"))
}

/// Largest ratio of compressed to original size for which the compressed files are kept. Flac does not reach it.
const LEAST_GAIN: f64 = 0.9;

/// Uses two threads, because the page has two large modules.
fn compress(folder: &Path) -> Result<()> {
    let files = Mutex::new(files(folder)?);
    let next = || files.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let work = || -> Result<()> {
        while let Some(path) = next() {
            compress_file(&path)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let other = scope.spawn(work);
        work()?;
        other.join().unwrap_or_else(|_| bail!("a thread that compressed panicked"))
    })
}

fn compress_file(path: &Path) -> Result<()> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&bytes)?;
    let gzip = gzip.finish()?;
    if gzip.len() as f64 > LEAST_GAIN * bytes.len() as f64 {
        return Ok(());
    }
    // Compared with quality 9, quality 11 takes half a minute longer for a wasm module and makes it a seventh smaller.
    let parameters = brotli::enc::BrotliEncoderParams {
        quality: 11,
        lgwin: 24,
        size_hint: bytes.len(),
        ..Default::default()
    };
    let mut brotli = Vec::new();
    brotli::BrotliCompress(&mut &bytes[..], &mut brotli, &parameters)?;
    for (ending, bytes) in [("gz", gzip), ("br", brotli)] {
        let mut name = path.as_os_str().to_owned();
        name.push(".");
        name.push(ending);
        fs::write(&name, bytes).with_context(|| format!("cannot write {}", Path::new(&name).display()))?;
    }
    Ok(())
}

/// All files below a folder except compressed copies.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if !path.extension().is_some_and(|extension| extension == "br" || extension == "gz") {
            found.push(path);
        }
    }
    Ok(found)
}
