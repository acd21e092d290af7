//! The page's worker, tested through its messages.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use browser::{Browser, Gpu, Window};
use serde_json::{Value, json};

use crate::song::{self, floats, snr_db};
use crate::world::{Test, World};

pub(crate) const TESTS: &[Test] = &[
    ("stems_on_the_cpu_path_are_the_native_ones", stems_on_the_cpu_path),
    ("stems_on_webgpu_are_the_native_ones", stems_on_webgpu),
    ("a_part_of_a_song_and_its_waveform", part_and_waveform),
    ("cancel_is_answered_and_the_next_job_runs", cancel),
    ("bad_files_are_refused_with_a_reason", bad_files),
    ("bad_models_are_refused_with_a_reason", bad_models),
    ("without_webgpu_the_cpu_computes_and_says_so", no_webgpu),
    ("a_lost_device_is_opened_again_and_nothing_is_missing", lost_device),
];

/// Minimum SNR of the page's stems against the native CPU's, in dB.
pub(crate) const LEAST_SNR_DB: f64 = 90.0;

/// Functions that the scripts of these tests use.
const CLIENT: &str = include_str!("client.js");

const WINDOW: [u32; 2] = [1000, 700];

/// An empty document of the page's origin, with an input for files.
pub(crate) fn blank<'a>(world: &'a World, gpu: Gpu) -> Result<Browser<'a>> {
    let browser = Browser::open(&world.driver, gpu, WINDOW)?;
    browser.go(&format!("{}worker.js", world.page))?;
    browser.run(
        "const input = document.createElement('input'); input.type = 'file'; document.body.append(input);",
        &[],
    )?;
    Ok(browser)
}

pub(crate) fn run(browser: &Browser<'_>, script: &str, arguments: &[Value]) -> Result<Value> {
    let result = browser.run(&format!("{CLIENT}\n{script}"), arguments);
    // The message of a panic is on the console.
    result.with_context(|| browser.console().unwrap_or_default().join("\n"))
}

pub(crate) fn choose(browser: &Browser<'_>, file: &Path) -> Result<()> {
    browser.run("document.querySelector('input').value = '';", &[])?;
    browser.type_into(&browser.find("input")?, &file.to_string_lossy())
}

/// Fails if the console reports a violation of the page's policy.
pub(crate) fn no_violations(browser: &Browser<'_>) -> Result<()> {
    let violations: Vec<String> = browser
        .console()?
        .into_iter()
        .filter(|line| line.contains("Content Security Policy"))
        // The browser requests this file itself if a document is not a page.
        .filter(|line| !line.contains("favicon.ico"))
        .collect();
    ensure!(violations.is_empty(), "{violations:#?}");
    Ok(())
}

const SEPARATE: &str = "
    const worker = await withModel(arguments[0]);
    worker.send({ type: 'separate', job: 1, file: chosen(), from: 0, to: null });
    const { seconds } = await worker.until(is('done'));
    const blocks = worker.messages.filter(is('block'));
    const memory = worker.messages.filter(is('memory')).at(-1);
    worker.end();
    return { device: worker.device, model: worker.model, seconds, memory, ...together(blocks) };";

/// Separates a song on a device in the browser and compares the stems with the native program's.
fn compare(world: &World, gpu: Gpu, device: &str, seconds: f64) -> Result<()> {
    let file = world.folder.path().join(format!("song-{seconds}.wav"));
    song::write(&file, seconds)?;
    let browser = blank(world, gpu)?;
    choose(&browser, &file)?;
    let result = run(&browser, SEPARATE, &[device.into()])?;
    ensure!(result["device"]["kind"] == device, "{}", result["device"]);
    let names = result["model"]["stems"].as_array().context("stems")?;
    let names: Vec<String> = names.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect();
    ensure!(
        snr_db(&song::read(&file)?, &floats(&result["mixture"])?)? > 120.0,
        "the mixture is not the song"
    );

    let native = song::separate_natively(world, &file, &song::model(), &names)?;
    let stems = result["stems"].as_array().context("stems")?;
    ensure!(native.stems.len() == stems.len() && !stems.is_empty(), "{} stems", stems.len());
    let mut report = Vec::new();
    for ((name, expected), got) in names.iter().zip(&native.stems).zip(stems) {
        let snr = snr_db(expected, &floats(got)?)?;
        report.push(format!("{name} {snr:.1} dB"));
        ensure!(
            snr >= LEAST_SNR_DB,
            "{name} is {snr:.1} dB from the native stem, {LEAST_SNR_DB} dB are required"
        );
    }
    let speed = seconds / result["seconds"].as_f64().unwrap_or(f64::NAN);
    println!("  {device}: {}; {}", report.join(", "), result["memory"]);
    println!(
        "  {seconds} s of audio, seconds per second: {speed:.2} on {}, {:.2} natively",
        result["device"]["name"], native.speed
    );
    no_violations(&browser)
}

fn stems_on_the_cpu_path(world: &World) -> Result<()> {
    compare(world, Gpu::None, "cpu", 7.3)
}

fn stems_on_webgpu(world: &World) -> Result<()> {
    // Two segments. SwiftShader takes ten seconds for each.
    compare(world, Gpu::Software, "gpu", 1.75)?;
    // The same song on the CPU, to compare the speed.
    compare(world, Gpu::None, "cpu", 1.75)
}

fn part_and_waveform(world: &World) -> Result<()> {
    let file = world.folder.path().join("part.wav");
    song::write(&file, 9.0)?;
    let browser = blank(world, Gpu::None)?;
    choose(&browser, &file)?;
    let script = "
        const worker = await withModel('cpu');
        worker.send({ type: 'overview', job: 1, file: chosen() });
        worker.send({ type: 'separate', job: 2, file: chosen(), from: 2, to: 3.5 });
        await worker.until(is('done'));
        const blocks = worker.messages.filter(is('block'));
        const pieces = worker.messages.filter(is('overview'));
        const peaks = pieces.flatMap((piece) => [...piece.peaks]);
        const starts = pieces.map((piece) => piece.start);
        worker.end();
        return { peaks, starts, last: pieces.at(-1).samples, done: pieces.at(-1).done, ...together(blocks) };";
    let result = run(&browser, script, &[])?;
    let samples = 9 * song::RATE as usize;
    ensure!(result["last"] == samples && result["done"] == true, "{} {}", result["last"], result["done"]);
    let peaks: Vec<f64> =
        result["peaks"].as_array().context("peaks")?.iter().filter_map(Value::as_f64).collect();
    ensure!(peaks.len() == 2 * samples.div_ceil(1024), "{} peaks", peaks.len());
    let whole = song::read(&file)?;
    let (left, right) = whole.split_at(samples);
    for (index, pair) in peaks.chunks(2).enumerate() {
        let stretch = index * 1024..samples.min((index + 1) * 1024);
        let both = left[stretch.clone()].iter().chain(&right[stretch]).map(|sample| f64::from(*sample));
        let low = both.clone().fold(f64::INFINITY, f64::min);
        let high = both.fold(f64::NEG_INFINITY, f64::max);
        ensure!(pair == [low, high], "peaks {index}: {pair:?}, not {low} and {high}");
    }
    let (from, count) = (2 * song::RATE as usize, (1.5 * f64::from(song::RATE)) as usize);
    let expected: Vec<f32> =
        left[from..from + count].iter().chain(&right[from..from + count]).copied().collect();
    ensure!(floats(&result["mixture"])? == expected, "the part is not the song's");
    no_violations(&browser)
}

fn cancel(world: &World) -> Result<()> {
    let file = world.folder.path().join("long.wav");
    song::write(&file, 120.0)?;
    let browser = blank(world, Gpu::None)?;
    choose(&browser, &file)?;
    let script = "
        const worker = await withModel('cpu', 1);
        worker.send({ type: 'separate', job: 1, file: chosen(), from: 0, to: null });
        worker.send({ type: 'separate', job: 2, file: chosen(), from: 0, to: null });
        worker.send({ type: 'separate', job: 3, file: chosen(), from: 0, to: 1 });
        await worker.until(is('block'));
        const [first] = worker.messages.filter(is('block'));
        const asked = performance.now();
        worker.send({ type: 'cancel', job: 2 });
        worker.send({ type: 'cancel', job: 1 });
        await worker.until((message) => message.type === 'cancelled' && message.job === 1);
        const waited = performance.now() - asked;
        await worker.until((message) => message.type === 'done' && message.job === 3);
        const cancelled = worker.messages.filter(is('cancelled')).map((message) => message.job);
        const blocks = worker.messages.filter(is('block')).map((message) => message.job);
        const speed = worker.messages.filter(is('progress')).findLast(({ job, done }) => job === 1 && done > 0).speed;
        worker.end();
        return { waited, cancelled, blocks, speed };";
    let result = run(&browser, script, &[])?;
    ensure!(result["cancelled"] == json!([2, 1]), "{}", result["cancelled"]);
    let blocks = result["blocks"].as_array().context("blocks")?;
    // The first block, and possibly the one that was being computed.
    let of_first = blocks.iter().filter(|job| **job == 1).count();
    ensure!(of_first <= 2 && !blocks.contains(&json!(2)) && blocks.contains(&json!(3)), "{blocks:?}");
    let (waited, speed) =
        (result["waited"].as_f64().context("ms")?, result["speed"].as_f64().context("speed")?);
    println!("  cancelled after {waited:.0} ms; a segment takes about {:.0} ms", 4500.0 / speed);
    ensure!(waited < 2.0 * 6000.0 / speed + 500.0, "cancelled only after {waited:.0} ms");
    no_violations(&browser)
}

fn bad_files(world: &World) -> Result<()> {
    let folder = world.folder.path();
    let whole = folder.join("whole.wav");
    song::write(&whole, 3.0)?;
    let whole = fs::read(&whole)?;
    let huge = folder.join("huge.wav");
    // A sparse file: 3 GB that take no space on the disk.
    fs::File::create(&huge)?.set_len(3_000_000_000)?;
    let mut not_finite = whole.clone();
    not_finite[20] = 3; // The format tag of floats,
    not_finite[34] = 32; // of 32 bits each. The data are 16-bit integers.
    // The browser's decoder is tried for an unknown format only.
    let cases: [(&str, Vec<u8>, &str, &str); 6] = [
        ("empty.wav", Vec::new(), "file", "empty"),
        ("text.mp3.txt", b"not a song, but a text about one".repeat(50), "file", "not an audio file"),
        ("unknown.mp3.dat", vec![0x80; 5000], "format", "not an audio file"),
        ("cut.wav", whole[..whole.len() / 2].to_vec(), "file", "cut short"),
        ("header.wav", whole[..30].to_vec(), "file", ""),
        ("contradiction.wav", not_finite, "file", ""),
    ];
    let browser = blank(world, Gpu::None)?;
    let script = "
        const worker = await withModel('cpu');
        const start = performance.now();
        worker.send({ type: arguments[0], job: 7, file: chosen(), from: 0, to: null });
        const { job, kind, message } = await worker.until(is('error'));
        worker.end();
        return { job, kind, message, ms: performance.now() - start };";
    let refused = |path: &Path, kind: &str, part: &str| -> Result<()> {
        choose(&browser, path)?;
        for verb in ["overview", "separate"] {
            let result = run(&browser, script, &[verb.into()])?;
            let message = result["message"].as_str().unwrap_or_default();
            ensure!(
                result["kind"] == kind && result["job"] == 7 && message.contains(part),
                "{} ({verb}): {result}",
                path.display()
            );
            if verb == "separate" {
                println!("  {}: {message}", path.file_name().unwrap_or_default().to_string_lossy());
            }
            if result["ms"].as_f64().is_none_or(|ms| ms > 5000.0) {
                anyhow::bail!("{} was refused after {} ms", path.display(), result["ms"]);
            }
        }
        Ok(())
    };
    for (name, bytes, kind, part) in cases {
        let path = folder.join(name);
        fs::write(&path, bytes)?;
        refused(&path, kind, part)?;
    }
    refused(&huge, "file", "3.0 GB")?;
    no_violations(&browser)
}

fn bad_models(world: &World) -> Result<()> {
    let browser = blank(world, Gpu::None)?;
    let script = "
        const worker = await started('cpu');
        const good = await (await fetch('/models/default.safetensors')).arrayBuffer();
        const noise = new Uint8Array(100000).map((_, index) => (index * 7919) >> 3).buffer;
        const cut = good.slice(0, good.byteLength / 2);
        const foreign = new TextEncoder().encode('{}'.padEnd(64));
        const other = new Uint8Array(8 + foreign.length);
        other[0] = foreign.length;
        other.set(foreign, 8);
        // NaN in the last weight.
        const broken = good.slice(0);
        new DataView(broken).setUint32(broken.byteLength - 4, 0x7fc00000, true);
        const messages = [];
        for (const bytes of [new ArrayBuffer(0), noise, cut, other.buffer, broken]) {
            const from = worker.messages.length;
            worker.send({ type: 'model', request: from, file: new Blob([bytes]) });
            const { kind, message, request } = await worker.until(is('error'), from);
            if (request !== from) throw new Error(`an answer to ${request}, not to ${from}`);
            messages.push([kind, message]);
        }
        let from = worker.messages.length;
        worker.send({ type: 'separate', job: 1, file: new File(['x'], 'x.wav'), from: 0, to: null });
        const none = await worker.until(is('error'), from);
        messages.push([none.kind, none.message]);
        from = worker.messages.length;
        worker.send({ type: 'model', request: from, file: new Blob([good]) });
        const { model } = await worker.until(is('model'), from);
        worker.end();
        return { messages, model };";
    let result = run(&browser, script, &[])?;
    for pair in result["messages"].as_array().context("messages")? {
        println!("  {}", pair[1].as_str().unwrap_or_default());
        ensure!(pair[0] == "model", "{pair}");
    }
    ensure!(result["model"]["stems"].as_array().is_some_and(|stems| stems.len() > 1), "{}", result["model"]);
    no_violations(&browser)
}

fn no_webgpu(world: &World) -> Result<()> {
    let browser = blank(world, Gpu::None)?;
    let script = "
        const { device, end } = await started('auto');
        end();
        const worker = openWorker();
        worker.send({ type: 'start', device: 'gpu', workers: null });
        const { kind, message } = await worker.until(is('error'));
        const from = worker.messages.length;
        worker.send({ type: 'model', request: 1, file: new Blob([]) });
        const later = await worker.until(is('error'), from);
        worker.end();
        return { device, kind, message, later: later.kind };";
    let result = run(&browser, script, &[])?;
    let note = result["device"]["note"].as_str().unwrap_or_default();
    ensure!(result["device"]["kind"] == "cpu" && note.contains("CPU"), "{result}");
    ensure!(result["kind"] == "device" && result["later"] == "device", "{result}");
    println!("  {note}");

    // `auto` ignores a software adapter, because the CPU path is faster.
    let browser = blank(world, Gpu::Software)?;
    let result = run(&browser, "const { device, end } = await started('auto'); end(); return device;", &[])?;
    let note = result["note"].as_str().unwrap_or_default();
    ensure!(result["kind"] == "cpu" && note.contains("software"), "{result}");
    println!("  {note}");
    Ok(())
}

fn lost_device(world: &World) -> Result<()> {
    let file = world.folder.path().join("lost.wav");
    song::write(&file, 1.0)?;
    let browser = blank(world, Gpu::Software)?;
    choose(&browser, &file)?;
    let script = "
        const worker = await withModel('gpu');
        worker.send({ type: 'separate', job: 1, file: chosen(), from: 0, to: 0.4 });
        await worker.until(is('done'));
        const whole = together(worker.messages.filter(is('block')));
        worker.messages.length = 0;
        worker.send({ type: 'separate', job: 2, file: chosen(), from: 0, to: 0.4 });
        await worker.until(is('progress'));
        worker.send({ type: 'lose' });
        await worker.until(is('done'));
        const { message } = worker.messages.find(is('recovered')) ?? {};
        const again = together(worker.messages.filter(is('block')));
        worker.end();
        return { message, whole, again };";
    let start = Instant::now();
    let result = run(&browser, script, &[])?;
    ensure!(start.elapsed() < Duration::from_secs(600), "it took {:?}", start.elapsed());
    println!("  {}", result["message"].as_str().unwrap_or_default());
    ensure!(result["message"].is_string(), "the device was not lost");
    let stems = |part: &str| result[part]["stems"].as_array().cloned().context("stems");
    for (expected, got) in stems("whole")?.iter().zip(&stems("again")?) {
        ensure!(floats(expected)? == floats(got)?, "the stems are not the same as without the loss");
    }
    Ok(())
}
