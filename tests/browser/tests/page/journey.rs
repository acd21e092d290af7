//! A person's path through the page: from a song to its stems, their playback and their files.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use browser::{Gpu, Window, keys};

use crate::invented;
use crate::page::Page;
use crate::song::{self, Stem, decode, snr_db};
use crate::worker::LEAST_SNR_DB;
use crate::world::{Test, World};
use crate::zip;

pub(crate) const TESTS: &[Test] = &[
    ("a_song_becomes_files_that_hold_the_native_stems", files),
    ("stems_sound_while_separation_goes_on", sound),
    ("the_mixer_decides_what_is_heard", mixer),
    ("cancel_keeps_what_is_finished_and_going_on_gives_the_whole", cancel),
    ("the_example_by_keyboard_alone", keyboard),
];

/// Writes a song of some seconds into the temporary folder.
pub(crate) fn invent(world: &World, name: &str, seconds: f64) -> Result<PathBuf> {
    let path = world.folder.path().join(name).with_extension("wav");
    song::write(&path, seconds)?;
    Ok(path)
}

/// The names of the model's stems, as the page shows them.
pub(crate) fn stems(page: &Page<'_>) -> Result<Vec<String>> {
    let names = page.value("[...$('model-stems').children].map((stem) => stem.textContent)")?;
    let names: Vec<String> = serde_json::from_value(names)?;
    ensure!(names.len() > 1, "{names:?}");
    Ok(names)
}

/// Compares the 32-bit download of every stem with the native program's stem. Returns the bytes of all downloads.
pub(crate) fn hold_against_native(
    world: &World,
    page: &Page<'_>,
    song: &std::path::Path,
    model: &std::path::Path,
) -> Result<Vec<(String, Vec<u8>)>> {
    let names = stems(page)?;
    let title = song.file_stem().context("a song with a name")?.to_string_lossy();
    let native = song::separate_natively(world, song, model, &names)?;
    page.choose("format", "float32")?;
    let mut files = Vec::new();
    let mut report = Vec::new();
    for (name, expected) in names.into_iter().zip(&native.stems) {
        let bytes = page.download_stem(&title, &name)?;
        let snr = snr_db(expected, &decode(&bytes)?)?;
        report.push(format!("{name} {snr:.1} dB"));
        ensure!(snr >= LEAST_SNR_DB, "{name} is {snr:.1} dB from the native stem");
        files.push((name, bytes));
    }
    println!("  {}", report.join(", "));
    Ok(files)
}

fn files(world: &World) -> Result<()> {
    let file = invent(world, "Söng & co", 5.2)?;
    let page = Page::open(world, Gpu::None, "?device=cpu")?;
    page.ensure("$('device').dataset.kind === 'cpu' && $('notices').children.length === 0")?;
    page.add(&file)?;
    page.ensure("$('song').dataset.state === 'ready' && $('song-facts').textContent.startsWith('0:05 · ')")?;
    page.ensure("painted($('overview')) && $('mixer').hidden")?;
    page.click("separate")?;
    page.until("/^\\d+ % · \\d+:\\d\\d left · Söng & co · Unbraid$/.test(document.title)")?;
    page.ensure("!$('progress').hidden && $('bar').value >= 0 && !$('cancel').hidden")?;
    page.ensure("$('download-zip').disabled")?;
    page.done()?;
    page.ensure("document.title === 'Unbraid' && $('progress').hidden")?;
    page.until("[...document.querySelectorAll('#tracks canvas')].every(painted)")?;

    let files = hold_against_native(world, &page, &file, &song::model())?;
    ensure!(files.len() == 4, "{} stems", files.len());

    // The archive holds the same bytes.
    let archive = page.download(|page| page.click("download-zip"), "Söng & co - stems.zip")?;
    let members = zip::read(&archive)?;
    let expected: Vec<_> =
        files.iter().map(|(name, bytes)| (format!("Söng & co/{name}.wav"), &bytes[..])).collect();
    ensure!(members == expected, "{:?}", members.iter().map(|(name, _)| name).collect::<Vec<_>>());

    // Integer formats differ from the floats by at most half a step.
    let (name, bytes) = &files[1];
    let exact = decode(bytes)?;
    for (format, bits) in [("int16", 16), ("int24", 24)] {
        page.choose("format", format)?;
        let rounded = decode(&page.download_stem("Söng & co", name)?)?;
        hold_rounded(&exact, &rounded, bits)?;
    }

    // The mix, with one stem muted and one at half volume.
    page.choose("format", "float32")?;
    page.click_in("vocals", "mute")?;
    let half = "const knob = $('volume', 'drums'); knob.value = 0.5; knob.dispatchEvent(new Event('input'));";
    page.browser.run(half, &[])?;
    let mix = decode(&page.download(|page| page.click("download-mix"), "Söng & co - mix.wav")?)?;
    let mut expected = vec![0.0; mix.len()];
    for (name, bytes) in &files {
        let gain = match name.as_str() {
            "vocals" => 0.0,
            "drums" => 0.5,
            _ => 1.0,
        };
        let stem = decode(bytes)?;
        expected.iter_mut().zip(stem).for_each(|(sum, sample)| *sum += gain * sample);
    }
    let snr = snr_db(&expected, &mix)?;
    ensure!(snr > 130.0, "the mix is {snr:.1} dB from the sum of its stems");
    page.end()
}

fn hold_rounded(exact: &Stem, rounded: &Stem, bits: i32) -> Result<()> {
    ensure!(exact.len() == rounded.len(), "{} samples, not {}", rounded.len(), exact.len());
    let step = 2f64.powi(1 - bits);
    let held = |sample: f32| f64::from(sample).clamp(-1.0, 1.0 - step);
    let worst = exact.iter().zip(rounded).map(|(exact, rounded)| (held(*exact) - f64::from(*rounded)).abs());
    let worst = worst.fold(0.0, f64::max) / step;
    println!("  {bits} bits: at most {worst:.3} of a step from 32-bit floats");
    ensure!(worst <= 0.5001, "{bits} bits: {worst} steps from 32-bit floats");
    Ok(())
}

fn sound(world: &World) -> Result<()> {
    // Long enough that much is left to separate when playback starts.
    let file = invent(world, "long", 60.0)?;
    let page = Page::open(world, Gpu::None, "?device=cpu")?;
    page.add(&file)?;
    page.click("separate")?;
    page.until("$('song').dataset.state === 'running' && !$('play').disabled")?;
    page.click("play")?;
    page.until("$('play').dataset.state === 'playing'")?;
    let start = page.value("seconds('time')")?.as_f64().context("a time")?;
    page.until(&format!("seconds('time') > {start} + 0.6"))?;
    page.ensure("$('song').dataset.state === 'running' && $('bar').value < 1")?;

    // Seeks to a part without stems. Playback waits, shows that, and continues when the stems are there.
    page.browser.run("const seek = $('seek'); seek.value = 57; for (const event of ['input', 'change']) seek.dispatchEvent(new Event(event));", &[])?;
    page.ensure("$('play').dataset.state === 'waiting' && !document.querySelector('#waiting').hidden")?;
    page.until("$('play').dataset.state === 'playing' && seconds('time') > 57.3")?;
    page.done()?;
    // Playback stops at the end of the song.
    page.until("$('play').dataset.state === 'stopped'")?;
    page.ensure("Math.abs(seconds('time') - 60) < 0.2")?;
    page.end()
}

fn mixer(world: &World) -> Result<()> {
    let file = invent(world, "mixed", 4.0)?;
    let page = Page::open(world, Gpu::None, "?device=cpu")?;
    page.add(&file)?;
    page.separate()?;
    let all = "drums bass other vocals";
    let heard = |expected: &str| page.ensure(&format!("heard().join(' ') === '{expected}'"));
    heard(all)?;
    page.click_in("bass", "solo")?;
    heard("bass")?;
    page.click_in("vocals", "solo")?;
    heard("bass vocals")?;
    page.click_in("bass", "mute")?;
    heard("vocals")?;
    page.click_in("vocals", "solo")?;
    page.click_in("bass", "solo")?;
    heard("drums other vocals")?;
    page.click_in("bass", "mute")?;
    page.click("hear-original")?;
    heard("original")?;
    page.click("hear-stems")?;
    heard(all)?;

    // One stem and the rest of the song.
    page.choose("pair", "3")?;
    heard("vocals no_vocals")?;
    page.click_in("no_vocals", "mute")?;
    heard("vocals")?;
    page.choose("pair", "")?;

    // Play, pause, and a click in the middle of a spectrogram, which seeks to the middle of the song.
    page.click("play")?;
    page.until("$('play').dataset.state === 'playing' && seconds('time') > 0.3")?;
    page.click("play")?;
    page.ensure("$('play').dataset.state === 'stopped'")?;
    let rest = page.value("seconds('time')")?;
    std::thread::sleep(std::time::Duration::from_millis(300));
    ensure!(page.value("seconds('time')")? == rest, "playback continues after a pause");
    page.click_in("bass", "pictures")?;
    page.ensure("Math.abs(seconds('time') - 2) < 0.15 && Math.abs($('seek').value - 2) < 0.05")?;
    page.click("play")?;
    page.until("$('play').dataset.state === 'playing' && seconds('time') > 2.2")?;
    page.until("$('play').dataset.state === 'stopped'")?;
    page.end()
}

fn cancel(world: &World) -> Result<()> {
    let file = invent(world, "cancelled", 14.0)?;
    let page = Page::open(world, Gpu::None, "?device=cpu")?;
    page.add(&file)?;
    page.click("separate")?;
    page.until("$('song').dataset.state === 'running' && !$('play').disabled")?;
    let answer = page.browser.run(
        "const asked = performance.now();
         $('cancel').click();
         return { state: $('song').dataset.state, took: performance.now() - asked };",
        &[],
    )?;
    println!("  stopped after {:.1} ms", answer["took"].as_f64().context("ms")?);
    ensure!(answer["state"] == "stopped", "{answer}");
    page.until("!$('continue').hidden && !$('download-zip').disabled")?;
    page.choose("format", "float32")?;
    let part = decode(&page.download_stem("cancelled", "drums")?)?;

    page.click("continue")?;
    page.done()?;
    let files = hold_against_native(world, &page, &file, &song::model())?;
    let whole = decode(&files[0].1)?;
    let (had, all) = (part.len() / 2, whole.len() / 2);
    println!("  {had} of {all} samples were finished");
    ensure!(0 < had && had < all, "cancelled too late for this test");
    ensure!(whole[..had] == part[..had] && whole[all..all + had] == part[had..], "the finished part changed");
    page.end()
}

fn keyboard(world: &World) -> Result<()> {
    let model = world.folder.path().join("invented.safetensors");
    invented::write(&model)?;
    let page = Page::open(world, Gpu::None, "?device=cpu")?;
    page.use_model(&model)?;
    ensure!(stems(&page)? == invented::STEMS, "{:?}", stems(&page)?);
    // Presses Tab until a control has the focus. Every control must be reachable in one round.
    let reach = |hook: &str| -> Result<()> {
        let mut passed = Vec::new();
        for _ in 0..60 {
            page.browser.press(&[keys::TAB])?;
            let at = page.value("document.activeElement.dataset.test ?? document.activeElement.tagName")?;
            if at == hook {
                return page.ensure("document.activeElement.matches(':focus-visible')");
            }
            passed.push(at);
        }
        anyhow::bail!("no way to {hook} by keyboard, only to {passed:?}")
    };
    page.browser.run("document.activeElement.blur(); scrollTo(0, 0);", &[])?;
    reach("example")?;
    page.browser.press(&[keys::ENTER])?;
    page.until(
        "$('song-title').textContent === 'Example song' && $('song-facts').textContent.startsWith('0:10 · ')",
    )?;
    reach("range-to")?;
    page.browser.press(&[keys::LEFT, keys::LEFT])?;
    page.ensure("$('separate').textContent === 'Separate 8 seconds'")?;
    reach("separate")?;
    page.browser.press(&[keys::ENTER])?;
    page.ensure("document.activeElement === $('cancel') || $('song').dataset.state === 'done'")?;
    page.done()?;
    page.ensure("document.activeElement === $('play')")?;
    page.browser.press(&[' '])?;
    page.until("$('play').dataset.state === 'playing' && seconds('time') > 0.2")?;
    page.browser.press(&[keys::RIGHT])?;
    page.until("seconds('time') > 5.1")?;
    page.browser.press(&['k'])?;
    page.ensure("$('play').dataset.state === 'stopped'")?;
    page.browser.press(&[keys::HOME])?;
    page.ensure("seconds('time') === 0")?;
    page.browser.press(&['1'])?;
    page.ensure("heard().join() === 'left_over'")?;
    page.browser.press(&['1', 'o'])?;
    page.ensure("heard().join() === 'original'")?;
    page.browser.press(&['o', '?'])?;
    page.ensure("$('keys').open")?;
    page.browser.press(&[keys::ESCAPE])?;
    page.ensure("!$('keys').open && heard().length === 2")?;
    reach("download-zip")?;
    let archive = page.download(|page| page.browser.press(&[keys::ENTER]), "Example song - stems.zip")?;
    let members = zip::read(&archive)?;
    ensure!(
        members.len() == 2 && decode(members[0].1)?.len() == 16 * song::RATE as usize,
        "{}",
        members.len()
    );
    page.end()
}
