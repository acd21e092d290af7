//! Checks how the program handles memory: a plan agrees with real steps, and a run that is out of memory uses its
//! fallbacks.
//!
//! This file has its own harness, so that a test that needs a GPU is reported as ignored if there is none.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

use libtest_mimic::{Arguments, Completion, Trial};
use serde_json::Value;
use unbraid_ops::device::{self, Choice};

/// A small network with every part: sub-bands, two resolutions, shifted windows.
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

fn main() -> ExitCode {
    let limits = device::select(Choice::Gpu(None)).ok().and_then(|(_, info)| info.limits);
    let no_gpu = limits.is_none().then_some("there is no trusted GPU, and no llvmpipe");
    let large_tensors = limits.is_some_and(|limits| limits.binding > 1 << 27);
    let no_small_gpu = no_gpu.or(large_tensors.then_some("tensors of the GPU may exceed 128 MiB"));
    let trials = vec![
        trial("a_plan_agrees_with_real_steps", no_gpu, a_plan_agrees_with_real_steps),
        trial("a_plan_on_the_cpu_measures_real_steps", None, a_plan_on_the_cpu_measures_real_steps),
        trial("a_plan_finds_settings_that_fit", no_gpu, a_plan_finds_settings_that_fit),
        trial("a_run_out_of_memory_uses_its_fallbacks", None, a_run_out_of_memory_uses_its_fallbacks),
        trial("a_tensor_too_large_for_the_device_is_reported", no_small_gpu, a_tensor_too_large_is_reported),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test that is reported as ignored, with the reason, if it cannot run here.
fn trial(name: &str, cannot_run: Option<&'static str>, test: fn()) -> Trial {
    Trial::ignorable_test(name, move || match cannot_run {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => {
            test();
            Ok(Completion::Completed)
        }
    })
}

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_unbraid")).args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn micro(folder: &Path) -> PathBuf {
    let file = folder.join("micro.toml");
    std::fs::write(&file, MICRO).unwrap();
    file
}

/// On a GPU a plan is a dry run. It is within 15 % of real steps for settings that need very different amounts, and
/// real steps leave no tensors behind.
fn a_plan_agrees_with_real_steps() {
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
        assert!(output.status.success(), "{flags}: {}", stderr(&output));
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
        let steps = plan["measured"].as_array().unwrap();
        let of_step = |step: usize, key: &str| steps[step - 1][key].as_f64().unwrap();
        let (planned, real) = (plan["peak"].as_f64().unwrap(), of_step(4, "memory_peak"));
        println!("{flags}: planned {:.1} MB, real {:.1} MB", planned / 1e6, real / 1e6);
        assert!(plan["dry_run"] == true && (planned / real - 1.0).abs() < 0.15, "{flags}: {planned}, {real}");
        for held in ["memory_kept", "memory_state"] {
            let growth = of_step(4, held) - of_step(2, held);
            assert!(growth < 1000.0, "{flags}: tensors hold {growth} bytes more: {steps:?}");
        }
        assert!((1..=4).all(|step| (0.01..1.0).contains(&of_step(step, "loss"))), "{flags}: {steps:?}");
        peaks.push(real);
    }
    assert!(peaks[1] < 0.7 * peaks[0], "{peaks:?}");
}

/// On the CPU a plan runs real steps. They give the time, and show how much memory recomputation saves.
fn a_plan_on_the_cpu_measures_real_steps() {
    let folder = tempfile::tempdir().unwrap();
    let model = micro(folder.path());
    let given = ["plan", "--json", "--device", "cpu", "--segment", "1", "--model", model.to_str().unwrap()];
    let peak = |flags: &str| {
        let output = program(&given.into_iter().chain(flags.split(' ')).collect::<Vec<_>>());
        assert!(output.status.success(), "{flags}: {}", stderr(&output));
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
    println!("{:.1} MB, with recomputation {:.1} MB", kept / 1e6, recomputed / 1e6);
    assert!(recomputed < 0.6 * kept, "{kept}, {recomputed}");
}

/// For a given amount of memory a plan names the first fallback that fits, with its estimate.
fn a_plan_finds_settings_that_fit() {
    let folder = tempfile::tempdir().unwrap();
    let model = micro(folder.path());
    // 229 MB as given, 131 MB with one segment at a time.
    let settings = "--device gpu --segment 0.5 --batch-size 2 --memory 150MB";
    let given = ["plan", "--json", "--model", model.to_str().unwrap()];
    let output = program(&given.into_iter().chain(settings.split(' ')).collect::<Vec<_>>());
    assert!(output.status.success(), "{}", stderr(&output));
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["flags"], "--micro-batch-size 1", "{}", stderr(&output));
    assert!((1..=150_000_000).contains(&plan["peak"].as_u64().unwrap()), "{plan}");
    assert!(stderr(&output).contains("as given: "), "{}", stderr(&output));
}

/// With a limit that no settings meet, a run that may reduce its memory tries every fallback and then reports that.
fn a_run_out_of_memory_uses_its_fallbacks() {
    let folder = tempfile::tempdir().unwrap();
    let (data, run) = (folder.path().join("songs"), folder.path().join("run"));
    let [data, run] = [&data, &run].map(|path| path.to_str().unwrap());
    let model = micro(folder.path());
    let songs = program(&["data", "synth", data, "--tracks", "3", "--seconds", "4", "--seed", "1"]);
    assert!(songs.status.success(), "{}", stderr(&songs));
    let flags = "--device cpu --batch-size 3 --segment 0.5 --validation-interval 0 --memory-limit 1MB";
    let train = ["train", "--model", model.to_str().unwrap(), "--data", data, "--out", run, "--steps", "4"];

    let stopped = program(&train.into_iter().chain(flags.split(' ')).collect::<Vec<_>>());
    let text = stderr(&stopped);
    let (fact, advice) = text.split_once("\nhelp: ").unwrap();
    assert!(!stopped.status.success(), "{text}");
    assert!(
        fact.lines().last().unwrap().starts_with("error: ") && fact.ends_with("the limit is 1.0 MB"),
        "{text}"
    );
    assert!(fact.contains("--recompute block --tsa-chunk-size 64"), "{text}");
    assert!(advice.contains("no settings fit") && advice.contains("--preset level1"), "{text}");

    let reduce = flags.split(' ').chain(["--on-oom", "reduce"]);
    let reduced = program(&train.into_iter().chain(reduce).collect::<Vec<_>>());
    let text = stderr(&reduced);
    assert!(!reduced.status.success(), "{text}");
    let fallbacks: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("continuing with ")).collect();
    assert_eq!(
        fallbacks,
        [
            "--micro-batch-size 2",
            "--micro-batch-size 1",
            "--recompute sublayer",
            "--tsa-chunk-size 64 --fsa-chunk-size 64",
            "--recompute block",
        ],
        "{text}"
    );
    assert!(text.contains("does not fit into memory") && text.contains("--preset level1"), "{text}");
}

/// No plan fits a tensor that the device cannot hold, and a run that needs one reports it.
fn a_tensor_too_large_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let model = micro(folder.path());
    // The hidden planes are wide, and everything else is small.
    let wide = MICRO.replace("mlp_ratio = 2", "mlp_ratio = 8").replace("subbands = 4", "subbands = 1");
    std::fs::write(&model, wide).unwrap();
    let (data, run) = (folder.path().join("songs"), folder.path().join("run"));
    let [model, data, run] = [&model, &data, &run].map(|path| path.to_str().unwrap());
    let given = ["--model", model, "--device", "gpu", "--batch-size", "1", "--segment", "6.6"];
    let output = |verb: &[&str]| program(&verb.iter().copied().chain(given).collect::<Vec<_>>());

    let plan = output(&["plan", "--recompute", "sublayer"]);
    assert!(!plan.status.success() && stderr(&plan).contains("one tensor takes 1"), "{}", stderr(&plan));
    let plan = output(&["plan", "--recompute", "sublayer", "--memory", "8GB", "--json"]);
    let estimate: Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!(estimate["flags"], "--tsa-chunk-size 64 --fsa-chunk-size 64", "{}", stderr(&plan));

    let songs = program(&["data", "synth", data, "--tracks", "2", "--seconds", "7", "--seed", "1"]);
    assert!(songs.status.success(), "{}", stderr(&songs));
    let train =
        output(&["train", "--data", data, "--out", run, "--steps", "1", "--validation-interval", "0"]);
    let text = stderr(&train);
    assert!(!train.status.success() && text.contains("one tensor takes 1"), "{text}");
    let advice = "help: The run fits with --recompute sublayer --tsa-chunk-size 64 --fsa-chunk-size 64.";
    assert!(text.contains(advice), "{text}");
}
