//! `conformance bench ops`: compares the kernels of attention and of linear maps with burn's own operations on the same
//! device in one run.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use burn::tensor::{Device, Tensor, module};
use clap::{Args, Subcommand};
use conformance::host::{Precision, Random, upload};
use conformance::plain::attention::{Form, attention as plain_attention};
use serde::{Deserialize, Serialize};
use unbraid_ops::device::{self, Choice, DeviceKind, Limits};
use unbraid_ops::{Attention, Sequences, attention, linear};

use crate::child;

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Attention and a linear map, forward and backward: kernels compared with burn's own operations
    Ops(Arguments),
}

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only this device: cpu, gpu, or gpu:N [default: every trusted device]
    #[arg(long)]
    device: Option<Choice>,
    #[command(flatten)]
    size: Size,
    /// Timed runs, after one that is not timed
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Write the measurements as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Args, Serialize)]
struct Size {
    /// Frames of the plane
    #[arg(long, default_value_t = 256)]
    frames: usize,
    /// Bins of the plane
    #[arg(long, default_value_t = 512)]
    bins: usize,
    /// Channels
    #[arg(long, default_value_t = 32)]
    channels: usize,
    /// Heads; a divisor of the channels
    #[arg(long, default_value_t = 8)]
    heads: usize,
}

#[derive(Debug, Args)]
pub(crate) struct One {
    #[arg(long)]
    device: Choice,
    #[arg(long)]
    operation: String,
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    size: Size,
    #[arg(long)]
    runs: usize,
}

/// Time and memory of one implementation.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Cost {
    /// Median of the timed runs.
    seconds: f64,
    /// The first run, in which kernels are compiled. It is not among the timed runs.
    first_seconds: f64,
    /// Mean magnitude of the gradient of the input, which must be equal for both implementations.
    gradient_size: f32,
    /// Peak memory without the memory of the inputs; `None` if this system does not report it.
    peak_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Comparison {
    device: String,
    name: String,
    software: bool,
    operation: &'static str,
    unbraid: Cost,
    plain: Cost,
    /// Plain seconds divided by ours.
    faster: f64,
    /// Plain peak divided by ours.
    leaner: Option<f64>,
}

#[derive(Debug, Serialize)]
struct BenchReport<'a> {
    size: &'a Size,
    comparisons: Vec<Comparison>,
}

/// Attention along three layouts, and a map of every token to four times its channels.
const OPERATIONS: [&str; 4] = ["time", "frequency", "window", "linear"];

fn sequences(layout: &str) -> Result<Sequences> {
    Ok(match layout {
        "time" => Sequences::Time,
        "frequency" => Sequences::Frequency,
        "window" => Sequences::Window { size: [8, 8], shift: [4, 4] },
        _ => bail!("`{layout}` is not a layout"),
    })
}

pub(crate) fn ops(arguments: &Arguments) -> Result<()> {
    let Arguments { device, size, runs, json } = arguments;
    if [size.frames, size.bins, size.channels, size.heads, *runs].contains(&0) {
        bail!("sizes and runs start at 1");
    }
    if !size.channels.is_multiple_of(2 * size.heads) {
        bail!("{} channels do not divide into {} heads of even width", size.channels, size.heads);
    }
    let devices = match device {
        Some(choice) => vec![device::select(*choice)?.1],
        None => device::list().into_iter().filter(|info| info.trusted.is_ok()).collect(),
    };
    let Size { frames, bins, channels, heads } = size;
    println!("forward and backward: {frames} frames, {bins} bins, {channels} channels, {heads} heads, f32\n");
    let mut comparisons = Vec::new();
    for info in devices {
        let software = info.kind == DeviceKind::Software;
        let note = if software { ": a software adapter, whose absolute times mean nothing" } else { "" };
        println!("{}: {} ({}){note}", info.choice, info.name, info.kind);
        println!(
            "{:<10} {:>12} {:>12} {:>8} {:>12} {:>12} {:>8}",
            "", "unbraid s", "plain s", "faster", "unbraid MiB", "plain MiB", "leaner"
        );
        for operation in OPERATIONS {
            let measure = |plain: bool| measure_apart(info.choice, operation, plain, size, *runs);
            let (unbraid, plain) = (measure(false)?, measure(true)?);
            let difference = (unbraid.gradient_size / plain.gradient_size - 1.0).abs();
            ensure!(difference < 1e-4, "{operation}: the two gradients differ in size by {difference:e}");
            let comparison = Comparison {
                device: info.choice.to_string(),
                name: info.name.clone(),
                software,
                operation,
                faster: plain.seconds / unbraid.seconds,
                leaner: unbraid
                    .peak_bytes
                    .zip(plain.peak_bytes)
                    .map(|(ours, plain)| plain as f64 / ours as f64),
                unbraid,
                plain,
            };
            println!("{}", row(&comparison));
            comparisons.push(comparison);
        }
        println!();
    }
    if let Some(path) = json {
        child::write_report(path, &BenchReport { size, comparisons })?;
    }
    Ok(())
}

fn row(comparison: &Comparison) -> String {
    let Comparison { operation, unbraid, plain, faster, leaner, .. } = comparison;
    let mebibytes = |cost: &Cost| cost.peak_bytes.map_or("-".into(), |bytes| (bytes >> 20).to_string());
    let leaner = leaner.map_or("-".into(), |ratio| format!("{ratio:.1}×"));
    format!(
        "{operation:<10} {:>12.4} {:>12.4} {:>8} {:>12} {:>12} {leaner:>8}",
        unbraid.seconds,
        plain.seconds,
        format!("{faster:.1}×"),
        mebibytes(unbraid),
        mebibytes(plain),
    )
}

fn measure_apart(device: Choice, operation: &str, plain: bool, size: &Size, runs: usize) -> Result<Cost> {
    let mut arguments = vec!["bench-one".to_owned()];
    for (name, value) in [
        ("device", device.to_string()),
        ("operation", operation.to_owned()),
        ("frames", size.frames.to_string()),
        ("bins", size.bins.to_string()),
        ("channels", size.channels.to_string()),
        ("heads", size.heads.to_string()),
        ("runs", runs.to_string()),
    ] {
        arguments.extend([format!("--{name}"), value]);
    }
    if plain {
        arguments.push("--plain".into());
    }
    let mut cost = None;
    let status = child::each_line(&arguments, &[], |line: Cost| cost = Some(line))?;
    match cost {
        Some(cost) if status.success() => Ok(cost),
        _ => bail!("the {operation} measurement on {device} ended with {status}"),
    }
}

/// Runs one measurement in this process.
pub(crate) fn one(one: &One) -> Result<()> {
    let One { operation, plain, runs, .. } = one;
    let Size { frames, bins, channels, heads } = one.size;
    let (device, info) = device::select(one.device)?;
    let inner = device.clone();
    let device = device.autodiff();
    let mut random = Random::named("bench");
    let mut tensor = |shape: [usize; 4]| {
        let values = random.normal(shape.iter().product(), 1.0, Precision::F32);
        upload(&values, shape, Precision::F32, &device)
    };
    let [inputs, outputs] =
        if operation == "linear" { [channels, 4 * channels] } else { [3 * channels, channels] };
    let x = tensor([1, frames, bins, inputs]).require_grad();
    let gradient = tensor([1, frames, bins, outputs]);
    let forward: Box<dyn Fn(Tensor<4>) -> Tensor<4>> = if operation == "linear" {
        let weight = tensor([1, 1, inputs, outputs]).reshape([inputs, outputs]).detach().require_grad();
        let bias = Tensor::<1>::zeros([outputs], &device).require_grad();
        if *plain {
            Box::new(move |x| module::linear(x, weight.clone(), Some(bias.clone())))
        } else {
            Box::new(move |x| linear(x, weight.clone(), bias.clone()))
        }
    } else {
        let options =
            Attention { sequences: sequences(operation)?, heads, rotary: operation != "window", chunk: None };
        let bias = options.bias_shape().map(|shape| Tensor::<2>::zeros(shape, &device).require_grad());
        // A chunk is the largest number of sequences whose scores fit into one binding of the device.
        let length = match options.sequences {
            Sequences::Time => frames,
            Sequences::Frequency => bins,
            Sequences::Window { size: [t, f], .. } => t * f,
        };
        let chunk = |limits: Limits| {
            (limits.binding.min(limits.buffer) as usize / (4 * heads * length * length)).max(1)
        };
        let form = Form { sums: false, chunk: info.limits.map(chunk) };
        if *plain {
            Box::new(move |qkv| plain_attention(qkv, bias.clone(), &options, form))
        } else {
            Box::new(move |qkv| attention(qkv, bias.clone(), &options))
        }
    };
    let step = || {
        let gradients = (forward(x.clone()) * gradient.clone()).sum().backward();
        let gradient = x.grad(&gradients).expect("the loss depends on the input");
        // Reading the result back forces the computation and reports its errors.
        let size = gradient.abs().mean().try_into_vec_as::<f32>()?[0];
        ensure!(size.is_finite() && size > 0.0, "the gradient's mean magnitude is {size}");
        anyhow::Ok(size)
    };

    inner.sync()?;
    let meter = Meter::start(&inner);
    let start = Instant::now();
    let gradient_size = step()?;
    let first_seconds = start.elapsed().as_secs_f64();
    let peak_bytes = meter.peak(&inner);
    let mut seconds = Vec::new();
    for _ in 0..*runs {
        let start = Instant::now();
        step()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    child::send(&Cost { seconds: seconds[runs / 2], first_seconds, peak_bytes, gradient_size })
}

/// Measures the peak memory of tensors: on a GPU the size of burn's pools, which never shrink, and on the CPU the
/// resident set size of the process, by Linux's high-water mark.
///
/// crates/train reads the same mark. conformance does not depend on it, and sysinfo does not report the mark.
struct Meter {
    before: Option<u64>,
}

impl Meter {
    fn start(device: &Device) -> Self {
        // Resets the high-water mark (see proc(5)).
        let reset = std::fs::write("/proc/self/clear_refs", "5");
        let process = || reset.is_ok().then(|| status_bytes("VmRSS"))?;
        Self { before: device::memory(device).map(|memory| memory.reserved).or_else(process) }
    }

    fn peak(&self, device: &Device) -> Option<u64> {
        let now = match device::memory(device) {
            Some(memory) => memory.reserved,
            None => status_bytes("VmHWM")?,
        };
        Some(now.saturating_sub(self.before?).max(1))
    }
}

/// The value of a line of `/proc/self/status`, in bytes.
fn status_bytes(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}
