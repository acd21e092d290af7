//! The scores of files, against numbers that museval computed (`tests/peer/museval_scores.py`).
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

use serde_json::Value;
use std::path::Path;
use unbraid_audio::{AudioWriter, Format};
use unbraid_train::{Evaluation, Flow, Folders, FoldersError, score_folders};

/// The largest difference to museval, dB.
const TOLERANCE: f64 = 1e-6;

fn expected() -> Value {
    serde_json::from_str(include_str!("scores.json")).unwrap()
}

/// The upper 16 bits of a linear congruential generator.
fn noise(seed: u32, frames: usize) -> Vec<i64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i64::from(state >> 16) - 32_768
    };
    (0..frames).map(|_| next()).collect()
}

/// `[stem][channel][sample]`, integers of 16 bits.
type Signals = Vec<[Vec<i64>; 2]>;

/// References and estimates of a case. The same integers as in the script.
fn signals(case: &Value, stems: usize) -> (Signals, Signals) {
    let number = |value: &Value| value.as_u64().map(|number| number as usize);
    let (rate, frames) = (number(&case["rate"]).unwrap(), number(&case["frames"]).unwrap());
    let estimated = number(&case["estimate_frames"]).unwrap_or(frames);
    let longest = frames.max(estimated);
    let reference = |stem: usize| {
        [0, 1].map(|channel: usize| {
            let noise = noise((1000 + 10 * stem + channel) as u32, longest);
            let sample = |(n, noise): (usize, i64)| {
                let envelope = 64 + (n * (stem + 3) / 37 % 192) as i64;
                let saw = (n * (40 + 13 * stem + channel) % 65_536) as i64 - 32_768;
                ((noise * envelope) >> 10) + (saw >> 3)
            };
            noise.into_iter().enumerate().map(sample).collect::<Vec<_>>()
        })
    };
    let mut references: Signals = (0..stems).map(reference).collect();
    let estimate = |stem: usize| {
        [0, 1].map(|channel: usize| {
            let noise = noise((2000 + 10 * stem + channel) as u32, longest);
            let (own, next) = (&references[stem][channel], &references[(stem + 1) % stems][channel]);
            let sample = |n: usize| {
                let leak = (n / rate * 3 % 11) as i64;
                let noise = noise[n].div_euclid(256);
                let sum = ((own[n] * (7 + stem as i64)) >> 3) + ((next[n] * leak) >> 6) + noise;
                sum.clamp(-32_768, 32_767)
            };
            (0..estimated).map(sample).collect::<Vec<_>>()
        })
    };
    let mut estimates: Signals = (0..stems).map(estimate).collect();
    references.iter_mut().flatten().for_each(|channel| channel.truncate(frames));
    for (name, signals) in [("silent_reference", &mut references), ("silent_estimate", &mut estimates)] {
        let silent = &case[name];
        if let Some(stem) = number(&silent["stem"]) {
            let range = number(&silent["from"]).unwrap()..number(&silent["to"]).unwrap();
            signals[stem].iter_mut().for_each(|channel| channel[range.clone()].fill(0));
        }
    }
    (references, estimates)
}

fn write(path: &Path, signal: &[Vec<i64>; 2], rate: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let flac = path.extension().is_some_and(|extension| extension == "flac");
    let format = if flac { Format::Flac16 } else { Format::Wav16 };
    let mut writer = AudioWriter::create(path, format, rate).unwrap();
    let samples = signal.each_ref().map(|channel| channel.iter().map(|&x| x as f32 / 32_768.0).collect());
    writer.write(&samples).unwrap();
    writer.finish().unwrap();
}

fn score(root: &Path, stems: &[String]) -> Result<(Evaluation, Vec<String>), FoldersError> {
    let (references, estimates) = (root.join("true"), root.join("estimated"));
    let folders = Folders { references: &references, estimates: &estimates, stems, limit: None };
    let scores = score_folders(&folders, &|_, _| Flow::Continue)?.expect("it is not stopped");
    Ok((scores.evaluation, scores.notices))
}

#[test]
fn the_scores_of_files_are_those_of_museval() {
    let expected = expected();
    let stems: Vec<&str> =
        expected["stems"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
    let cases = expected["cases"].as_array().unwrap();
    let dir = tempfile::tempdir().unwrap();
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let rate = case["rate"].as_u64().unwrap() as u32;
        let (references, estimates) = signals(case, stems.len());
        for (stem, (reference, estimate)) in stems.iter().zip(references.iter().zip(&estimates)) {
            write(&dir.path().join(format!("true/{name}/{stem}.wav")), reference, rate);
            write(&dir.path().join(format!("estimated/{name}/{stem}.flac")), estimate, rate);
        }
    }
    let (evaluation, notices) = score(dir.path(), &[]).unwrap();
    assert_eq!(evaluation.songs.len(), cases.len());
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let song = evaluation.songs.iter().find(|song| song.name == name).unwrap();
        for stem in &stems {
            let (scores, expected) = (&song.stems[*stem], &case["scores"][stem]);
            for (metric, score) in
                [("csdr", scores.csdr), ("usdr", Some(scores.usdr)), ("si_sdr", scores.si_sdr)]
            {
                let (score, expected) = (score.unwrap(), expected[metric].as_f64().unwrap());
                assert!(
                    (score - expected).abs() < TOLERANCE,
                    "{name}, {stem}, {metric}: {score} against {expected}"
                );
            }
        }
    }
    // The cases with estimates of another length, one sentence per file; 3210 samples are less than an encoder's
    // padding.
    assert_eq!(notices.len(), stems.len(), "{notices:?}");
    assert!(notices.iter().all(|notice| notice.contains("ends 2.41 s before its reference")), "{notices:?}");
}

/// A second of noise.
fn second(path: &Path, seed: u32) {
    write(path, &[noise(seed, 8000), noise(seed + 1, 8000)], 8000);
}

#[test]
fn everything_that_is_missing_is_named_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = |path: &str| second(&dir.path().join(path), 1);
    for song in ["Alpha", "Beta - Long Name", "Gamma"] {
        for stem in ["drums", "vocals", "mixture"] {
            file(&format!("true/{song}/{stem}.wav"));
        }
    }
    file("estimated/Alpha/drums.wav");
    file("estimated/Alpha/vocal.wav");
    file("estimated/Beta - Long Nam/drums.wav");
    file("estimated/Gamma/drums.wav");
    file("estimated/Gamma/vocals.wav");
    file("estimated/Gamma/vocals.flac");
    let error = score(dir.path(), &[]).unwrap_err();
    let FoldersError::Faults(faults) = &error else { panic!("{error}") };
    assert_eq!(faults.len(), 3, "{error}");
    assert!(faults[0].ends_with("Alpha has no stem vocals; did you mean vocal.wav?"), "{error}");
    assert!(
        faults[1].ends_with("has no folder \"Beta - Long Name\"; did you mean Beta - Long Nam?"),
        "{error}"
    );
    assert!(faults[2].ends_with("Gamma has vocals.flac and vocals.wav for one stem"), "{error}");

    // Only some stems; the mixture is none.
    std::fs::rename(
        dir.path().join("estimated/Beta - Long Nam"),
        dir.path().join("estimated/Beta - Long Name"),
    )
    .unwrap();
    file("estimated/Delta/drums.wav");
    let (evaluation, notices) = score(dir.path(), &["drums".into()]).unwrap();
    assert_eq!(evaluation.stems.keys().collect::<Vec<_>>(), ["drums"]);
    assert!(notices.len() == 1 && notices[0].contains("Delta has no reference"), "{notices:?}");

    let folders = [dir.path(), &dir.path().join("estimated")];
    let folders = Folders { references: folders[0], estimates: folders[1], stems: &[], limit: None };
    let error = score_folders(&folders, &|_, _| Flow::Continue).unwrap_err().to_string();
    assert!(error.contains("did you mean") && error.contains("true"), "{error}");
}

#[test]
fn an_instrumental_has_a_leak_and_the_limit_cuts() {
    let dir = tempfile::tempdir().unwrap();
    let two_seconds = |seed| [noise(seed, 16_000), noise(seed + 1, 16_000)];
    let silence = [vec![0; 16_000], vec![0; 16_000]];
    let path = |path: &str| dir.path().join(path);
    write(&path("true/song/drums.wav"), &two_seconds(1), 8000);
    write(&path("true/song/vocals.wav"), &silence, 8000);
    write(&path("estimated/song/drums.wav"), &two_seconds(1), 8000);
    let tenth = two_seconds(1).map(|channel| channel.into_iter().map(|x| x / 10).collect());
    write(&path("estimated/song/vocals.wav"), &tenth, 8000);
    let (evaluation, _) = score(dir.path(), &[]).unwrap();
    let leak = evaluation.songs[0].silent["vocals"].unwrap();
    assert!((leak + 20.0).abs() < 1e-2, "{leak}");
    // Without a file of it, the mixture is the sum of all references, also of those that are not scored.
    let (vocals, _) = score(dir.path(), &["vocals".into()]).unwrap();
    assert_eq!(vocals.songs[0].silent["vocals"], Some(leak));

    let (references, estimates) = (path("true"), path("estimated"));
    let folders = Folders { references: &references, estimates: &estimates, stems: &[], limit: Some(1.5) };
    let scores = score_folders(&folders, &|_, _| Flow::Continue).unwrap().unwrap();
    assert_eq!(scores.evaluation.songs[0].seconds, 1.5);
    assert!(score_folders(&folders, &|_, _| Flow::Stop).unwrap().is_none());

    std::fs::write(path("estimated/song/drums.wav"), b"RIFF").unwrap();
    assert!(matches!(score(dir.path(), &[]), Err(FoldersError::Audio(errors)) if errors.len() == 1));
}
