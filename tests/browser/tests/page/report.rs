//! The page about a run that `unbraid train` writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use browser::{Browser, Gpu, Window};
use serde_json::{Value, json};

use crate::world::{Test, World};

pub(crate) const TESTS: &[Test] = &[("the_report_of_a_run_needs_nothing_but_itself", report)];

const NETWORK: &str = "family = 'tfswa_unet'\nname = 'small'\nstems = ['drums', 'bass', 'other', 'vocals']\n\
    sample_rate = 44100\nn_fft = 1024\nhop_length = 256\nsubbands = 8\ndims = [8, 8]\ndepths = [1, 1]\n\
    num_heads = 2\nwindow_size = [4, 4]\nmlp_ratio = 2\npositional = 'rotary'\n";

const TRAIN: &str = "train --device cpu --out run --data songs --model small.toml --segment 0.25 --batch-size 1 \
    --steps 60 --log-interval 1 --warmup-steps 10 --validation-interval 20 --validation-share 0.5 --validation-seconds 2";

/// Contrast of text with its ground, for the level AA of WCAG.
const LEAST_CONTRAST: f64 = 4.5;

/// The page of a small run.
fn run(world: &World) -> Result<PathBuf> {
    let folder = world.folder.path().join("report");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("small.toml"), NETWORK)?;
    for arguments in ["data synth songs --tracks 3 --seconds 6 --seed 1", TRAIN] {
        let mut command = Command::new(&world.program);
        let output = command.args(arguments.split_whitespace()).current_dir(&folder).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(folder.join("run/report.html"))
}

fn report(world: &World) -> Result<()> {
    let file = run(world)?;
    println!("  {} kB", fs::metadata(&file)?.len() / 1000);
    let mut grounds = Vec::new();
    for (device, [width, height]) in [("desktop", [1280, 800]), ("phone", [360, 740])] {
        for look in ["light", "dark"] {
            let browser = Browser::open(&world.driver, Gpu::None, [1280, 800])?;
            let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": device == "phone" });
            browser.devtools("Emulation.setDeviceMetricsOverride", &screen)?;
            let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": look }] });
            browser.devtools("Emulation.setEmulatedMedia", &media)?;
            // Without a network, a request would be an error in the console.
            browser.devtools("Network.enable", &json!({}))?;
            let offline =
                json!({ "offline": true, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
            browser.devtools("Network.emulateNetworkConditions", &offline)?;
            browser.go(&format!("file://{}", file.display()))?;
            let seen = look_at(&browser).with_context(|| format!("{device}, {look}"))?;
            check(&seen, width).with_context(|| format!("{device}, {look}: {seen:#}"))?;
            grounds.push(seen["ground"].clone());
            let console = browser.console()?;
            ensure!(console.is_empty(), "{device}, {look}: {console:#?}");
            shot(&browser, width, &world.shots.join(format!("report-{device}-{look}.png")))?;
        }
    }
    ensure!(grounds[0] == grounds[2] && grounds[1] == grounds[3] && grounds[0] != grounds[1], "{grounds:?}");
    Ok(())
}

/// What a person sees and hears on the page.
fn look_at(browser: &Browser<'_>) -> Result<Value> {
    browser.run(
        "const all = (selector) => [...document.querySelectorAll(selector)];
         const channels = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((value) => {
             const share = value / 255;
             return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
         });
         const luminance = (colour) => channels(colour).reduce((sum, value, at) => sum + [0.2126, 0.7152, 0.0722][at] * value, 0);
         const ground = (element) => {
             for (; element; element = element.parentElement) {
                 const { backgroundColor } = getComputedStyle(element);
                 if (!/, 0\\)$|transparent/.test(backgroundColor)) return backgroundColor;
             }
             return 'rgb(255, 255, 255)';
         };
         const contrast = (element, colour) => {
             const [low, high] = [luminance(colour), luminance(ground(element))].sort((a, b) => a - b);
             return (high + 0.05) / (low + 0.05);
         };
         const words = all('h1, h2, h3, p, th, td, b, small, .key, summary').filter((one) => one.textContent.trim());
         const lines = all('svg .line:not(.faint)').map((line) => ({
             chart: line.closest('figure').querySelector('b').textContent,
             length: line.getTotalLength(),
             width: line.getBoundingClientRect().width,
             contrast: contrast(line, getComputedStyle(line).stroke),
         }));
         const sounds = [];
         for (const audio of all('audio')) {
             await new Promise((resolve, reject) => {
                 if (audio.readyState >= 1) return resolve();
                 audio.onloadedmetadata = resolve;
                 audio.onerror = () => reject(audio.error.message);
             });
             sounds.push(audio.duration);
         }
         const [first] = all('audio');
         first.muted = false;
         await first.play();
         const began = performance.now();
         while (first.currentTime < 0.3 && performance.now() - began < 30000) await new Promise((next) => setTimeout(next, 20));
         const played = first.currentTime;
         first.pause();
         const beyond = all('body *').filter((one) => !one.closest('.wide, svg') && one.getBoundingClientRect().right > innerWidth + 0.5);
         return {
             lines, sounds, played,
             pictures: all('img').map((picture) => picture.complete && picture.naturalWidth > 0),
             contrast: Math.min(...words.map((one) => contrast(one, getComputedStyle(one).color))),
             ground: getComputedStyle(document.body).backgroundColor,
             requests: performance.getEntriesByType('resource').map(({ name }) => name).filter((name) => !name.startsWith('data:')),
             scripts: all('script').length,
             width: document.documentElement.scrollWidth,
             beyond: beyond.map((one) => one.outerHTML.slice(0, 80)),
         };",
        &[],
    )
}

fn check(seen: &Value, width: u32) -> Result<()> {
    ensure!(seen["width"].as_f64().is_some_and(|seen| seen <= f64::from(width)), "it scrolls horizontally");
    ensure!(seen["beyond"] == json!([]), "something is cut off");
    ensure!(seen["requests"] == json!([]) && seen["scripts"] == 0, "it asks for something");
    ensure!(seen["contrast"].as_f64().is_some_and(|least| least >= LEAST_CONTRAST), "text is hard to read");
    let lines = seen["lines"].as_array().context("no lines")?;
    for chart in ["Loss", "Terms of the loss", "Gradient norm", "Learning rate", "Speed", "uSDR", "SI-SDR"] {
        ensure!(lines.iter().any(|line| line["chart"] == chart), "no curve in {chart}");
    }
    for line in lines {
        let [length, across, contrast] = ["length", "width", "contrast"].map(|name| line[name].as_f64());
        let drawn = length.is_some_and(|length| length > 100.0) && across.is_some_and(|across| across > 60.0);
        // Level AA of WCAG for graphics.
        ensure!(drawn && contrast.is_some_and(|contrast| contrast >= 3.0), "{line}");
    }
    // The mixture, and the truth and the estimate of four stems.
    let sounds = seen["sounds"].as_array().context("no sounds")?;
    ensure!(sounds.len() == 9 && sounds.iter().all(|seconds| seconds.as_f64() > Some(1.0)), "{sounds:?}");
    ensure!(seen["played"].as_f64() >= Some(0.3), "the first excerpt does not play");
    ensure!(seen["pictures"] == json!(vec![true; 9]), "a picture is missing");
    Ok(())
}

/// Leaves a picture of the whole page for people.
fn shot(browser: &Browser<'_>, width: u32, path: &Path) -> Result<()> {
    let size = browser.devtools("Page.getLayoutMetrics", &json!({}))?["cssContentSize"].clone();
    let clip = json!({ "x": 0, "y": 0, "width": width, "height": size["height"], "scale": 1 });
    let picture = browser
        .devtools("Page.captureScreenshot", &json!({ "captureBeyondViewport": true, "clip": clip }))?;
    Ok(fs::write(path, STANDARD.decode(picture["data"].as_str().context("a picture")?)?)?)
}
