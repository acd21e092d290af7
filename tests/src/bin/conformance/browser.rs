//! Runs the cases in headless browsers, on the CPU path and on WebGPU, through the page that people use too.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use browser::{Browser, Driver, Firefox, Gpu, Window};
use conformance::report::{Check, Entry};

use crate::table::{Report, ReportedDevice, entry, header, row, skip_all};

/// Longest wait for a new row of the page.
const PATIENCE: Duration = Duration::from_secs(600);

/// A browser that the cases run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// With SwiftShader, its own software adapter. Its WGSL compiler is Tint.
    Chromium,
    /// With the adapters of the machine. Its WGSL compiler is naga.
    Firefox,
}

/// Runs these cases on the page at the address in `UNBRAID_PAGE`.
pub(crate) fn run(program: Program, names: &[String], report: &mut Report) -> Result<()> {
    let page = std::env::var("UNBRAID_PAGE").context(
        "UNBRAID_PAGE is not set; `cargo xtask conformance --device browser` builds and serves the page",
    )?;
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
    let answer = loop {
        thread::sleep(Duration::from_millis(500));
        let script = "const all = conformance(); const entries = all.entries.slice(arguments[0]); \
                      return { ...all, entries };";
        let mut answer = window.run(script, &[(report.entries.len() - first).into()])?;
        let entries: Vec<Entry> = serde_json::from_value(answer["entries"].take())
            .context("the page's report has another format")?;
        for entry in entries {
            println!("{}", row(&entry));
            report.entries.push(Entry { device: place.clone(), ..entry });
            last_row = Instant::now();
        }
        if answer["finished"] == true || last_row.elapsed() > PATIENCE {
            break answer;
        }
    };
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    let trouble = match answer["error"].as_str() {
        Some(error) => Some(error.to_owned()),
        None if answer["finished"] != true => Some(format!("no result for {} s", PATIENCE.as_secs())),
        None => None,
    };
    let ran: Vec<String> = report.entries[first..].iter().map(|entry| entry.case.clone()).collect();
    for name in names.iter().filter(|name| !ran.contains(name)) {
        let check = Check::broken(
            "all",
            &format!("not run: {}", trouble.as_deref().unwrap_or("the page did not run it")),
        );
        report.entries.push(entry(&place, "none", name, check));
    }
    if report.entries.len() == first {
        bail!("the page ran no case");
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

/// A name for an address, with every byte except letters and digits as %XX.
fn escaped(name: &str) -> String {
    let letter = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02X}") }
    };
    name.bytes().map(letter).collect()
}
