//! The program's promises about memory, kept by the program: what `plan` says beforehand is what steps then take, and
//! a run that is out of memory goes down its rungs.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use unbraid_ops::device::{self, Choice};

/// Small, with all there is: sub-bands, two resolutions, shifted windows.
const MICRO: &str = r#"
family = "tfswa_unet"
name = "micro"
stems = ["drums", "bass", "other", "vocals"]
sample_rate = 44100
n_fft = 1024
hop_length = 256
subbands = 4
dims = [8, 16]
depths = [2, 1]
num_heads = 2
window_size = [4, 4]
mlp_ratio = 2
positional = "rotary"
"#;

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_unbraid")).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn micro(folder: &Path) -> PathBuf {
    let file = folder.join("micro.toml");
    std::fs::write(&file, MICRO).unwrap();
    file
}

/// On a GPU `plan` rehearses: its figure is within 15 % of what real steps take, over settings that take very
/// different amounts, and steps leave nothing behind.
#[test]
fn a_plan_is_what_steps_take_and_steps_take_no_more() {
    if device::select(Choice::Gpu(None)).is_err() {
        eprintln!("no trusted GPU (nor llvmpipe): plans are not rehearsed here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let model = micro(folder.path());
    let given = ["plan", "--json", "--device", "gpu", "--measure", "4", "--model", model.to_str().unwrap()];
    let mut peaks = Vec::new();
    for flags in [
        "--segment 0.5 --batch-size 2",
        "--segment 1 --batch-size 2 --recompute sublayer --tsa-chunk-size 64 --fsa-chunk-size 64 --precision f16",
    ] {
        let arguments: Vec<&str> = given.into_iter().chain(flags.split(' ')).collect();
        let output = program(&arguments);
        assert!(output.status.success(), "{flags}: {}", said(&output));
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
        let steps = plan["measured"].as_array().unwrap();
        let of_step = |step: usize, what: &str| steps[step - 1][what].as_f64().unwrap();
        let (planned, real) = (plan["peak"].as_f64().unwrap(), of_step(4, "memory_peak"));
        println!("{flags}: planned {:.1} MB, real {:.1} MB", planned / 1e6, real / 1e6);
        assert!(
            plan["rehearsed"] == true && (planned / real - 1.0).abs() < 0.15,
            "{flags}: {planned}, {real}"
        );
        for held in ["memory_kept", "memory_state"] {
            let growth = of_step(4, held) - of_step(2, held);
            assert!(growth < 1000.0, "{flags}: tensors hold {growth} bytes more: {steps:?}");
        }
        assert!((1..=4).all(|step| (0.01..1.0).contains(&of_step(step, "loss"))), "{flags}: {steps:?}");
        peaks.push(real);
    }
    assert!(peaks[1] < 0.7 * peaks[0], "{peaks:?}");
}

/// On the CPU `plan` takes its steps: they tell their time, and how much less is resident with recomputation.
#[test]
fn a_plan_on_the_cpu_tells_time_and_what_recomputation_saves() {
    let folder = tempfile::tempdir().unwrap();
    let model = micro(folder.path());
    let given = ["plan", "--json", "--device", "cpu", "--segment", "1", "--model", model.to_str().unwrap()];
    let peak = |flags: &str| {
        let output = program(&given.into_iter().chain(flags.split(' ')).collect::<Vec<_>>());
        assert!(output.status.success(), "{flags}: {}", said(&output));
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
        let steps = plan["measured"].as_array().unwrap();
        assert!(
            steps.len() == 2 && steps.iter().all(|step| step["seconds"].as_f64().unwrap() > 0.0),
            "{plan}"
        );
        plan["peak"].as_f64().unwrap()
    };
    let kept = peak("--batch-size 2 --recompute none");
    let recomputed = peak("--batch-size 2 --recompute block --tsa-chunk-size 64 --fsa-chunk-size 64");
    println!("{:.1} MB, recomputed {:.1} MB", kept / 1e6, recomputed / 1e6);
    assert!(recomputed < 0.6 * kept, "{kept}, {recomputed}");
}

/// Given the memory there is, a plan names the first rung that fits, with its figure.
#[test]
fn a_plan_for_the_memory_there_is_names_the_flags() {
    if device::select(Choice::Gpu(None)).is_err() {
        eprintln!("no trusted GPU (nor llvmpipe): plans are not rehearsed here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let model = micro(folder.path());
    // 229 MB as given, 131 with one example at a time.
    let settings = "--device gpu --segment 0.5 --batch-size 2 --memory 150MB";
    let given = ["plan", "--json", "--model", model.to_str().unwrap()];
    let output = program(&given.into_iter().chain(settings.split(' ')).collect::<Vec<_>>());
    assert!(output.status.success(), "{}", said(&output));
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["flags"], "--micro-batch-size 1", "{}", said(&output));
    assert!((1..=150_000_000).contains(&plan["peak"].as_u64().unwrap()), "{plan}");
    assert!(said(&output).contains("as given: "), "{}", said(&output));
}

/// With a limit that nothing meets, a run that may reduce tries every rung, from where it was, and then says so.
#[test]
fn a_run_out_of_memory_goes_down_its_rungs() {
    let folder = tempfile::tempdir().unwrap();
    let (data, run) = (folder.path().join("songs"), folder.path().join("run"));
    let [data, run] = [&data, &run].map(|path| path.to_str().unwrap());
    let model = micro(folder.path());
    let songs = program(&["data", "synth", data, "--tracks", "3", "--seconds", "4", "--seed", "1"]);
    assert!(songs.status.success(), "{}", said(&songs));
    let flags = "--device cpu --batch-size 3 --segment 0.5 --validation-interval 0 --memory-limit 1MB";
    let train = ["train", "--model", model.to_str().unwrap(), "--data", data, "--out", run, "--steps", "4"];

    let stopped = program(&train.into_iter().chain(flags.split(' ')).collect::<Vec<_>>());
    let text = said(&stopped);
    assert!(
        !stopped.status.success() && text.contains("the limit is 1 MB. Of the thriftier settings"),
        "{text}"
    );
    assert!(
        text.contains("--recompute block --tsa-chunk-size 64") && text.contains("--preset level1"),
        "{text}"
    );

    let reduce = flags.split(' ').chain(["--on-oom", "reduce"]);
    let reduced = program(&train.into_iter().chain(reduce).collect::<Vec<_>>());
    let text = said(&reduced);
    assert!(!reduced.status.success(), "{text}");
    let rungs: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("going on with ")).collect();
    assert_eq!(
        rungs,
        [
            "--micro-batch-size 2",
            "--micro-batch-size 1",
            "--recompute sublayer",
            "--tsa-chunk-size 64 --fsa-chunk-size 64",
            "--recompute block",
        ],
        "{text}"
    );
    assert!(text.contains("the thriftiest") && text.contains("--preset level1"), "{text}");
}

/// A tensor that the device cannot hold: no plan has it, and a run that meets it says so.
#[test]
fn a_tensor_too_large_for_the_device_is_told() {
    let limits = device::select(Choice::Gpu(None)).ok().and_then(|(_, info)| info.limits);
    if limits.is_none_or(|limits| limits.binding > 1 << 27) {
        eprintln!("no trusted GPU (nor llvmpipe) whose tensors are 128 MiB at most");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let model = micro(folder.path());
    // Wide inside, and little beside that.
    let wide = MICRO.replace("mlp_ratio = 2", "mlp_ratio = 8").replace("subbands = 4", "subbands = 1");
    std::fs::write(&model, wide).unwrap();
    let (data, run) = (folder.path().join("songs"), folder.path().join("run"));
    let [model, data, run] = [&model, &data, &run].map(|path| path.to_str().unwrap());
    let given = ["--model", model, "--device", "gpu", "--batch-size", "1", "--segment", "6.6"];
    let output = |verb: &[&str]| program(&verb.iter().copied().chain(given).collect::<Vec<_>>());

    let plan = output(&["plan", "--recompute", "sublayer"]);
    assert!(!plan.status.success() && said(&plan).contains("one tensor takes 1"), "{}", said(&plan));
    let plan = output(&["plan", "--recompute", "sublayer", "--memory", "8GB", "--json"]);
    let estimate: Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!(estimate["flags"], "--tsa-chunk-size 64 --fsa-chunk-size 64", "{}", said(&plan));

    let songs = program(&["data", "synth", data, "--tracks", "2", "--seconds", "7", "--seed", "1"]);
    assert!(songs.status.success(), "{}", said(&songs));
    let train =
        output(&["train", "--data", data, "--out", run, "--steps", "1", "--validation-interval", "0"]);
    let text = said(&train);
    assert!(!train.status.success() && text.contains("one tensor takes 1"), "{text}");
    let remedy = "With --recompute sublayer --tsa-chunk-size 64 --fsa-chunk-size 64 it fits";
    assert!(text.contains(remedy), "{text}");
}
