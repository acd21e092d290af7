//! From a clone to stems: builds, invents songs, trains, evaluates on songs not trained on, and separates one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::cargo::{build, program, release_binary, root, run, say, shown};
use crate::scores::Scores;

/// Many short songs teach more than few long ones: with 16 to train on instead of 80, unseen songs were 2 dB worse
/// than seen ones. Every fifth is kept for evaluation.
const TRACKS: u32 = 100;
const TRACK_SECONDS: u32 = 12;
const MODEL: &str = "tfswa_unet_tiny";

const STEPS: [&str; 5] = ["build", "songs", "training", "evaluation", "separation"];
const TRAINING: usize = 2;
/// What the steps take on two CPU cores, measured and rounded up; training takes what is left. Minutes.
const EXPECTED: [f64; 5] = [15.0, 0.5, 0.0, 1.0, 0.3];
/// Training gets no more than this, however quick the other steps are …
const TRAINING_AT_MOST: f64 = 10.0;
/// … and no less: a model of seconds shows nothing, so a slow machine takes longer than it was given.
const TRAINING_AT_LEAST: f64 = 1.0;

/// Marks a folder as made by the demo, so that `--force` deletes no other.
const MARK: &str = ".unbraid-demo";

/// What the demo may be told.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Minutes the whole demo may take, build included; training gets what the other steps leave, at most 10
    #[arg(long, default_value_t = 25.0, value_parser = sensible_minutes)]
    minutes: f64,
    /// Folder for the stems, the report, the invented songs and the trained model
    #[arg(long, default_value = "demo")]
    out: PathBuf,
    /// Start anew where an earlier demo is
    #[arg(long)]
    force: bool,
    /// Decides which songs are invented and how training begins
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn sensible_minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if (1.0..=600.0).contains(&minutes) => Ok(minutes),
        _ => Err("give a number of minutes from 1 to 600".into()),
    }
}

pub(crate) fn demo(options: &Options) -> Result<()> {
    let out = &options.out;
    prepare(out, options.force)?;
    let mut plan = Plan::new(options.minutes, release_binary("unbraid")?.exists());
    say(&format!("The demo: {} steps, about {:.0} min.", STEPS.len(), plan.left()));

    plan.begin("Building the program");
    let binary = build("unbraid")?;
    let unbraid = |verb: &[&str]| {
        let mut command = program(&binary);
        command.args(verb).stdin(Stdio::null());
        command
    };
    let seed = options.seed.to_string();

    plan.begin(&format!(
        "Inventing {TRACKS} songs of {TRACK_SECONDS} s; a fifth of them is kept from training"
    ));
    let data = out.join("data");
    let (tracks, seconds) = (TRACKS.to_string(), TRACK_SECONDS.to_string());
    run(unbraid(&["data", "synth"]).arg(&data).args([
        "--tracks",
        &tracks,
        "--seconds",
        &seconds,
        "--seed",
        &seed,
    ]))?;

    plan.begin(&format!("Training {MODEL} from nothing on the other songs"));
    let training = format!("{:.2}", plan.expected[TRAINING]);
    let trained = out.join("run");
    run(unbraid(&["train", "--config"])
        .arg(root().join("configs/train/demo.toml"))
        .args(["--model", MODEL, "--minutes", &training, "--seed", &seed, "--data"])
        .arg(&data)
        .arg("--out")
        .arg(&trained))?;
    let model = trained.join("model.safetensors");

    plan.begin("Scoring it on the songs it has not trained on");
    let mut evaluate = unbraid(&["evaluate", "--split", "test", "--json", "--model"]);
    let evaluation = json_of(evaluate.arg(&model).arg("--data").arg(&data))?;
    let scores = Scores::read(&evaluation)?;

    plan.begin("Taking one of them apart");
    let (song, mixture) = unseen(&data, out)?;
    run(unbraid(&["separate"]).arg(&mixture).arg("--model").arg(&model).arg("--out").arg(out))?;

    let minutes = plan.end();
    let stems = out.join(&song);
    let report = out.join("report.json");
    let trained_minutes = minutes["training"].as_f64().unwrap_or_default();
    let content = json!({
        "model": MODEL, "seed": options.seed, "tracks": TRACKS, "track_seconds": TRACK_SECONDS,
        "minutes": minutes, "scores": scores.json(), "evaluation": evaluation,
        "song": mixture, "stems": stems,
    });
    fs::write(&report, serde_json::to_string_pretty(&content)? + "\n")
        .with_context(|| format!("cannot write {}", report.display()))?;

    println!("\n{}", scores.table(trained_minutes));
    println!("The song     {}", mixture.display());
    println!("Its stems    {}", stems.display());
    println!("All figures  {}", report.display());
    println!("The model    {}", model.display());
    println!("\nYour own songs: cargo xtask separate SONG --model {} --out stems", model.display());
    Ok(())
}

/// Makes the demo's folder, anew if `force`.
fn prepare(out: &Path, force: bool) -> Result<()> {
    let shown = out.display();
    let marked = out.join(MARK).exists();
    let occupied = out.exists() && !fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
    match (occupied, marked, force) {
        (false, ..) => {}
        (true, true, true) => {
            say(&format!("Deleting the earlier demo in {shown}"));
            fs::remove_dir_all(out).with_context(|| format!("cannot delete {shown}"))?;
        }
        (true, true, false) => bail!(
            "{shown} holds an earlier demo (report.json has its figures); \
             --force starts anew in its place, --out FOLDER goes elsewhere"
        ),
        (true, false, _) => {
            bail!("{shown} holds something that is not the demo's; --out FOLDER goes elsewhere")
        }
    }
    fs::create_dir_all(out).with_context(|| format!("cannot make the folder {shown}"))?;
    fs::write(out.join(MARK), "").with_context(|| format!("cannot write into {shown}"))
}

/// Puts the mixture of the first test song beside where its stems go: its name, and the file.
fn unseen(data: &Path, out: &Path) -> Result<(String, PathBuf)> {
    let folder = data.join("test");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot look into {}", folder.display()))?;
    let mut songs: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    songs.retain(|song| song.join("mixture.wav").is_file());
    songs.sort();
    let song = songs.first().with_context(|| format!("{} holds no song", folder.display()))?;
    let name = song.file_name().expect("an entry of a folder has a name").to_string_lossy().into_owned();
    let mixture = out.join(format!("{name}.wav"));
    fs::copy(song.join("mixture.wav"), &mixture)
        .with_context(|| format!("cannot copy the song to {}", mixture.display()))?;
    Ok((name, mixture))
}

/// Runs a command whose stdout is one JSON value; its progress on stderr is shown.
fn json_of(command: &mut Command) -> Result<Value> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !output.status.success() {
        bail!("`{}` failed ({})", shown(command), output.status);
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("`{}` gave no JSON", shown(command)))
}

/// The steps, how long they have taken and how long they will.
struct Plan {
    budget: f64,
    start: Instant,
    /// Minutes, of steps begun and to come.
    expected: [f64; 5],
    /// When each step began.
    begun: Vec<Instant>,
}

impl Plan {
    fn new(budget: f64, built: bool) -> Self {
        let mut expected = EXPECTED;
        let cores = std::thread::available_parallelism().map_or(2.0, |cores| cores.get() as f64);
        // Building gains from every core until a few large crates are left; 4 minutes are those.
        expected[0] = if built { 0.5 } else { (EXPECTED[0] * 2.0 / cores).max(4.0) };
        let mut plan = Self { budget, start: Instant::now(), expected, begun: Vec::new() };
        plan.fit_training();
        plan
    }

    /// Gives training what the steps around it leave.
    fn fit_training(&mut self) {
        let step = self.begun.len();
        if step <= TRAINING {
            let others: f64 = (step..STEPS.len()).filter(|&i| i != TRAINING).map(|i| self.expected[i]).sum();
            let left = self.budget - minutes(self.start.elapsed()) - others;
            self.expected[TRAINING] = left.clamp(TRAINING_AT_LEAST, TRAINING_AT_MOST);
        }
    }

    /// Minutes that the steps not yet begun will take.
    fn left(&self) -> f64 {
        self.expected[self.begun.len()..].iter().sum()
    }

    fn begin(&mut self, what: &str) {
        self.fit_training();
        let (step, left) = (self.begun.len(), self.left());
        let this = self.expected[step];
        eprintln!();
        say(&format!(
            "{} of {}: {what}: about {this:.1} min; {left:.1} min until the end",
            step + 1,
            STEPS.len()
        ));
        self.begun.push(Instant::now());
    }

    /// Minutes taken, by step and in total.
    fn end(&self) -> Value {
        let ends = self.begun.iter().skip(1).copied().chain([Instant::now()]);
        let mut taken = serde_json::Map::new();
        for ((name, begun), end) in STEPS.iter().zip(&self.begun).zip(ends) {
            taken.insert((*name).into(), rounded(minutes(end - *begun)));
        }
        taken.insert("total".into(), rounded(minutes(self.start.elapsed())));
        taken.into()
    }
}

fn minutes(duration: Duration) -> f64 {
    duration.as_secs_f64() / 60.0
}

fn rounded(minutes: f64) -> Value {
    json!((minutes * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_gets_what_the_other_steps_leave() {
        let around: f64 = EXPECTED.iter().skip(1).sum();
        let mut plan = Plan::new(25.0, true);
        assert_eq!(plan.expected[TRAINING], TRAINING_AT_MOST);
        assert!((plan.left() - (0.5 + around + TRAINING_AT_MOST)).abs() < 0.01);

        plan.start = Instant::now().checked_sub(Duration::from_secs(16 * 60)).unwrap();
        plan.begun.push(Instant::now());
        plan.fit_training();
        assert!((plan.expected[TRAINING] - (9.0 - around)).abs() < 0.01, "{}", plan.expected[TRAINING]);

        plan.budget = 10.0;
        plan.fit_training();
        assert_eq!(plan.expected[TRAINING], TRAINING_AT_LEAST);
    }

    #[test]
    fn an_earlier_demo_goes_only_when_told_and_other_folders_never() {
        let folder = std::env::temp_dir().join(format!("unbraid-demo-test-{}", std::process::id()));
        let demo = folder.join("demo");
        prepare(&demo, false).unwrap();
        fs::write(demo.join("report.json"), "{}").unwrap();
        assert!(prepare(&demo, false).unwrap_err().to_string().contains("--force"));
        prepare(&demo, true).unwrap();
        assert!(!demo.join("report.json").exists());

        let other = folder.join("music");
        fs::create_dir_all(&other).unwrap();
        prepare(&other, false).unwrap();
        fs::remove_file(other.join(MARK)).unwrap();
        fs::write(other.join("song.wav"), "").unwrap();
        assert!(prepare(&other, true).unwrap_err().to_string().contains("not the demo's"));
        assert!(other.join("song.wav").exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_first_unseen_song_is_put_beside_its_stems() {
        let folder = std::env::temp_dir().join(format!("unbraid-unseen-test-{}", std::process::id()));
        for song in ["b", "a"] {
            fs::create_dir_all(folder.join("data/test").join(song)).unwrap();
            fs::write(folder.join("data/test").join(song).join("mixture.wav"), song).unwrap();
        }
        let (name, mixture) = unseen(&folder.join("data"), &folder).unwrap();
        assert_eq!((name.as_str(), fs::read_to_string(mixture).unwrap().as_str()), ("a", "a"));
        assert!(unseen(&folder, &folder).is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
