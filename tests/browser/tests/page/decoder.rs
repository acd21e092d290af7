//! Songs that only the browser decodes.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use browser::Gpu;

use crate::journey::hold_against_native;
use crate::page::Page;
use crate::song;
use crate::world::{Skipped, Test, World};

pub(crate) const TESTS: &[Test] =
    &[("a_song_that_only_the_browser_decodes_is_separated", decoded_by_the_browser)];

/// Lossless formats that Chromium decodes: the file's extension, and ffmpeg's options. At least one of them must be
/// unknown to the separation program. Chromium scales positive samples of 16 bits by 1 / 32767, which would be an error
/// of −90 dB, so the formats have more bits.
const FORMATS: [(&str, &[&str]); 5] = [
    ("mka", &["-c:a", "flac", "-sample_fmt", "s32"]),
    ("mp4", &["-c:a", "flac", "-sample_fmt", "s32", "-strict", "-2"]),
    ("oga", &["-c:a", "flac", "-sample_fmt", "s32", "-f", "ogg"]),
    ("mov", &["-c:a", "pcm_f32le"]),
    ("weba", &["-c:a", "pcm_f32le", "-f", "matroska"]),
];

fn decoded_by_the_browser(world: &World) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let original = folder.path().join("foreign.wav");
    song::write(&original, 7.0)?;
    for (extension, options) in FORMATS {
        let foreign = original.with_extension(extension);
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-y", "-i"]).arg(&original).args(options).arg(&foreign);
        match ffmpeg.stdin(Stdio::null()).status() {
            Ok(status) => ensure!(status.success(), "ffmpeg writes no {extension}"),
            Err(_) => return Err(Skipped("ffmpeg is not installed".to_owned()).into()),
        }
        let mut native = Command::new(&world.program);
        native
            .arg("separate")
            .arg(&foreign)
            .arg("--model")
            .arg(song::model())
            .args(["--device", "cpu", "--force"]);
        let native = native.arg("--out").arg(folder.path().join("native")).output().context("no program")?;
        if native.status.success() {
            continue;
        }
        println!(
            "  {extension}: {}",
            String::from_utf8_lossy(&native.stderr).lines().last().unwrap_or_default()
        );

        let page = Page::open(world, Gpu::None, "?device=cpu")?;
        page.add(&foreign)?;
        page.ensure("notices().length === 0 && $('song').dataset.state === 'ready'")?;
        page.until("$('song-facts').textContent.startsWith('0:07 · ') && painted($('overview'))")?;
        page.until("/^The browser decoded it, at 44100 Hz\\.$/.test($('song-notices').innerText)")?;
        page.separate()?;
        // The samples are the original's, so the stems are too.
        hold_against_native(world, &page, &original, &song::model())?;
        return page.end();
    }
    anyhow::bail!("the separation program reads all formats of this test; add another one")
}
