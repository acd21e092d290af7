//! The time of every kernel, from the profiling log of cubecl.
//!
//! A record of the log is `| DURATION | TYPE: SPECIALISATION CubeCount (x, y, z)`. It begins a line, and its
//! specialisation spans many lines.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The settings file that makes cubecl log the duration of every launch.
pub(super) const SETTINGS: &str =
    "[profiling]\nlogger = { level = \"full\", file = \"profile.log\", append = false }\n";
/// The log's name.
pub(super) const LOG: &str = "profile.log";

/// Fields of our kernels' specialisation that distinguish different work.
const DISTINGUISHING: [&str; 2] = ["pass", "sequences"];
/// Our kernels are sources that cubecl wraps.
const WRAPPER: &str = "SourceKernel<WgslSource<";

/// The launches of one kernel.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Kernel {
    pub(super) name: String,
    /// Milliseconds of all launches.
    pub(super) milliseconds: f64,
    pub(super) launches: u64,
    /// Milliseconds of the longest launch.
    pub(super) longest: f64,
}

/// Sums a log by kernel, the longest time first.
pub(super) fn kernels(log: &str) -> Vec<Kernel> {
    let mut kernels = BTreeMap::<String, Kernel>::new();
    let starts = log.match_indices("| ").filter(|(at, _)| *at == 0 || log.as_bytes()[at - 1] == b'\n');
    let starts: Vec<usize> = starts.map(|(at, _)| at).chain([log.len()]).collect();
    for record in starts.windows(2).map(|ends| &log[ends[0]..ends[1]]) {
        let Some((milliseconds, name)) = parsed(record) else { continue };
        let kernel = kernels.entry(name).or_default();
        kernel.milliseconds += milliseconds;
        kernel.launches += 1;
        kernel.longest = kernel.longest.max(milliseconds);
    }
    let mut kernels: Vec<Kernel> =
        kernels.into_iter().map(|(name, kernel)| Kernel { name, ..kernel }).collect();
    kernels.sort_by(|a, b| b.milliseconds.total_cmp(&a.milliseconds));
    kernels
}

/// Milliseconds and kernel of a record.
fn parsed(record: &str) -> Option<(f64, String)> {
    let (duration, kernel) = record.strip_prefix("| ")?.split_once('|')?;
    Some((milliseconds(duration.trim())?, name(kernel.trim())))
}

fn milliseconds(duration: &str) -> Option<f64> {
    let unit = duration.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let factor = match &duration[unit..] {
        "ns" => 1e-6,
        "us" | "µs" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        _ => return None,
    };
    Some(duration[..unit].parse::<f64>().ok()? * factor)
}

/// The kernel's type without the paths of its modules, and the distinguishing values of its specialisation.
fn name(kernel: &str) -> String {
    let (kind, specialisation) = kernel.split_once(": ").unwrap_or((kernel, ""));
    let mut short = without_paths(kind);
    if let Some(own) = short.strip_prefix(WRAPPER).and_then(|name| name.strip_suffix(">>")) {
        let values = DISTINGUISHING.iter().filter_map(|field| value(specialisation, field));
        short = std::iter::once(own).chain(values).collect::<Vec<_>>().join(" ");
    }
    short
}

/// `a::b::C<d::E>` → `C<E>`
fn without_paths(kind: &str) -> String {
    let mut short = String::new();
    let mut word = 0;
    for c in kind.chars() {
        if c == ':' {
            short.truncate(word);
        } else {
            short.push(c);
            if !(c.is_alphanumeric() || c == '_') {
                word = short.len();
            }
        }
    }
    short
}

/// The word after `field: ` in the text of a struct.
fn value<'a>(specialisation: &'a str, field: &str) -> Option<&'a str> {
    let mut lines = specialisation.lines().map(str::trim);
    let value = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(": "))?;
    value.split(|c: char| !c.is_alphanumeric()).next()
}

/// The kernels as a report holds them: averages over the training steps.
pub(super) fn per_step(kernels: &[Kernel], steps: u32) -> Value {
    let steps = f64::from(steps);
    let row = |kernel: &Kernel| {
        json!({
            "kernel": kernel.name,
            "milliseconds_per_step": kernel.milliseconds / steps,
            "launches_per_step": kernel.launches as f64 / steps,
            "longest_milliseconds": kernel.longest,
        })
    };
    kernels.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shortened from a log of cubecl 0.11.
    const TEXT: &str = "\
| 316.1ms    | cubek_random::base::prng_kernel::PrngKernel<cubek_random::uniform::UniformFamily>: PrngKernelInfo {
    output: ArrayView {
        layout: VirtualLayout {
            type: cubecl_std: : tensor: : layout: : linear: : LinearLayoutCompilationArg,
        },
    },
} CubeCount (2, 1, 1)
| 150.5µs  | burn_cubecl::template::base::SourceKernel<unbraid_ops::runtime::launch::WgslSource<unbraid_ops::sums::gpu::SumKernel>>: SumKernel {
    pass: Parts (
        8,
    ),
} CubeCount (4, 1, 1)
| 2.5s | burn_cubecl::template::base::SourceKernel<unbraid_ops::runtime::launch::WgslSource<unbraid_ops::attention::gpu::AttentionKernel>>: AttentionKernel {
    pass: BackwardQuery,
    sequences: Window {
        size: [
            8,
        ],
    },
} CubeCount (1, 2, 96)
| 1ms | burn_cubecl::template::base::SourceKernel<unbraid_ops::runtime::launch::WgslSource<unbraid_ops::sums::gpu::SumKernel>>: SumKernel {
    pass: Parts (
        2,
    ),
} CubeCount (1, 1, 1)
| something else
| 12.3 parsecs | X: Y CubeCount (1, 1, 1)
| 7us | a::b::Plain";

    #[test]
    fn a_log_is_summed_by_kernel() {
        let found = kernels(TEXT);
        let names: Vec<(&str, u64)> = found.iter().map(|k| (k.name.as_str(), k.launches)).collect();
        let expected = [
            ("AttentionKernel BackwardQuery Window", 1),
            ("PrngKernel<UniformFamily>", 1),
            ("SumKernel Parts", 2),
            ("Plain", 1),
        ];
        assert_eq!(names, expected);
        let times: Vec<f64> = found.iter().map(|kernel| kernel.milliseconds).collect();
        for (time, expected) in times.iter().zip([2500.0, 316.1, 1.1505, 0.007]) {
            assert!((time - expected).abs() < 1e-9 * expected, "{times:?}");
        }
        assert!((found[2].longest - 1.0).abs() < 1e-12);
    }

    #[test]
    fn steps_divide_the_sums() {
        let rows = per_step(&kernels(TEXT), 2);
        assert_eq!(rows[0]["milliseconds_per_step"], 1250.0);
        assert_eq!(rows[0]["launches_per_step"], 0.5);
        assert_eq!(rows[0]["longest_milliseconds"], 2500.0);
    }

    #[test]
    fn an_empty_or_cut_log_gives_what_it_holds() {
        assert!(kernels("").is_empty());
        let cut = &TEXT[..TEXT.find("BackwardQuery").unwrap()];
        assert_eq!(kernels(cut)[0].name, "AttentionKernel");
    }
}
