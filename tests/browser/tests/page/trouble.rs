//! Errors: the page always reports a reason and never loses a song.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use browser::{Gpu, Window};
use serde_json::json;

use crate::journey::{hold_against_native, invent, stems};
use crate::page::Page;
use crate::world::{Test, World};
use crate::{invented, song};

pub(crate) const TESTS: &[Test] = &[
    ("bad_songs_are_refused_on_the_page_and_it_goes_on", bad_songs),
    ("bad_models_are_refused_on_the_page_and_the_old_one_stays", bad_models),
    ("without_webgpu_the_page_says_that_the_cpu_computes", no_webgpu),
    ("a_lost_device_costs_the_page_no_sample", lost_device),
    ("a_worker_that_breaks_is_replaced_and_the_song_goes_on", broken_worker),
];

/// The bytes of a wav file. `format` 1 is integers, 3 is floats.
fn wav(format: u16, channels: u16, bits: u16, data: &[u8]) -> Vec<u8> {
    let frame = channels * bits / 8;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0");
    bytes.extend([format, channels].map(u16::to_le_bytes).as_flattened());
    bytes.extend([song::RATE, song::RATE * u32::from(frame)].map(u32::to_le_bytes).as_flattened());
    bytes.extend([frame, bits].map(u16::to_le_bytes).as_flattened());
    bytes.extend(b"data");
    bytes.extend((data.len() as u32).to_le_bytes());
    [&bytes, data].concat()
}

/// Gives a file to the page and waits for a notice that contains `part`.
fn refused(page: &Page<'_>, path: &Path, part: &str) -> Result<()> {
    let name = path.file_name().context("a name")?.to_string_lossy();
    let start = Instant::now();
    page.give("file", path)?;
    page.until(&format!("notices().some((text) => text.startsWith({}))", json!(name)))?;
    let took = start.elapsed().as_secs_f64();
    let notice = page.value("notices().at(-1)")?;
    let notice = notice.as_str().context("a text")?;
    println!("  {notice} ({took:.1} s)");
    ensure!(notice.contains(part), "{name}: {notice}");
    page.ensure("document.querySelector('.notice[role=alert]') !== null")?;
    page.browser.run(
        "for (const close of document.querySelectorAll('[data-test=\"notice-close\"]')) close.click();",
        &[],
    )?;
    // It cannot be separated. A file that was accepted as a song can be removed.
    page.ensure("document.querySelector('#song').hidden || ($('song').dataset.state === 'failed' && $('separate').disabled)")?;
    page.browser.run("if (!document.querySelector('#song').hidden) $('remove').click();", &[]).map(drop)
}

fn bad_songs(world: &World) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut samples = vec![0.25f32; 2 * song::RATE as usize];
    samples[30_000] = f32::NAN;
    let samples = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<_>>();
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("empty.wav", Vec::new(), "empty"),
        ("letter.wav", b"This is a letter, and not a song. ".repeat(5000), "ot an audio file"),
        ("nan.wav", wav(3, 2, 32, &samples), "0.340 s"),
        ("nine.wav", wav(1, 9, 16, &[0; 180_000]), "9 channels"),
        ("nothing.wav", wav(1, 2, 16, &[]), "no audio"),
        ("cut.wav", wav(1, 2, 16, &[7; 600_000])[..300_000].to_vec(), "cut short"),
        ("picture.flac", [&b"\x89PNG\r\n\x1a\n"[..], &[7; 5000]].concat(), "ot an audio file"),
    ];
    let page = Page::open(world, Gpu::None, "?device=cpu")?;
    for (name, bytes, part) in cases {
        let path = folder.path().join(name);
        fs::write(&path, bytes)?;
        refused(&page, &path, part)?;
    }
    // A sparse file: 3 GB that take no space on the disk.
    let huge = folder.path().join("huge.wav");
    fs::File::create(&huge)?.set_len(3_000_000_000)?;
    refused(&page, &huge, "3.0 GB")?;
    // No worker received it, so no part of it was read.
    page.ensure("watch.sent.includes('cut.wav') && !watch.sent.includes('huge.wav')")?;

    // The page still works, and one sample is a song.
    let single = folder.path().join("single.wav");
    fs::write(&single, wav(1, 2, 16, &[7; 4]))?;
    page.add(&single)?;
    page.separate()?;
    page.choose("format", "float32")?;
    let stem = song::decode(&page.download_stem("single", "drums")?)?;
    ensure!(stem.len() == 2, "{} samples", stem.len());
    page.end()
}

fn bad_models(world: &World) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let good = fs::read(song::model())?;
    let lying = |name: &'static str, shape: [usize; 2]| {
        invented::bytes(move |header| header[name]["shape"] = json!(shape))
    };
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("empty.safetensors", Vec::new(), "not a complete .safetensors file"),
        ("cut.safetensors", good[..good.len() / 2].to_vec(), "not a complete .safetensors file"),
        ("turned.safetensors", lying("head.weight", [512, 8]), "do not match its configuration"),
        ("larger.safetensors", lying("head.weight", [8, 1 << 40]), "not a complete .safetensors file"),
        (
            "dims.safetensors",
            invented::bytes(|header| {
                let text = header["__metadata__"]["unbraid"]
                    .to_string()
                    .replace("\\\"dims\\\":[8]", "\\\"dims\\\":[16]");
                header["__metadata__"]["unbraid"] = serde_json::from_str(&text).expect("still JSON");
            }),
            "do not match its configuration",
        ),
        (
            "letter.safetensors",
            b"This is a letter, and not a model. ".repeat(500),
            "not a complete .safetensors file",
        ),
    ];
    let page = Page::open(world, Gpu::None, "?device=cpu")?;
    let name = page.value("$('model-name').textContent")?;
    let names = stems(&page)?;
    for (file, bytes, part) in cases {
        let path = folder.path().join(file);
        fs::write(&path, bytes)?;
        page.give("model-file", &path)?;
        page.until(&format!("notices().some((text) => text.startsWith('{file} cannot be used'))"))?;
        let notice = page.value("notices().at(-1)")?;
        let notice = notice.as_str().context("a text")?;
        println!("  {notice}");
        ensure!(notice.contains(part), "{file}: {notice}");
        page.browser.run("$('notice-close').click();", &[])?;
    }
    // The page's own model is still in use.
    page.until(&format!("$('model-name').textContent === {name}"))?;
    ensure!(stems(&page)? == names, "{:?}", stems(&page)?);
    page.add(&invent(world, "after", 1.2)?)?;
    page.separate()?;

    // A person's model survives a reload, is labelled as stored, and disappears when it is cleared.
    let own = world.folder.path().join("own.safetensors");
    invented::write(&own)?;
    page.use_model(&own)?;
    page.load(world, "?device=cpu")?;
    page.ensure("$('model-name').textContent.includes('own.safetensors') && $('model-origin').textContent.includes('storage')")?;
    page.click("model-clear")?;
    page.until(&format!("$('model-name').textContent === {name}"))?;
    page.load(world, "?device=cpu")?;
    page.ensure(&format!("$('model-name').textContent === {name} && $('model-clear').hidden"))?;
    page.end()
}

fn no_webgpu(world: &World) -> Result<()> {
    let page = Page::open(world, Gpu::None, "")?;
    page.ensure("$('device').dataset.kind === 'cpu' && $('device').textContent.startsWith('CPU')")?;
    page.ensure("notices().length === 1 && /no WebGPU.*CPU/.test(notices()[0])")?;
    page.ensure("$('notice').getAttribute('role') === 'status'")?;
    page.add(&invent(world, "without", 1.2)?)?;
    page.separate()?;
    page.end()?;

    // A GPU that is demanded but missing is an error.
    let page = Page::blank(world, Gpu::None)?;
    page.browser.go(&format!("{}?device=gpu", world.page))?;
    page.until("$('device').dataset.kind === 'none' && notices().length > 0")?;
    page.ensure("notices()[0].startsWith('No usable device')")?;
    page.end()
}

fn lost_device(world: &World) -> Result<()> {
    let file = invent(world, "lost", 3.25)?;
    let model = world.folder.path().join("small.safetensors");
    invented::write(&model)?;
    let page = Page::open(world, Gpu::Software, "?device=gpu")?;
    page.use_model(&model)?;
    page.ensure("$('device').dataset.software === 'true' && /swiftshader/i.test($('device').textContent)")?;
    page.add(&file)?;
    page.watch()?;
    page.click("separate")?;
    page.until("$('song').dataset.state === 'running' && !$('play').disabled")?;
    page.browser.run("watch.workers[0].postMessage({ type: 'lose' });", &[])?;
    page.until("notices().some((text) => text.startsWith('The GPU failed and was reopened.'))")?;
    page.done()?;
    println!("  SwiftShader: {}", page.smoothness()?);
    println!(
        "  {} bytes on the device, {} in the heap",
        page.value("$('memory').dataset.gpu")?,
        page.value("$('memory').dataset.wasm")?
    );
    page.ensure("/swiftshader/i.test($('device').textContent)")?;
    hold_against_native(world, &page, &file, &model)?;
    page.end()
}

fn broken_worker(world: &World) -> Result<()> {
    let file = invent(world, "broken", 14.0)?;
    let page = Page::open(world, Gpu::None, "?device=cpu")?;
    page.add(&file)?;
    page.click("separate")?;
    page.until("$('song').dataset.state === 'running' && !$('play').disabled")?;
    // No handler expects this message. It throws an uncaught error, as a panic does.
    page.browser.run("watch.workers[0].postMessage(null);", &[])?;
    page.until("$('song').dataset.state === 'failed' && !$('continue').hidden")?;
    let notice = page.value("notices().at(-1)")?;
    println!("  {}", notice.as_str().context("a text")?);
    page.ensure("/crashed and was restarted.*are kept/.test(notices().at(-1))")?;
    page.ensure("watch.workers.length === 3")?;
    page.click("continue")?;
    page.done()?;
    hold_against_native(world, &page, &file, &song::model())?;
    page.end()
}
