//! How the page opens: quickly, under its own policy, and what it looks like.

use std::fs;

use anyhow::{Context, Result, ensure};
use browser::{Browser, Gpu};
use serde_json::json;

use crate::song::base64;
use crate::worker::no_violations;
use crate::{Test, World};

pub(crate) const TESTS: &[Test] = &[("the_page_opens_quickly_and_under_its_policy", opens)];

/// Most milliseconds until something is seen, at the quickest of four times: a busy machine delays any one.
const FIRST_PAINT_MS: f64 = 1000.0;

/// Leaves a screenshot of each look for people: `page-desktop-dark.png` and so on.
fn opens(world: &World) -> Result<()> {
    let mut quickest = f64::INFINITY;
    for (device, size) in [("desktop", [1280, 900]), ("phone", [390, 844])] {
        for look in ["light", "dark"] {
            let browser = Browser::open(&world.driver, Gpu::None, [1280, 900])?;
            let [width, height] = size;
            let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": device == "phone" });
            browser.devtools("Emulation.setDeviceMetricsOverride", &screen)?;
            let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": look }] });
            browser.devtools("Emulation.setEmulatedMedia", &media)?;
            browser.go(&world.page)?;
            // Until the model is there: the page is then as a person finds it.
            let script = "
                const paint = () => performance.getEntriesByName('first-contentful-paint')[0];
                while (!paint()) await new Promise((resolve) => setTimeout(resolve, 50));
                await new Promise((resolve) => setTimeout(resolve, 2000));
                const dark = matchMedia('(prefers-color-scheme: dark)').matches;
                const wide = document.documentElement.scrollWidth;
                return { paint: paint().startTime, dark, wide };";
            let page = browser.run(script, &[])?;
            ensure!(page["dark"] == (look == "dark"), "{page}");
            ensure!(
                page["wide"].as_u64().is_some_and(|wide| wide <= width),
                "wider than its {width}: {page}"
            );
            let paint = page["paint"].as_f64().context("a time")?;
            println!("  {device}, {look}: first paint after {paint:.0} ms");
            quickest = quickest.min(paint);
            no_violations(&browser)?;
            let picture = base64(&browser.screenshot()?)?;
            fs::write(world.shots.join(format!("page-{device}-{look}.png")), picture)?;
        }
    }
    ensure!(quickest < FIRST_PAINT_MS, "first paint after {quickest:.0} ms");
    Ok(())
}
