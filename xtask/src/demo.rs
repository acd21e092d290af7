//! From a clone to stems: builds, generates songs, trains, evaluates on unseen songs, and separates one of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::cargo::{build, json_of, program, release_binary, root, run, say, write_json};
use crate::scores::Scores;

/// Many short songs train better than few long ones: with 16 training songs instead of 80, unseen songs scored 2 dB
/// worse than seen ones. Every fifth song is reserved for evaluation.
const TRACKS: u32 = 100;
const TRACK_SECONDS: u32 = 12;
const MODEL: &str = "tfswa_unet_tiny";

const STEPS: [&str; 5] = ["build", "songs", "training", "evaluation", "separation"];
const TRAINING: usize = 2;
/// Minutes of the steps on two CPU cores, measured and rounded up. Training gets the remaining time.
const EXPECTED: [f64; 5] = [15.0, 0.5, 0.0, 1.0, 0.3];
/// Maximum minutes of training, even if the other steps are quick.
const TRAINING_AT_MOST: f64 = 10.0;
/// Minimum minutes of training. Seconds of training give a useless model, so the demo takes longer on a slow machine.
const TRAINING_AT_LEAST: f64 = 1.0;

/// Marks a folder that the demo created. `--force` deletes only such folders.
const MARK: &str = ".unbraid-demo";

/// Options of the demo.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Minutes of the whole demo, including the build; training gets the rest, at most 10
    #[arg(long, default_value_t = 25.0, value_parser = sensible_minutes)]
    minutes: f64,
    /// Folder for the stems, the report, the synthetic songs and the trained model
    #[arg(long, default_value = "demo")]
    out: PathBuf,
    /// Replace an earlier demo
    #[arg(long)]
    force: bool,
    /// Seed of the synthetic songs and of the training
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

    plan.begin(&format!("Generating {TRACKS} songs of {TRACK_SECONDS} s, a fifth of them for evaluation"));
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

    plan.begin(&format!("Training {MODEL} on the other songs"));
    let training = format!("{:.2}", plan.expected[TRAINING]);
    let trained = out.join("run");
    run(unbraid(&["train", "--config"])
        .arg(root().join("configs/train/demo.toml"))
        .args(["--model", MODEL, "--minutes", &training, "--seed", &seed, "--data"])
        .arg(&data)
        .arg("--out")
        .arg(&trained))?;
    let model = trained.join("model.safetensors");

    plan.begin("Scoring the model on the songs that it was not trained on");
    let mut evaluate = unbraid(&["evaluate", "--split", "test", "--json", "--model"]);
    let evaluation = json_of(evaluate.arg(&model).arg("--data").arg(&data))?;
    let scores = Scores::read(&evaluation)?;

    plan.begin("Separating one of these songs");
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
    write_json(&report, &content)?;

    println!("\n{}", scores.table(trained_minutes));
    println!("The song     {}", mixture.display());
    println!("Its stems    {}", stems.display());
    println!("All figures  {}", report.display());
    println!("The model    {}", model.display());
    println!("\nYour own songs: cargo xtask separate SONG --model {} --out stems", model.display());
    Ok(())
}

/// Creates the demo's folder. `force` deletes an earlier demo in it.
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
             --force replaces it, --out FOLDER uses another folder"
        ),
        (true, false, _) => {
            bail!("{shown} holds files that are not the demo's; --out FOLDER uses another folder")
        }
    }
    fs::create_dir_all(out).with_context(|| format!("cannot create the folder {shown}"))?;
    fs::write(out.join(MARK), "").with_context(|| format!("cannot write into {shown}"))
}

/// Copies the mixture of the first test song next to the folder of its stems. Returns the song's name and the copy.
fn unseen(data: &Path, out: &Path) -> Result<(String, PathBuf)> {
    let folder = data.join("test");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
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

/// The steps with their measured and expected times.
struct Plan {
    budget: f64,
    start: Instant,
    /// Minutes of all steps, finished or not.
    expected: [f64; 5],
    /// The start of each step so far.
    begun: Vec<Instant>,
}

impl Plan {
    fn new(budget: f64, built: bool) -> Self {
        let mut expected = EXPECTED;
        let cores = std::thread::available_parallelism().map_or(2.0, |cores| cores.get() as f64);
        // More cores shorten the build until only a few large crates are left, which take 4 minutes.
        expected[0] = if built { 0.5 } else { (EXPECTED[0] * 2.0 / cores).max(4.0) };
        let mut plan = Self { budget, start: Instant::now(), expected, begun: Vec::new() };
        plan.fit_training();
        plan
    }

    /// Gives training the time that the other steps leave.
    fn fit_training(&mut self) {
        let step = self.begun.len();
        if step <= TRAINING {
            let others: f64 = (step..STEPS.len()).filter(|&i| i != TRAINING).map(|i| self.expected[i]).sum();
            let left = self.budget - minutes(self.start.elapsed()) - others;
            self.expected[TRAINING] = left.clamp(TRAINING_AT_LEAST, TRAINING_AT_MOST);
        }
    }

    /// Expected minutes of the steps that have not begun.
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

    /// Measured minutes of each step and in total.
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
    fn training_gets_the_time_that_the_other_steps_leave() {
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
    fn force_deletes_an_earlier_demo_and_no_other_folder() {
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
    fn the_first_unseen_song_is_copied_next_to_its_stems() {
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
