//! `conformance run`: every case on every device, with fusion and without it.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use conformance::cases::{self, Target};
use conformance::report::{Check, Entry};
use unbraid_ops::device::{self, Choice, DeviceError, DeviceInfo, DeviceKind};

use crate::browser::{self, Program};
use crate::child;
use crate::table::{Report, ReportedDevice, entry, header, row, skip_all, summarise};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only this device: cpu, gpu, or gpu:N as `unbraid doctor` lists them; chromium, firefox, or browser for both
    /// [default: every native device]
    #[arg(long)]
    device: Option<Place>,
    /// Every native device and both browsers, in one table
    #[arg(long, conflicts_with = "device")]
    all: bool,
    /// Only cases whose names contain this
    #[arg(long, default_value = "")]
    only: String,
    /// Write the table as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A device, or browsers, that the cases run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Native(Choice),
    Browsers(&'static [Program]),
}

impl FromStr for Place {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "browser" => Ok(Self::Browsers(&BROWSERS)),
            "chromium" => Ok(Self::Browsers(&[Program::Chromium])),
            "firefox" => Ok(Self::Browsers(&[Program::Firefox])),
            device => device.parse().map(Self::Native),
        }
    }
}

const BROWSERS: [Program; 2] = [Program::Chromium, Program::Firefox];

#[derive(Debug, Args)]
pub(crate) struct One {
    #[arg(long)]
    device: Choice,
    #[arg(long)]
    fusion: String,
    #[arg(long)]
    only: String,
    /// Processes among which the cases are divided
    #[arg(long)]
    shares: usize,
    /// Index of this process among them, from 0
    #[arg(long)]
    share: usize,
}

/// burn decides on fusion when it sees a sequence of operations for the first time. With no exploration nothing is
/// fused.
const FUSION_OFF: (&str, &str) = ("BURN_FUSION_MAX_EXPLORATIONS", "0");

/// Runs the cases. Returns true if no case failed.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let names: Vec<String> = names(&arguments.only);
    if names.is_empty() {
        bail!("no case's name contains `{}`", arguments.only);
    }
    let devices = match arguments.device {
        Some(Place::Native(choice)) => vec![device::select(choice)?.1],
        Some(Place::Browsers(_)) => Vec::new(),
        None => device::list(),
    };
    let mut report = Report::default();
    if devices.iter().all(|info| info.kind == DeviceKind::Cpu) && arguments.device.is_none() {
        skip_all(&mut report, "gpu", &DeviceError::NoAdapter.to_string(), &names);
    }
    for info in devices {
        let start = Instant::now();
        run_device(&info, &arguments.only, &names, &mut report)?;
        report.devices.push(ReportedDevice {
            device: info.choice.to_string(),
            name: info.name,
            driver: format!("{} {}", info.driver, info.driver_version).trim().to_owned(),
            trusted: info.trusted.is_ok(),
            seconds: start.elapsed().as_secs_f64(),
        });
    }
    let browsers = match arguments.device {
        Some(Place::Browsers(browsers)) => browsers,
        None if arguments.all => &BROWSERS,
        _ => &[],
    };
    for &program in browsers {
        browser::run(program, &names, &mut report)?;
    }
    if let Some(path) = &arguments.json {
        child::write_report(path, &report)?;
    }
    Ok(summarise(&report))
}

fn names(only: &str) -> Vec<String> {
    cases::all().iter().map(cases::Case::name).filter(|name| name.contains(only)).collect()
}

fn run_device(info: &DeviceInfo, only: &str, names: &[String], report: &mut Report) -> Result<()> {
    let device = info.choice.to_string();
    println!("\n{device}: {} ({}) {}", info.name, info.kind, info.driver_version);
    if let Err(reason) = &info.trusted {
        skip_all(report, &device, reason, names);
        return Ok(());
    }
    let fusions: &[&str] = if info.kind == DeviceKind::Cpu { &["none"] } else { &["on", "off"] };
    for &fusion in fusions {
        println!("\n{device}, fusion {fusion}\n{}", header());
        let first = report.entries.len();
        let ends = run_shares(&device, fusion, only, &mut report.entries)?;
        for (share, status) in ends.iter().enumerate().filter(|(_, status)| !status.success()) {
            let ran = |name: &&String| report.entries[first..].iter().any(|entry| entry.case == **name);
            let shared = names.iter().skip(share).step_by(ends.len());
            let missing: Vec<&String> = shared.filter(|name| !ran(name)).collect();
            for name in missing {
                let check = Check::broken("all", &format!("not run: the process ended with {status}"));
                report.entries.push(entry(&device, fusion, name, check));
            }
        }
        report.entries[first..].sort_by_key(|entry| names.iter().position(|name| *name == entry.case));
    }
    Ok(())
}

/// Runs the cases in a few processes at a time and returns their exit statuses. A software adapter compiles a kernel on
/// one core, and compilation takes most of the time.
fn run_shares(device: &str, fusion: &str, only: &str, entries: &mut Vec<Entry>) -> Result<Vec<ExitStatus>> {
    const MOST_SHARES: usize = 4;
    let shares = thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_SHARES));
    let entries = Mutex::new(entries);
    let run_share = |share: usize| {
        let (share, shares) = (share.to_string(), shares.to_string());
        let arguments = [
            "run-one", "--device", device, "--fusion", fusion, "--only", only, "--shares", &shares,
            "--share", &share,
        ]
        .map(str::to_owned);
        let environment: &[(&str, &str)] = if fusion == "off" { &[FUSION_OFF] } else { &[] };
        child::each_line(&arguments, environment, |entry: Entry| {
            let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
            println!("{}", row(&entry));
            entries.push(entry);
        })
    };
    let run_share = &run_share;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..shares).map(|share| scope.spawn(move || run_share(share))).collect();
        threads.into_iter().map(|thread| thread.join().expect("the reading thread does not panic")).collect()
    })
}

/// Runs the cases on one device in this process.
pub(crate) fn one(one: &One) -> Result<()> {
    let (device, info) = device::select(one.device)?;
    let target = Target { device, software: info.kind == DeviceKind::Software };
    let chosen =
        cases::all().into_iter().map(|case| (case.name(), case)).filter(|(name, _)| name.contains(&one.only));
    for (name, case) in chosen.skip(one.share).step_by(one.shares) {
        let checks = pollster::block_on(case.run(&target))
            .unwrap_or_else(|error| vec![Check::broken("all", &format!("the device failed: {error:?}"))]);
        for check in checks {
            child::send(&entry(&one.device.to_string(), &one.fusion, &name, check))?;
        }
    }
    Ok(())
}
