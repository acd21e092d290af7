//! The page stays quick and small while its worker computes.

use anyhow::{Context, Result, bail, ensure};
use browser::{Gpu, Window};

use crate::journey::invent;
use crate::page::Page;
use crate::{Test, World};

pub(crate) const TESTS: &[Test] = &[
    ("the_page_moves_on_while_the_worker_computes", frames),
    ("memory_does_not_grow_with_the_song", memory),
];

/// Longest time between two frames in ms, at the best of some attempts: what else runs on the machine delays any one.
const LONGEST_GAP_MS: f64 = 50.0;

const ATTEMPTS: usize = 5;

/// With those that do not count: where no task of the main thread was long, the page did not hold the frame up.
const MOST_ATTEMPTS: usize = 15;

fn frames(world: &World) -> Result<()> {
    let file = invent(world, "smooth", 12.0)?;
    let mut best = f64::INFINITY;
    let mut counted = 0;
    for _ in 0..MOST_ATTEMPTS {
        // A page of its own for each: what a page does only the first time counts.
        let page = Page::open(world, Gpu::None, "?device=cpu")?;
        page.add(&file)?;
        let (gap, task) = worst_gap(&page)?;
        best = best.min(gap);
        if gap < LONGEST_GAP_MS {
            // The same with a main thread that works now and then: the measure must see it.
            let busy = "setInterval(() => { for (const end = performance.now() + 120; performance.now() < end; ); }, 500);";
            page.browser.run(busy, &[])?;
            let (gap, _) = worst_gap(&page)?;
            ensure!(gap > 100.0, "a main thread that stops for 120 ms went unseen: {gap:.0} ms");
            return page.end();
        }
        page.end()?;
        counted += usize::from(task > 0.0);
        if counted == ATTEMPTS {
            break;
        }
    }
    bail!("a gap of {best:.0} ms between two frames")
}

/// Separates the song while it plays; the longest time between two frames, and the longest task of the main thread, 0
/// where none took 50 ms.
fn worst_gap(page: &Page<'_>) -> Result<(f64, f64)> {
    page.until("$('play').dataset.state === 'stopped'")?;
    page.watch()?;
    page.click("separate")?;
    page.until("$('song').dataset.state === 'running' && !$('play').disabled")?;
    page.click("play")?;
    page.until("$('song').dataset.state === 'done'")?;
    let (gap, frames, task) = page.smoothness()?;
    page.ensure("$('play').dataset.state === 'playing'")?;
    page.click("play")?;
    println!("  longest gap {gap:.0} ms of {frames} frames, longest task of the main thread {task:.0} ms");
    ensure!(frames > 60, "{frames} frames");
    Ok((gap, task))
}

/// Seconds of a short song and of one four times as long.
const LENGTHS: [f64; 2] = [20.0, 80.0];

/// What a longer song may take more.
const MOST_GROWTH: f64 = 1.1;

fn memory(world: &World) -> Result<()> {
    let mut peaks = Vec::new();
    for seconds in LENGTHS {
        let file = invent(world, &format!("of {seconds} seconds"), seconds)?;
        let page = Page::open(world, Gpu::None, "?device=cpu")?;
        page.add(&file)?;
        page.separate()?;
        let number = |what: &str| page.value(what)?.as_f64().with_context(|| format!("no {what}"));
        // The heap of a module never shrinks: its size is its peak.
        let wasm = number("Number($('memory').dataset.wasm)")?;
        let script = number("performance.memory.usedJSHeapSize")?;
        println!(
            "  {seconds} s: {:.1} MB in the worker, {:.1} MB of scripts in the page",
            wasm / 1e6,
            script / 1e6
        );
        peaks.push(wasm);
        page.end()?;
    }
    ensure!(peaks[0] > 1e6 && peaks[1] <= MOST_GROWTH * peaks[0], "{peaks:?} bytes for {LENGTHS:?} s");
    Ok(())
}
