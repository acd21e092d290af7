//! Training that is killed at random moments and resumed, until the run ends. The result equals that of a run that was
//! left alone, and no process that was killed leaves anything behind.
//!
//! `cargo xtask test` kills six times. The long form takes some minutes:
//! `UNBRAID_KILLS=50 cargo test --release --workspace --test kills -- --nocapture`
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use unbraid_train::{Checkpoint, RunFolder, TrainConfig};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(300);

const NETWORK: &str = "family = 'tfswa_unet'\nname = 'small'\nstems = ['drums', 'bass', 'other', 'vocals']\n\
    sample_rate = 44100\nn_fft = 1024\nhop_length = 256\nsubbands = 8\ndims = [8, 8]\ndepths = [1, 1]\n\
    num_heads = 2\nwindow_size = [4, 4]\nmlp_ratio = 1\npositional = 'rotary'\n";

const SETTINGS: &str = "--data songs --model small.toml --segment 0.2 --batch-size 1 --warmup-steps 5 --seed 4 \
    --log-interval 1 --checkpoint-interval 2 --validation-interval 9 --validation-share 0.3 --validation-seconds 1";

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }

    /// A duration below `longest`.
    fn below_time(&mut self, longest: Duration) -> Duration {
        Duration::from_micros(self.below(longest.as_micros() as u64))
    }
}

/// The moment of a kill. Each has a delay in addition.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    /// From the start of the process.
    Start,
    /// After this many further lines of `metrics.jsonl`.
    Steps(usize),
    /// While a checkpoint is written.
    Checkpoint,
    /// While the index of the data set is written.
    Index,
    /// While another file of the run is written.
    Folder,
    /// Of two processes that start together, when one of them was refused.
    Twins,
    /// As after steps. While the process is stopped, another one tries to resume the run.
    Second,
}

struct Lab {
    home: PathBuf,
    _guard: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let guard = tempfile::tempdir().unwrap();
        let lab = Self { home: guard.path().to_path_buf(), _guard: guard };
        fs::write(lab.home.join("small.toml"), NETWORK).unwrap();
        let output = lab.program("data synth songs --tracks 4 --seconds 4 --seed 1").output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        lab
    }

    fn program(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unbraid"));
        command.args(arguments.split_whitespace()).current_dir(&self.home).stdin(Stdio::null());
        // An index that cannot be stored beside the data would go there.
        command.env("XDG_CACHE_HOME", self.home.join("cache"));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Starts the run, or resumes it if there is one.
    fn train(&self, run: &str, steps: u64) -> Command {
        let start = format!("train --device cpu --out {run}");
        self.program(&if RunFolder::new(&self.home.join(run)).holds_run() {
            format!("{start} --resume")
        } else {
            format!("{start} --steps {steps} {SETTINGS}")
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// The paths of all files below the folder, without the event files of TensorBoard, whose names hold a time.
    fn tree(&self, name: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut folders = vec![self.path(name)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if !is_event_file(&path) {
                    let own = path.strip_prefix(self.path(name)).unwrap();
                    found.insert(own.to_string_lossy().into_owned());
                }
            }
        }
        found
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn is_event_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("events.out.tfevents."))
}

/// Files in the folder that a process is writing, or that a killed one left.
fn unfinished(folder: &Path) -> BTreeSet<PathBuf> {
    let paths = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "part")).collect()
}

/// Whether a file is being written that is not among `before`.
fn writes(folder: &Path, before: &BTreeSet<PathBuf>) -> bool {
    !unfinished(folder).is_subset(before)
}

fn lines(path: &Path) -> usize {
    fs::read(path).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count()
}

/// Waits for a condition. Returns whether it came true before the process ended.
fn until(child: &mut Child, mut condition: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !condition() {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(began.elapsed() < PATIENCE, "nothing happens");
        std::thread::sleep(Duration::from_micros(50));
    }
    true
}

fn refused(output: &Output) {
    let text = text(output);
    assert!(!output.status.success() && text.contains("another process is training the run"), "{text}");
}

fn signal(name: &str, child: &Child) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Starts a process of the run `killed` and kills it. Returns whether it lived until the moment.
fn kill_once(lab: &Lab, moment: Moment, steps: u64, start: Duration, random: &mut Random) -> bool {
    let folder = lab.path("killed");
    if moment == Moment::Index {
        fs::remove_file(lab.path("songs/.unbraid-index")).ok();
    }
    let written_to = match moment {
        Moment::Checkpoint => folder.join("checkpoints"),
        Moment::Index => lab.path("songs"),
        _ => folder.clone(),
    };
    let (before, left) = (lines(&folder.join("metrics.jsonl")), unfinished(&written_to));
    let mut child = lab.train("killed", steps).spawn().unwrap();
    let short = random.below_time(Duration::from_millis(4));
    // A new process first removes the lines after its checkpoint.
    let mut lowest = before;
    let mut grown = |by: usize| {
        let now = lines(&folder.join("metrics.jsonl"));
        lowest = lowest.min(now);
        now >= lowest + by
    };
    let (lived, delay) = match moment {
        Moment::Start => (true, random.below_time(start)),
        Moment::Steps(count) => (until(&mut child, || grown(count)), 10 * short),
        Moment::Second => (until(&mut child, || grown(1)), short),
        // On a busy machine, the writing may pass unseen.
        Moment::Checkpoint | Moment::Index | Moment::Folder => {
            (until(&mut child, || writes(&written_to, &left) || grown(4)), short / 4)
        }
        Moment::Twins => {
            let mut other = lab.train("killed", steps).spawn().unwrap();
            let began = Instant::now();
            let winner = loop {
                assert!(began.elapsed() < PATIENCE, "two processes train one run");
                match (child.try_wait().unwrap(), other.try_wait().unwrap()) {
                    (Some(_), Some(_)) => break None,
                    (Some(_), None) => break Some((child, other)),
                    (None, Some(_)) => break Some((other, child)),
                    (None, None) => std::thread::sleep(Duration::from_millis(1)),
                }
            };
            let Some((loser, winner)) = winner else { return false };
            refused(&loser.wait_with_output().unwrap());
            child = winner;
            (true, random.below_time(start))
        }
    };
    // On a busy machine, a delay could be many steps.
    let began = Instant::now();
    let lived = lived && until(&mut child, || began.elapsed() >= delay || grown(4));
    if moment == Moment::Second && lived {
        signal("-STOP", &child);
        refused(&lab.program("train --device cpu --out killed --resume").output().unwrap());
    }
    let lived = lived && child.try_wait().unwrap().is_none();
    child.kill().ok();
    let output = child.wait_with_output().unwrap();
    assert!(lived || output.status.success(), "{moment:?}: {}", text(&output));
    lived
}

/// Whatever has its final name is whole at any time.
fn nothing_is_half_written(lab: &Lab) {
    let run = lab.path("killed");
    let config = run.join("config.toml");
    assert!(!config.exists() || TrainConfig::load(&config).is_ok());
    for name in lab.tree("killed") {
        let path = run.join(&name);
        if name.ends_with("device.json") {
            serde_json::from_slice::<Value>(&fs::read(&path).unwrap()).unwrap();
        } else if name.starts_with("checkpoints/") && name.ends_with(".safetensors") {
            Checkpoint::read(&path).unwrap();
        }
    }
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    let whole = metrics.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().for_each(|line| drop(serde_json::from_str::<Value>(line).unwrap()));
}

/// The data of a weights file after its header, which holds a date and a time.
fn weights(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    let header = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    bytes[8 + header..].to_vec()
}

/// The lines of `metrics.jsonl` without what differs from process to process.
fn metrics(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let line = |line: &str| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        let fields = value.as_object_mut().unwrap();
        fields.retain(|name, _| {
            !["elapsed", "remaining", "speed"].contains(&name.as_str()) && !name.starts_with("memory")
        });
        value
    };
    text.lines().map(line).collect()
}

/// Every record of an event file is whole. The last one may be cut, which readers of the format expect.
fn check_event_file(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let (mut rest, mut records) = (&bytes[..], 0);
    while let Some(head) = rest.first_chunk::<8>() {
        let Some(after) = rest.get(16 + u64::from_le_bytes(*head) as usize..) else { break };
        (rest, records) = (after, records + 1);
    }
    assert!(records > 0, "{} has no record", path.display());
}

#[test]
fn a_run_that_is_killed_at_random_moments_ends_as_if_it_had_been_left_alone() {
    let kills: u64 = std::env::var("UNBRAID_KILLS").map_or(6, |kills| kills.parse().unwrap());
    let steps = 8 * kills + 12;
    let lab = Lab::new();
    let began = Instant::now();
    let mut calm = lab.train("calm", steps).spawn().unwrap();
    assert!(until(&mut calm, || lines(&lab.path("calm/metrics.jsonl")) > 0), "no step");
    let start = began.elapsed();
    let output = calm.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let calm = began.elapsed();
    let index = fs::read(lab.path("songs/.unbraid-index")).unwrap();
    let songs = lab.tree("songs");

    let mut random = Random(17);
    let (began, mut left) = (Instant::now(), [(); 3].map(|()| BTreeSet::new()));
    for kill in 0..kills {
        let moment = match kill % 6 {
            0 => Moment::Twins,
            1 => Moment::Index,
            2 => Moment::Checkpoint,
            3 => Moment::Second,
            4 => [Moment::Start, Moment::Folder][random.below(2) as usize],
            _ => [Moment::Steps(1 + random.below(4) as usize), Moment::Checkpoint][random.below(2) as usize],
        };
        assert!(kill_once(&lab, moment, steps, start, &mut random), "the run ended before kill {kill}");
        nothing_is_half_written(&lab);
        for (left, folder) in left.iter_mut().zip(["killed/checkpoints", "songs", "killed"]) {
            left.extend(unfinished(&lab.path(folder)));
        }
    }
    let left = left.map(|files| files.len());
    let output = lab.train("killed", steps).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    println!(
        "{kills} kills in {:.0} s, after a calm run of {steps} steps in {:.0} s; the killed processes left {} \
         checkpoints, {} indices and {} other files unfinished",
        began.elapsed().as_secs_f64(),
        calm.as_secs_f64(),
        left[0],
        left[1],
        left[2],
    );
    if kills >= 50 {
        assert!(left.iter().all(|count| *count > 0), "no kill met a file that was being written: {left:?}");
    }

    assert!(weights(&lab.path("killed/model.safetensors")) == weights(&lab.path("calm/model.safetensors")));
    assert_eq!(lab.tree("killed"), lab.tree("calm"));
    assert_eq!(lab.tree("songs"), songs);
    assert!(fs::read(lab.path("songs/.unbraid-index")).unwrap() == index);
    assert!(lab.tree("cache").is_empty(), "{:?}", lab.tree("cache"));
    for name in lab.tree("calm").iter().filter(|name| name.ends_with(".safetensors") && name.contains('/')) {
        let [ours, calm] = ["killed", "calm"].map(|run| Checkpoint::read(&lab.path(run).join(name)).unwrap());
        assert!(ours.weights == calm.weights && ours.average == calm.average && ours.moments == calm.moments);
        assert_eq!((ours.state.best, ours.state.scores), (calm.state.best, calm.state.scores));
        assert_eq!((ours.state.updates, ours.state.schedule), (calm.state.updates, calm.state.schedule));
    }
    let [ours, calm] = ["killed", "calm"].map(|run| metrics(&lab.path(run).join("metrics.jsonl")));
    let own_steps =
        ours.iter().filter(|line| line["kind"] == "step").map(|line| line["step"].as_u64().unwrap());
    assert!(own_steps.eq(1..=steps), "each step once, in order");
    assert!(ours == calm, "the same steps and validations");
    for entry in fs::read_dir(lab.path("killed")).unwrap() {
        let path = entry.unwrap().path();
        if is_event_file(&path) {
            check_event_file(&path);
        }
    }
}
