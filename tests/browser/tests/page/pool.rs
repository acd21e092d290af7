//! Several workers compute without a GPU, and the stems are those of one worker.

use anyhow::{Context, Result, ensure};
use browser::Gpu;
use serde_json::{Value, json};

use crate::song;
use crate::worker::{blank, choose, no_violations, run};
use crate::world::{Skipped, Test, World};

pub(crate) const TESTS: &[Test] = &[
    ("several_workers_return_the_bits_of_one_in_the_same_order", same_bits),
    ("two_workers_are_faster_than_one", faster),
    ("a_helper_that_fails_costs_no_sample", failed_helper),
    ("a_cancelled_job_ends_its_helpers", cancel),
];

/// Separates the chosen file with a number of workers.
const SEPARATE: &str = "
    const worker = await withModel('cpu', arguments[0]);
    worker.send({ type: 'separate', job: 1, file: chosen(), from: 0, to: null });
    const { seconds, samples } = await worker.until(is('done'));
    const blocks = worker.messages.filter(is('block'));
    const bytes = worker.messages.filter(is('memory')).at(-1).wasm;
    const devices = worker.messages.filter(is('ready')).map(({ device }) => device);
    worker.end();
    return { seconds, samples, bytes, devices, lengths: blocks.map(({ mixture }) => mixture[0].length), ...together(blocks) };";

/// The part of a result that must not depend on the number of workers.
fn same(result: &Value) -> Value {
    let parts = ["samples", "lengths", "mixture", "stems"];
    parts
        .iter()
        .map(|part| ((*part).to_owned(), result[part].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn same_bits(world: &World) -> Result<()> {
    let file = world.folder.path().join("shared.wav");
    // 17 segments of a second, of which the last is moved back: no number of workers below divides them.
    song::write(&file, 12.8)?;
    let browser = blank(world, Gpu::None)?;
    choose(&browser, &file)?;
    let alone = run(&browser, SEPARATE, &[1.into()])?;
    ensure!(alone["devices"][0]["name"] == "one thread", "{}", alone["devices"]);
    let megabytes = |result: &Value| result["bytes"].as_f64().map(|bytes| bytes / 1e6).context("bytes");
    println!("  one worker: {:.1} MB", megabytes(&alone)?);
    let lengths: Vec<u64> = serde_json::from_value(alone["lengths"].clone())?;
    let (last, blocks) = lengths.split_last().context("no block")?;
    ensure!(blocks.iter().all(|length| *length == blocks[0]) && *last <= blocks[0], "{lengths:?}");
    for workers in [2, 3, 5] {
        let together = run(&browser, SEPARATE, &[workers.into()])?;
        let devices = together["devices"].as_array().context("devices")?;
        // No helper failed.
        ensure!(devices.len() == 1 && devices[0]["name"] == format!("{workers} threads"), "{devices:?}");
        let bytes = megabytes(&together)?;
        println!("  {workers} workers: {bytes:.1} MB, {:.1} MB each", bytes / f64::from(workers));
        // Each helper has its own heap.
        ensure!(bytes > 10.0 * f64::from(workers), "not all helpers have computed: {bytes:.1} MB");
        ensure!(same(&together) == same(&alone), "{workers} workers return other stems than one");
    }
    no_violations(&browser)
}

/// Minimum ratio of the time with one worker to the time with two, on two cores. Both are the best of all runs. Two idle
/// cores give more. The test must also pass on a machine that does other work.
const LEAST_GAIN: f64 = 1.1;

/// Other programs slow down single runs, so there are more runs until the gain is reached, up to this number.
const MOST_RUNS: usize = 6;

fn faster(world: &World) -> Result<()> {
    let file = world.folder.path().join("timed.wav");
    song::write(&file, 25.0)?;
    let browser = blank(world, Gpu::None)?;
    choose(&browser, &file)?;
    let threads = run(&browser, "return navigator.hardwareConcurrency;", &[])?.as_u64().context("threads")?;
    if threads < 2 {
        return Err(Skipped("the machine has one core".to_owned()).into());
    }
    let mut best = [f64::INFINITY; 2];
    for _ in 0..MOST_RUNS {
        for (best, workers) in best.iter_mut().zip([1, 2]) {
            let seconds =
                run(&browser, SEPARATE, &[workers.into()])?["seconds"].as_f64().context("seconds")?;
            *best = best.min(seconds);
        }
        let [one, two] = best;
        println!(
            "  25 s of audio: {one:.2} s with one worker, {two:.2} s with two, {:.2} times as fast",
            one / two
        );
        if one / two >= LEAST_GAIN {
            return no_violations(&browser);
        }
    }
    anyhow::bail!("two workers are not {LEAST_GAIN} times as fast as one")
}

fn failed_helper(world: &World) -> Result<()> {
    let file = world.folder.path().join("failed.wav");
    song::write(&file, 9.0)?;
    let browser = blank(world, Gpu::None)?;
    choose(&browser, &file)?;
    let alone = run(&browser, SEPARATE, &[1.into()])?;
    let script = SEPARATE.replace(
        "const { seconds, samples }",
        "await worker.until(is('block'));
         worker.send({ type: 'lose' });
         const { seconds, samples }",
    );
    for (workers, left) in [(2, "one thread"), (3, "2 threads")] {
        let result = run(&browser, &script, &[workers.into()])?;
        let devices = result["devices"].as_array().context("devices")?;
        ensure!(devices.len() == 2 && devices[1]["name"] == left, "{devices:?}");
        let note = devices[1]["note"].as_str().unwrap_or_default();
        println!("  {note}");
        ensure!(note.contains("a worker failed"), "{note}");
        ensure!(same(&result) == same(&alone), "the stems are not the same as without the failure");
    }
    no_violations(&browser)
}

fn cancel(world: &World) -> Result<()> {
    let file = world.folder.path().join("cancelled by two.wav");
    song::write(&file, 60.0)?;
    let browser = blank(world, Gpu::None)?;
    choose(&browser, &file)?;
    let script = "
        const worker = await withModel('cpu', 2);
        worker.send({ type: 'separate', job: 1, file: chosen(), from: 0, to: null });
        await worker.until(is('block'));
        worker.send({ type: 'cancel', job: 1 });
        await worker.until(is('cancelled'));
        const ended = worker.messages.filter(is('block')).length;
        worker.send({ type: 'separate', job: 2, file: chosen(), from: 50, to: 50.5 });
        await worker.until(is('done'));
        const blocks = worker.messages.filter(is('block'));
        const bytes = worker.messages.filter(is('memory')).at(-1).wasm;
        const peak = Math.max(...worker.messages.filter(is('memory')).map(({ wasm }) => wasm));
        worker.end();
        return { ended, bytes, peak, next: blocks.filter(({ job }) => job === 2).length, all: blocks.length };";
    let result = run(&browser, script, &[])?;
    // The first block, and those of the next read.
    ensure!(result["ended"].as_u64().is_some_and(|ended| ended <= 3), "{result}");
    ensure!(
        result["next"] == 1 && result["all"] == json!(result["ended"].as_u64().unwrap_or(0) + 1),
        "{result}"
    );
    // A part of one segment needs one helper, and those of the cancelled job are gone.
    let [bytes, peak] = ["bytes", "peak"].map(|name| result[name].as_f64().unwrap_or(f64::NAN));
    println!("  {:.1} MB with two helpers, {:.1} MB with one", peak / 1e6, bytes / 1e6);
    ensure!(bytes < peak - 10e6, "{result}");
    no_violations(&browser)
}
