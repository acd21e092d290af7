//! `unbraid train --mpi` with several processes. Without `mpirun` the tests are reported as ignored.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

mod common;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{program, stderr_text, temporary};
use libtest_mimic::{Arguments, Completion, Trial};
use unbraid_train::Checkpoint;

const SETTINGS: &str = "--data songs --model tfswa_unet_tiny --segment 0.5 --batch-size 4 \
                        --validation-interval 0 --log-interval 1 --workers 1";

/// A process that waits longer than this has lost the others.
const LIMIT: Duration = Duration::from_secs(300);

/// A test in a folder with songs.
type Test = fn(&Path);

fn main() {
    let arguments = Arguments::from_args();
    let tests: [(&str, Test); 4] = [
        ("processes_give_the_gradient_of_one", processes_give_the_gradient_of_one),
        ("processes_give_the_bits_of_devices", processes_give_the_bits_of_devices),
        ("a_killed_job_goes_on", a_killed_job_goes_on),
        ("the_error_of_a_process_ends_all", the_error_of_a_process_ends_all),
    ];
    let trial = |(name, test): (&str, Test)| {
        Trial::ignorable_test(name, move || {
            if Command::new("mpirun").arg("--version").stdout(Stdio::null()).status().is_err() {
                return Ok(Completion::ignored_with("mpirun is not installed"));
            }
            let (_guard, folder) = temporary();
            let output =
                program(&folder, "data synth songs --tracks 3 --seconds 4 --seed 1").output().unwrap();
            assert!(output.status.success(), "{}", stderr_text(&output));
            test(&folder);
            Ok(Completion::Completed)
        })
    };
    libtest_mimic::run(&arguments, tests.map(trial).into()).exit();
}

/// `mpirun` with contexts of processes: their number and their arguments.
fn job(folder: &Path, contexts: &[(usize, &str)]) -> Command {
    let mut command = Command::new("mpirun");
    // As root Open MPI refuses to run, and with fewer cores than processes too.
    command.args(["--allow-run-as-root", "--oversubscribe"]);
    for (index, (processes, arguments)) in contexts.iter().enumerate() {
        if index > 0 {
            command.arg(":");
        }
        command.args(["-n", &processes.to_string(), env!("CARGO_BIN_EXE_unbraid")]);
        command.args(arguments.split_whitespace());
    }
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A signal for the job must not reach the test.
    command.process_group(0);
    command
}

/// Runs a job to its end. Returns whether it succeeded, and what it wrote to standard error.
fn ran(folder: &Path, contexts: &[(usize, &str)]) -> (bool, String) {
    let mut child = job(folder, contexts).spawn().unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > LIMIT {
            kill(child.id());
            panic!("the job hangs: {}", stderr_text(&child.wait_with_output().unwrap()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.success(), stderr_text(&output))
}

/// Kills the group of a job at once, as a machine that fails does.
fn kill(group: u32) {
    let status = Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status().unwrap();
    assert!(status.success());
}

fn train(processes: usize, name: &str, steps: u64) -> (usize, String) {
    (processes, format!("train --mpi --device cpu --out {name} --steps {steps} {SETTINGS}"))
}

fn checkpoint(folder: &Path, name: &str, step: u64) -> Checkpoint {
    Checkpoint::read(&folder.join(format!("{name}/checkpoints/step-{step:06}.safetensors"))).unwrap()
}

fn bits(checkpoint: &Checkpoint) -> Vec<u32> {
    let Checkpoint { weights, average, moments: [first, second], .. } = checkpoint;
    [weights, average, first, second].into_iter().flatten().map(|x| x.to_bits()).collect()
}

/// ‖a − b‖ / ‖a‖
fn difference(a: &[f32], b: &[f32]) -> f64 {
    let square = |x: f64| x * x;
    let distance: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    (distance / a.iter().map(|a| square(f64::from(*a))).sum::<f64>()).sqrt()
}

/// The shortest step of a run after its first, in seconds.
fn step_time(folder: &Path, name: &str) -> f64 {
    let text = fs::read_to_string(folder.join(name).join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let elapsed: Vec<f64> = lines.filter_map(|line| line["elapsed"].as_f64()).collect();
    elapsed.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min)
}

/// After one step, the first moment of AdamW is a tenth of the gradient.
fn processes_give_the_gradient_of_one(folder: &Path) {
    let output =
        program(folder, &format!("train --device cpu --out alone --steps 1 {SETTINGS}")).output().unwrap();
    assert!(output.status.success(), "{}", stderr_text(&output));
    let gradient = |name: &str| checkpoint(folder, name, 1).moments[0].clone();
    let alone = gradient("alone");
    for processes in [1, 2, 4] {
        let name = format!("by-{processes}");
        let (count, arguments) = train(processes, &name, 1);
        let (succeeded, text) = ran(folder, &[(count, &arguments)]);
        assert!(succeeded, "{text}");
        // One process speaks.
        assert_eq!(
            (text.matches("device: ").count(), text.matches("done: 1 step").count()),
            (1, 1),
            "{text}"
        );
        let error = difference(&alone, &gradient(&name));
        println!("{processes} processes: relative difference of the gradient {error:.1e}");
        assert!(error < 1e-5, "{processes} processes: {error}");
        let (count, arguments) = train(processes, &format!("time-{processes}"), 6);
        let (succeeded, text) = ran(folder, &[(count, &arguments)]);
        assert!(succeeded, "{text}");
        println!(
            "{processes} processes: a step takes {:.3} s",
            step_time(folder, &format!("time-{processes}"))
        );
    }
}

/// Processes and devices add in the same order. Two processes of two devices each are a job too.
fn processes_give_the_bits_of_devices(folder: &Path) {
    let devices = "cpu,cpu,cpu,cpu";
    let arguments = format!("train --devices {devices} --out devices --steps 3 {SETTINGS}");
    let output = program(folder, &arguments).output().unwrap();
    assert!(output.status.success(), "{}", stderr_text(&output));
    let (four, arguments) = train(4, "processes", 3);
    let (succeeded, text) = ran(folder, &[(four, &arguments)]);
    assert!(succeeded, "{text}");
    assert_eq!(bits(&checkpoint(folder, "devices", 3)), bits(&checkpoint(folder, "processes", 3)));
    let both = format!("train --mpi --devices {devices} --out both --steps 3 {SETTINGS}");
    let (succeeded, text) = ran(folder, &[(2, &both)]);
    assert!(succeeded && text.matches("device: ").count() == 2, "{text}");
    let weights = |name: &str| checkpoint(folder, name, 3).weights;
    assert!(difference(&weights("devices"), &weights("both")) < 1e-4);
}

fn a_killed_job_goes_on(folder: &Path) {
    let flags = "--checkpoint-interval 2";
    let (_, whole) = train(2, "whole", 30);
    let (succeeded, text) = ran(folder, &[(2, &format!("{whole} {flags}"))]);
    assert!(succeeded, "{text}");
    let (_, killed) = train(2, "killed", 30);
    let mut child = job(folder, &[(2, &format!("{killed} {flags}"))]).spawn().unwrap();
    let first = folder.join("killed/checkpoints/step-000002.safetensors");
    let began = Instant::now();
    while !first.is_file() {
        assert!(child.try_wait().unwrap().is_none() && began.elapsed() < LIMIT);
        std::thread::sleep(Duration::from_millis(5));
    }
    kill(child.id());
    child.wait().unwrap();
    assert!(!folder.join("killed/model.safetensors").exists(), "the run had ended before");
    // The processes of the job end a moment after mpirun, and the run is locked until then.
    let resume = "train --mpi --device cpu --resume --out killed";
    let text = loop {
        let (succeeded, text) = ran(folder, &[(2, resume)]);
        if succeeded {
            break text;
        }
        assert!(text.contains("another process is training") && began.elapsed() < LIMIT, "{text}");
    };
    assert!(text.contains("resuming after step") && text.contains("done: 30 steps"), "{text}");
    assert_eq!(bits(&checkpoint(folder, "whole", 30)), bits(&checkpoint(folder, "killed", 30)));
}

fn the_error_of_a_process_ends_all(folder: &Path) {
    // Of rank 0, before the run.
    let (_, arguments) = train(3, "odd", 2);
    let (succeeded, text) = ran(folder, &[(3, &arguments)]);
    assert!(!succeeded && text.contains("rank 0 of 3 failed"), "{text}");
    assert!(text.contains("error: batch_size = 4 cannot be divided among 3 devices\nhelp: "), "{text}");
    assert!(!folder.join("odd").exists());
    // Of another rank, which has other songs.
    let (_, leading) = train(1, "other", 2);
    let output = program(folder, "data synth more --tracks 4 --seconds 4 --seed 2").output().unwrap();
    assert!(output.status.success());
    fs::create_dir(folder.join("elsewhere")).unwrap();
    fs::rename(folder.join("more"), folder.join("elsewhere/songs")).unwrap();
    let mut command = job(folder, &[(1, &leading)]);
    command.args([":", "-wdir"]).arg(folder.join("elsewhere"));
    command.args(["-n", "1", env!("CARGO_BIN_EXE_unbraid"), "train", "--mpi", "--device", "cpu"]);
    let output = command.output().unwrap();
    let text = stderr_text(&output);
    assert!(!output.status.success() && text.contains("rank 1 of 2 failed, and the run ends"), "{text}");
    assert!(text.contains("are not those of rank 0"), "{text}");
}
