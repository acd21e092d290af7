//! The cases in headless browsers, on their CPU path and on WebGPU, through the page that people use too.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use browser::{Browser, Driver, Firefox, Gpu, Window};
use conformance::report::{Check, Entry};

use crate::run::{Report, ReportedDevice, entry, header, row, skip_all};

/// How long the page may go without a new row.
const PATIENCE: Duration = Duration::from_secs(600);

/// A browser that the cases run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// With SwiftShader, the software adapter that it brings. Its WGSL compiler is Tint.
    Chromium,
    /// With the machine's adapters. Its WGSL compiler is naga.
    Firefox,
}

/// Runs these cases on the page that `UNBRAID_PAGE` names.
pub(crate) fn run(program: Program, names: &[String], report: &mut Report) -> Result<()> {
    let page = std::env::var("UNBRAID_PAGE")
        .context("the page is not served; `cargo xtask conformance --device browser` makes and serves it")?;
    let available = match program {
        Program::Chromium => Driver::available(),
        Program::Firefox => Firefox::available(),
    };
    if let Err(reason) = available {
        println!();
        skip_all(report, program.name(), &reason, names);
        return Ok(());
    }
    match program {
        Program::Chromium => {
            let driver = Driver::start()?;
            for (device, gpu) in [("cpu", Gpu::None), ("gpu", Gpu::Software)] {
                let window = Browser::open(&driver, gpu, [1200, 900])?;
                run_device(&window, &page, program, device, names, report)?;
            }
        }
        Program::Firefox => {
            for device in ["cpu", "gpu"] {
                run_device(&Firefox::open()?, &page, program, device, names, report)?;
            }
        }
    }
    Ok(())
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::Chromium => "chromium",
            Self::Firefox => "firefox",
        }
    }
}

fn run_device(
    window: &impl Window,
    page: &str,
    program: Program,
    device: &str,
    names: &[String],
    report: &mut Report,
) -> Result<()> {
    let start = Instant::now();
    let place = format!("{} {device}", program.name());
    let only = names.iter().map(|name| escaped(name)).collect::<Vec<_>>().join(",");
    window.go(&format!("{page}conformance/?device={device}&only={only}&run"))?;
    println!("\n{place}\n{}", header());
    let first = report.entries.len();
    let mut last_row = Instant::now();
    let told = loop {
        thread::sleep(Duration::from_millis(500));
        let script = "const all = conformance(); const entries = all.entries.slice(arguments[0]); \
                      return { ...all, entries };";
        let mut told = window.run(script, &[(report.entries.len() - first).into()])?;
        let entries: Vec<Entry> =
            serde_json::from_value(told["entries"].take()).context("the page's report is not ours")?;
        for entry in entries {
            println!("{}", row(&entry));
            report.entries.push(Entry { device: place.clone(), ..entry });
            last_row = Instant::now();
        }
        if told["finished"] == true || last_row.elapsed() > PATIENCE {
            break told;
        }
    };
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    let trouble = match told["error"].as_str() {
        Some(error) => Some(error.to_owned()),
        None if told["finished"] != true => Some(format!("no result for {} s", PATIENCE.as_secs())),
        None => None,
    };
    let ran: Vec<String> = report.entries[first..].iter().map(|entry| entry.case.clone()).collect();
    for name in names.iter().filter(|name| !ran.contains(name)) {
        let check = Check::broken(
            "all",
            &format!("not run: {}", trouble.as_deref().unwrap_or("the page left it out")),
        );
        report.entries.push(entry(&place, "none", name, check));
    }
    if report.entries.len() == first {
        bail!("the page ran nothing");
    }
    report.devices.push(ReportedDevice {
        device: place,
        name: text("adapter"),
        driver: text("browser"),
        trusted: trouble.is_none(),
        seconds: start.elapsed().as_secs_f64(),
    });
    Ok(())
}

/// A name in an address: all but letters and digits as %XX.
fn escaped(name: &str) -> String {
    let letter = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02X}") }
    };
    name.bytes().map(letter).collect()
}
