//! What segments cost: time against each other, and memory.

use super::*;
use crate::data::formats::open_dataset;
use crate::data::testing as data;
use rand::{RngExt, SeedableRng};
use std::path::Path;
use unbraid_audio::{AudioWriter, Format};

const RATE: u32 = 44_100;

/// Two stems of 40 s of noise that falls by 6 dB per octave, 16 bits.
fn songs(root: &Path, format: Format) {
    let folder = root.join("train/song");
    std::fs::create_dir_all(&folder).unwrap();
    for (seed, stem) in data::STEMS.iter().enumerate() {
        let mut rng = ChaCha8Rng::seed_from_u64(seed as u64);
        let mut low = 0.0;
        let mut next = || {
            low += 0.1 * (rng.random_range(-1.0..1.0f32) - low);
            low
        };
        let mono: Vec<f32> = (0..40 * RATE).map(|_| next()).collect();
        let file = folder.join(stem).with_extension(format.extension());
        let mut writer = AudioWriter::create(&file, format, RATE).unwrap();
        let right = mono.iter().map(|x| 0.5 * x).collect();
        writer.write(&[mono, right]).unwrap();
        writer.finish().unwrap();
    }
}

fn source(root: &Path, rate: u32, seconds: f64, config: TrainConfig) -> Segments {
    let dataset = open_dataset(root, "train", &data::stems(), rate).unwrap();
    let samples = (seconds * f64::from(rate)) as usize;
    let config = TrainConfig { segment_seconds: seconds, ..config };
    Segments::new(dataset, &[0], (samples, rate), &config, &Vec::new())
}

/// The same segments from both formats in turn. The least time of several rounds does not depend on what else the
/// machine does.
#[test]
fn a_segment_of_a_flac_costs_little_more_than_one_of_a_wav() {
    let dir = tempfile::tempdir().unwrap();
    let sources = [Format::Wav16, Format::Flac16].map(|format| {
        let root = dir.path().join(format.extension());
        songs(&root, format);
        source(&root, RATE, 6.0, TrainConfig::default())
    });
    let mut least = [Duration::MAX; 2];
    for k in 0..12 {
        for (source, least) in sources.iter().zip(&mut least) {
            let began = Instant::now();
            let segment = source.segment(k).unwrap().0;
            *least = began.elapsed().min(*least);
            assert!(segment.iter().flatten().all(|channel| channel.len() == 6 * RATE as usize));
        }
    }
    let ratio = least[1].as_secs_f64() / least[0].as_secs_f64();
    println!("wav {:?}, flac {:?}: {ratio:.1} times", least[0], least[1]);
    assert!(ratio < MOST, "{least:?}");
}

/// The largest ratio of a flac's time to a wav's. It is 8 to 11 here, and would be 60 if all 40 s were decoded.
const MOST: f64 = 40.0;

/// Reads many segments of an hour in a separate process, whose memory no other test changes.
#[test]
#[cfg(target_os = "linux")]
fn memory_stays_flat_over_many_segments_of_an_hour() {
    let test = "data::segments::cost::segments_of_an_hour";
    let program = std::env::current_exe().unwrap();
    let arguments = [test, "--exact", "--ignored", "--nocapture"];
    let output = std::process::Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let peaks = text.lines().filter_map(|line| line.strip_prefix("peak ")?.parse::<i64>().ok());
    let peaks: Vec<i64> = peaks.collect();
    let [early, late] = peaks[..] else { panic!("{text}") };
    // Pages of the allocator. A segment has 16 kB, and one that is kept each time would add 160 MB.
    assert!(late - early < 2048, "{early} kB after 200 segments and {late} kB after 10 000");
    assert!(late < 200 * 1024, "{late} kB; the two files have 460 MB of samples");
}

/// The peak of this process's memory in kB, after few and after many segments.
#[test]
#[ignore = "a part of another test"]
#[cfg(target_os = "linux")]
fn segments_of_an_hour() {
    let dir = tempfile::tempdir().unwrap();
    let rate = 8000;
    let folder = dir.path().join("train/song");
    std::fs::create_dir_all(&folder).unwrap();
    for stem in data::STEMS {
        let mut writer =
            AudioWriter::create(&folder.join(format!("{stem}.flac")), Format::Flac16, rate).unwrap();
        for second in 0..3600 {
            let tone = |n: usize| 0.2 * (n as f32 * (0.01 + 1e-5 * second as f32)).sin();
            let side: Vec<f32> = (0..rate as usize).map(tone).collect();
            writer.write(&[side.clone(), side]).unwrap();
        }
        writer.finish().unwrap();
    }
    let source = source(dir.path(), rate, 0.25, TrainConfig::default());
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        println!("peak {}", line.trim().trim_end_matches("kB").trim());
    };
    for k in 0..10_000 {
        source.segment(k).unwrap();
        if k == 200 {
            peak();
        }
    }
    peak();
}
