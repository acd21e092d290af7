//! The page opens quickly and obeys its own policy. Screenshots show its looks.

use std::fs;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use browser::{Gpu, Window};
use serde_json::json;

use crate::journey::invent;
use crate::page::{Page, quantile};
use crate::world::{Test, World};

pub(crate) const TESTS: &[Test] = &[
    ("the_pages_own_scripts_pass_their_tests", scripts),
    ("the_page_opens_quickly_and_has_its_looks", looks),
];

/// Runs the tests of `web/tests` in a window.
fn scripts(world: &World) -> Result<()> {
    let page = Page::blank(world, Gpu::None)?;
    page.browser.go(&format!("{}tests/", world.sources))?;
    page.until("window.result !== undefined")?;
    let result = page.value("window.result")?;
    println!("  {} passed", result["passed"]);
    ensure!(result["failed"] == 0 && result["passed"].as_u64().is_some_and(|passed| passed > 30), "{result}");
    page.end()
}

/// Bound for the median time of four loads until the first contentful paint, in ms.
const FIRST_PAINT_MS: f64 = 1000.0;

/// Leaves screenshots for people, such as `mixer-phone-dark.png`: the start, a separation, and the mixer.
fn looks(world: &World) -> Result<()> {
    let file = invent(world, "A day in the life of a test", 24.0)?;
    let mut paints = Vec::new();
    for (device, [width, height]) in [("desktop", [1280, 800]), ("phone", [390, 844])] {
        for look in ["light", "dark"] {
            let page = Page::blank(world, Gpu::None)?;
            let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": device == "phone" });
            page.browser.devtools("Emulation.setDeviceMetricsOverride", &screen)?;
            let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": look }] });
            page.browser.devtools("Emulation.setEmulatedMedia", &media)?;
            page.load(world, "")?;
            page.ensure(&format!(
                "matchMedia('(prefers-color-scheme: dark)').matches === {}",
                look == "dark"
            ))?;
            let paint = page.value("performance.getEntriesByName('first-contentful-paint')[0].startTime")?;
            let paint = paint.as_f64().context("a time")?;
            println!("  {device}, {look}: first paint after {paint:.0} ms");
            paints.push(paint);

            let shot = |name: &str| -> Result<()> {
                page.ensure(&format!("document.documentElement.scrollWidth <= {width}"))?;
                // The whole page, not only the part in the window.
                let size =
                    page.browser.devtools("Page.getLayoutMetrics", &json!({}))?["cssContentSize"].clone();
                let clip = json!({ "x": 0, "y": 0, "width": width, "height": size["height"], "scale": 1 });
                let picture = json!({ "captureBeyondViewport": true, "clip": clip });
                let picture = page.browser.devtools("Page.captureScreenshot", &picture)?;
                let picture = STANDARD.decode(picture["data"].as_str().context("a picture")?)?;
                Ok(fs::write(world.shots.join(format!("{name}-{device}-{look}.png")), picture)?)
            };
            shot("start")?;
            page.add(&file)?;
            page.click("separate")?;
            page.until("$('bar').value > 0.3")?;
            shot("running")?;
            page.done()?;
            page.until("[...document.querySelectorAll('#tracks canvas')].every(painted)")?;
            page.click_in("other", "mute")?;
            page.click_in("bass", "pictures")?;
            shot("mixer")?;
            page.end()?;
        }
    }
    let median = quantile(&paints, 0.5);
    ensure!(median < FIRST_PAINT_MS, "first paint after {median:.0} ms");
    Ok(())
}
