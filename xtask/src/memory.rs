//! `cargo xtask bench memory`: the memory of training at common settings, measured by `unbraid plan` in one process per
//! setting.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde_json::{Value, json};

use crate::cargo::{build, program, say, write_json};

/// Measures the peak memory of real training steps on noise
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench memory")]
struct Options {
    /// cpu, gpu, or gpu:N, as `unbraid doctor` lists them
    #[arg(long, default_value = "gpu")]
    device: String,
    /// Real steps of each setting; 0 makes only a dry run, which runs no kernel
    #[arg(long, default_value_t = 3)]
    steps: u32,
    /// Only settings whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Write the measurements as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Names and flags of the settings. All have batch size 1. All except the tiny ones have chunks of 64 sequences.
const SETTINGS: [(&str, &str); 11] = [
    (
        "6 s, 2048/512, sublayer",
        "--model tfswa_unet --recompute sublayer --tsa-chunk-size 64 --fsa-chunk-size 64",
    ),
    ("6 s, 2048/512, block", "--model tfswa_unet --preset low-vram"),
    (
        "6 s, 2048/512, sublayer, f16",
        "--model tfswa_unet --recompute sublayer --tsa-chunk-size 64 --fsa-chunk-size 64 --precision f16",
    ),
    ("6 s, 2048/512, block, f16", "--model tfswa_unet --preset low-vram --precision f16"),
    (
        "3 s, 1024/256, block",
        "--model tfswa_unet --segment 3 --n-fft 1024 --hop-length 256 --preset low-vram",
    ),
    (
        "3 s, 1024/256, block, f16",
        "--model tfswa_unet --segment 3 --n-fft 1024 --hop-length 256 --preset low-vram --precision f16",
    ),
    ("level1", "--model tfswa_unet --preset level1"),
    ("level2", "--model tfswa_unet --preset level2"),
    ("level3", "--preset level3"),
    ("tiny, 0.5 s", "--model tfswa_unet_tiny --segment 0.5 --recompute block"),
    ("tiny, 0.5 s, f16", "--model tfswa_unet_tiny --segment 0.5 --recompute block --precision f16"),
];

/// Parses the arguments after `memory` and measures.
pub(crate) fn memory(args: &[std::ffi::OsString]) -> Result<()> {
    let name = std::iter::once("cargo xtask bench memory".into());
    let options = match Options::try_parse_from(name.chain(args.iter().cloned())) {
        Ok(options) => options,
        Err(error) => error.exit(),
    };
    let binary = build("unbraid")?;
    let mut rows = Vec::new();
    println!("{:<30} {:>10} {:>10} {:>10} {:>10}", "", "peak MB", "kept MB", "real MB", "s per step");
    for (name, flags) in SETTINGS.into_iter().filter(|(name, _)| name.contains(&options.only)) {
        let mut command = program(&binary);
        command.args(["plan", "--json", "--batch-size", "1", "--device", &options.device]);
        command.args(["--measure", &options.steps.to_string()]).args(flags.split_whitespace());
        let output = command.stderr(Stdio::inherit()).output().context("cannot start `unbraid plan`")?;
        if !output.status.success() {
            say(&format!("{name}: `unbraid plan` ended with {}", output.status));
            rows.push(json!({ "setting": name, "flags": flags, "failed": output.status.to_string() }));
            continue;
        }
        let estimate: Value = serde_json::from_slice(&output.stdout).context("`unbraid plan --json`")?;
        println!("{}", row(name, &estimate));
        rows.push(json!({ "setting": name, "flags": flags, "estimate": estimate }));
    }
    if rows.is_empty() {
        bail!("no setting's name contains {:?}", options.only);
    }
    let failed = rows.iter().filter(|row| row.get("failed").is_some()).count();
    if let Some(path) = &options.json {
        let report = json!({ "device": options.device, "settings": rows });
        write_json(path, &report)?;
    }
    if failed > 0 {
        bail!("{failed} of the settings could not be measured");
    }
    Ok(())
}

fn row(name: &str, estimate: &Value) -> String {
    let megabytes =
        |value: &Value| value.as_u64().map_or("-".into(), |bytes| (bytes / 1_000_000).to_string());
    let last = estimate["measured"].as_array().and_then(|steps| steps.last()).unwrap_or(&Value::Null);
    let seconds = last["seconds"].as_f64().map_or("-".into(), |seconds| format!("{seconds:.2}"));
    format!(
        "{name:<30} {:>10} {:>10} {:>10} {seconds:>10}",
        megabytes(&estimate["peak"]),
        megabytes(&estimate["kept"]),
        megabytes(&last["memory_peak"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_measured_and_missing_values() {
        let estimate = json!({
            "peak": 1_234_000_000u64, "kept": 600_000_000u64,
            "measured": [{ "memory_peak": 1 }, { "memory_peak": 1_300_000_000u64, "seconds": 2.5 }],
        });
        let words: Vec<String> = row("x", &estimate).split_whitespace().map(String::from).collect();
        assert_eq!(words, ["x", "1234", "600", "1300", "2.50"]);
        let words: Vec<String> = row("x", &json!({ "peak": 5_000_000u64, "kept": null, "measured": [] }))
            .split_whitespace()
            .map(String::from)
            .collect();
        assert_eq!(words, ["x", "5", "-", "-", "-"]);
    }
}
