//! Tests of whole songs, and helpers for the modules' tests.

use std::collections::BTreeSet;
use std::fs;
use std::sync::LazyLock;

use rayon::prelude::*;
use unbraid_base::Stereo;

use crate::dataset::{Options, SynthError, write_dataset};
use crate::song::{STEMS, STEP, Song, rms, song};

const RATE: u32 = 22_050;
const SECONDS: usize = 15;

/// The pitch of a sound between `low` and `high` Hz: the highest peak of the normalised autocorrelation, refined by a
/// parabola.
pub(crate) fn pitch_of(sound: &[f32], rate: f64, low: f64, high: f64) -> f64 {
    let (short, long) = ((rate / high) as usize, (rate / low).ceil() as usize);
    assert!(short > 2 && long + 2 < sound.len(), "too little sound for {low} Hz");
    let len = sound.len() - long - 1;
    let correlation = |lag: usize| {
        let (mut product, mut a, mut b) = (0.0, 1e-12, 1e-12);
        for n in 0..len {
            let (x, y) = (f64::from(sound[n]), f64::from(sound[n + lag]));
            product += x * y;
            a += x * x;
            b += y * y;
        }
        product / (a * b).sqrt()
    };
    let curve: Vec<f64> = (short - 1..=long + 1).map(correlation).collect();
    let mut best = 1;
    for k in 1..curve.len() - 1 {
        if curve[k] > curve[best] {
            best = k;
        }
    }
    let (l, m, r) = (curve[best - 1], curve[best], curve[best + 1]);
    let bow = l - 2.0 * m + r;
    let shift = if bow < 0.0 { 0.5 * (l - r) / bow } else { 0.0 };
    rate / ((short - 1 + best) as f64 + shift)
}

fn mono(stem: &Stereo) -> Vec<f32> {
    stem[0].iter().zip(&stem[1]).map(|(l, r)| l + r).collect()
}

/// Songs that several tests share.
static SONGS: LazyLock<Vec<Song>> =
    LazyLock::new(|| (0..14u64).into_par_iter().map(|index| song(11, index, SECONDS as f64, RATE)).collect());

/// An estimate of the spectral centroid in Hz, from the power of the sound and of its first difference:
/// Σ|x[n] − x[n−1]|² / Σx² is the power-weighted mean of 4 sin²(πf/rate).
fn centroid(sound: &[f32]) -> f64 {
    let power: f64 = sound.iter().map(|x| f64::from(x * x)).sum();
    let change: f64 = sound.windows(2).map(|w| f64::from(w[1] - w[0]).powi(2)).sum();
    f64::from(RATE) / std::f64::consts::PI * (0.5 * (change / power).sqrt()).min(1.0).asin()
}

/// FNV-1a hash of the samples as 16-bit numbers.
fn checksum(song: &Song) -> u64 {
    song.stems.iter().flatten().flatten().fold(0xcbf2_9ce4_8422_2325, |hash, x| {
        let sample = (f64::from(*x) / STEP) as i16;
        sample.to_le_bytes().iter().fold(hash, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
    })
}

#[test]
fn equal_seeds_give_equal_songs_and_other_seeds_give_others() {
    let (a, b) = (song(1, 2, 8.0, RATE), song(1, 2, 8.0, RATE));
    assert!(a.stems == b.stems && a.tempo == b.tempo && a.key == b.key);
    for other in [song(2, 2, 8.0, RATE), song(1, 3, 8.0, RATE)] {
        for (name, (x, y)) in STEMS.iter().zip(a.stems.iter().zip(&other.stems)) {
            assert!(x != y, "{name} is the same in two songs");
        }
    }
}

/// Songs have the same bits on every platform. An intended change of a sound changes these hashes. Then data sets that
/// were written before cannot be generated again.
#[test]
fn songs_have_the_same_bits_on_every_platform() {
    let sums: Vec<u64> = (0..2).map(|index| checksum(&song(1, index, 6.0, RATE))).collect();
    assert_eq!(sums, [7_156_469_501_358_156_324, 9_860_586_980_385_996_208]);
}

/// The last bits of the platform's elementary functions differ between systems.
#[test]
fn no_code_calls_the_platforms_elementary_functions() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let names = [
        "sin", "cos", "tan", "exp", "exp2", "ln", "log2", "log10", "powf", "powi", "tanh", "sin_cos", "cbrt",
        "atan2", "asin", "hypot", "mul_add",
    ];
    let mut looked = 0;
    for path in crate::find_files(&[folder.into()], &["rs"]) {
        if path.file_name().is_some_and(|name| name == "tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("readable");
        let code = text.split("#[cfg(test)]\nmod tests {").next().expect("at least one part");
        for name in names {
            assert!(!code.contains(&format!(".{name}(")), "{} calls {name}", path.display());
        }
        looked += 1;
    }
    assert!(looked > 10);
}

#[test]
fn stems_are_whole_steps_finite_and_add_up_without_clipping() {
    for (index, song) in SONGS.iter().enumerate() {
        let mixture = song.mixture();
        assert!(song.stems.iter().flatten().all(|side| side.len() == SECONDS * RATE as usize));
        let mut peak = 0.0f32;
        for c in 0..2 {
            for n in 0..mixture[c].len() {
                let steps: i64 = song.stems.iter().map(|s| (f64::from(s[c][n]) / STEP).round() as i64).sum();
                assert_eq!(f64::from(mixture[c][n]), steps as f64 * STEP, "song {index}, sample {n}");
                peak = peak.max(mixture[c][n].abs());
            }
        }
        for x in song.stems.iter().flatten().flatten() {
            assert!(x.is_finite() && x.abs() < 0.95 && (f64::from(*x) / STEP).fract() == 0.0);
        }
        assert!((0.2..0.95).contains(&peak), "song {index} peaks at {peak}");
        // The song ends without a click, and no stem has a DC offset.
        assert!(mixture.iter().all(|side| side.last().expect("samples").abs() < 0.002));
        for (name, stem) in STEMS.iter().zip(&song.stems) {
            let mean: f64 = stem[0].iter().map(|x| f64::from(*x)).sum::<f64>() / stem[0].len() as f64;
            assert!(mean.abs() < 0.02 * rms(stem), "{name} of song {index} has an offset of {mean}");
        }
    }
}

#[test]
fn stems_are_balanced_and_present() {
    let mut sums = [0.0; 4];
    for (index, song) in SONGS.iter().enumerate() {
        let levels = song.stems.each_ref().map(|stem| 20.0 * rms(stem).log10());
        let loudest = levels.iter().fold(f64::MIN, |a, b| a.max(*b));
        let softest = levels.iter().fold(f64::MAX, |a, b| a.min(*b));
        assert!(loudest - softest < 6.0, "song {index}: {levels:.1?} dB");
        assert!(softest > -40.0, "song {index}: {levels:.1?} dB");
        for (sum, level) in sums.iter_mut().zip(levels) {
            *sum += level / SONGS.len() as f64;
        }
        for (name, stem) in STEMS.iter().zip(&song.stems) {
            // The share of quarter-second blocks in which the stem is within 30 dB of its mean level.
            let sound = mono(stem);
            let level = rms(stem);
            let blocks: Vec<bool> = sound
                .chunks(RATE as usize / 4)
                .map(|b| {
                    (b.iter().map(|x| f64::from(x * x)).sum::<f64>() / b.len() as f64).sqrt() > 0.03 * level
                })
                .collect();
            let heard = blocks.iter().filter(|b| **b).count() as f64 / blocks.len() as f64;
            assert!(heard > 0.35, "{name} of song {index} sounds for {:.0} %", 100.0 * heard);
        }
    }
    let spread = sums.iter().fold(f64::MIN, |a, b| a.max(*b)) - sums.iter().fold(f64::MAX, |a, b| a.min(*b));
    assert!(spread < 2.5, "levels over all songs: {sums:.1?} dB");
}

#[test]
fn stems_differ_in_spectrum_and_attack() {
    let mut attacks = [0.0; 4];
    for (index, song) in SONGS.iter().enumerate() {
        let [drums, bass, other, vocals] = song.stems.each_ref().map(|stem| centroid(&mono(stem)));
        assert!(
            bass < drums && bass < other && bass < vocals,
            "song {index}: {bass} {other} {vocals} {drums}"
        );
        // The largest rises of power between 10 ms blocks, relative to the mean power.
        for (sum, stem) in attacks.iter_mut().zip(&song.stems) {
            let sound = mono(stem);
            let blocks: Vec<f64> =
                sound.chunks(RATE as usize / 100).map(|b| b.iter().map(|x| f64::from(x * x)).sum()).collect();
            let mean = blocks.iter().sum::<f64>() / blocks.len() as f64;
            let mut rises: Vec<f64> = blocks.windows(2).map(|w| (w[1] - w[0]) / mean).collect();
            rises.sort_by(|a, b| b.total_cmp(a));
            *sum += rises[rises.len() / 50] / SONGS.len() as f64;
        }
    }
    let [drums, others @ ..] = attacks;
    assert!(
        others.iter().all(|o| drums > 1.2 * o),
        "the drums' attacks are not faster than the others': {attacks:.2?}"
    );
}

#[test]
fn stems_have_stereo_width() {
    let mut wide = 0;
    for song in SONGS.iter() {
        let [drums, bass, other, _] = song.stems.each_ref().map(|stem| {
            let side: f64 = stem[0].iter().zip(&stem[1]).map(|(l, r)| f64::from(l - r).powi(2)).sum();
            let middle: f64 = stem[0].iter().zip(&stem[1]).map(|(l, r)| f64::from(l + r).powi(2)).sum();
            side / middle
        });
        assert!(drums > 1e-4, "the drums are mono");
        assert!(bass < 0.05, "the bass is not in the centre");
        wide += usize::from(other > 0.05);
    }
    assert!(wide >= 10, "the other stem is wide in {wide} of 14 songs");
}

#[test]
fn songs_differ_in_tempo_and_key() {
    let tempi: Vec<f64> = SONGS.iter().map(|s| s.tempo).collect();
    assert!(tempi.iter().all(|t| (70.0..160.0).contains(t)));
    assert!(tempi.iter().any(|t| *t < 100.0) && tempi.iter().any(|t| *t > 130.0));
    assert!(SONGS.iter().map(|s| s.key.as_str()).collect::<BTreeSet<_>>().len() >= 6);
}

#[test]
fn very_short_songs_and_other_rates_are_rendered() {
    for rate in [8_000, 48_000, 96_000] {
        for seconds in [0.0001, 0.01, 1.0] {
            for index in 0..4 {
                let song = song(5, index, seconds, rate);
                let frames = (seconds * f64::from(rate)).round() as usize;
                assert!(song.stems.iter().flatten().all(|s| s.len() == frames));
                assert!(song.stems.iter().flatten().flatten().all(|x| x.is_finite() && x.abs() < 0.95));
            }
        }
    }
}

fn options(train: usize, test: usize) -> Options {
    Options { train, test, seconds: 1.0, seed: 3, rate: RATE }
}

#[test]
fn a_data_set_has_its_layout_and_written_mixtures_are_exact_sums() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("set");
    let mut reports = Vec::new();
    let all = write_dataset(&out, &options(2, 1), &mut |done, total| {
        reports.push((done, total));
        true
    });
    assert!(all.expect("a writable folder"));
    assert_eq!(reports, [(0, 3), (1, 3), (2, 3), (3, 3)]);
    let names = |path: &std::path::Path| -> BTreeSet<String> {
        let entries = fs::read_dir(path).expect("a folder");
        entries.map(|e| e.expect("an entry").file_name().into_string().expect("plain names")).collect()
    };
    assert_eq!(names(&out), ["test", "train"].map(String::from).into());
    assert_eq!(names(&out.join("test")), ["invented-0001"].map(String::from).into());
    assert_eq!(names(&out.join("train")), ["invented-0001", "invented-0002"].map(String::from).into());
    for (track, index) in [("train/invented-0001", 0), ("train/invented-0002", 1), ("test/invented-0001", 2)]
    {
        let files = names(&out.join(track));
        let expected = ["bass.wav", "drums.wav", "mixture.wav", "other.wav", "vocals.wav"].map(String::from);
        assert_eq!(files, expected.into());
        // The samples in the file's data chunk.
        let samples = |name: &str| -> Vec<i16> {
            let bytes = fs::read(out.join(track).join(name).with_extension("wav")).expect("a file");
            let data = bytes.windows(4).position(|w| w == b"data").expect("a data chunk") + 8;
            bytes[data..].chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect()
        };
        let mixture = samples("mixture");
        assert_eq!(mixture.len(), 2 * RATE as usize);
        let stems = STEMS.map(samples);
        for n in 0..mixture.len() {
            let sum: i32 = stems.iter().map(|s| i32::from(s[n])).sum();
            assert_eq!(i32::from(mixture[n]), sum, "sample {n} of {track}");
        }
        let made = song(3, index, 1.0, RATE);
        for (stem, written) in made.stems.iter().zip(&stems) {
            let same = |n: usize| (f64::from(stem[n % 2][n / 2]) / STEP) as i16 == written[n];
            assert!((0..written.len()).all(same), "{track} differs from its song");
        }
    }
}

/// The songs in work are finished, no other is begun, and nothing is left half-written.
#[test]
fn a_stopped_data_set_has_complete_songs_only() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, least, stop_after) in [("some", 2, 2), ("none", 0, 0)] {
        let out = folder.path().join(name);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
        let write = || write_dataset(&out, &options(40, 10), &mut |done, _| done < stop_after);
        assert!(!pool.install(write).expect("a writable folder"));
        let mut songs = 0;
        for part in ["train", "test"] {
            for entry in fs::read_dir(out.join(part)).expect("a folder") {
                let song = entry.expect("an entry").path();
                assert_eq!(fs::read_dir(&song).expect("a folder").count(), 5, "{}", song.display());
                songs += 1;
            }
        }
        assert!((least..20).contains(&songs), "{name}: {songs} songs");
    }
}

#[test]
fn bad_options_are_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let quiet = &mut |_, _| true;
    let full = folder.path().join("full");
    fs::create_dir(&full).expect("a folder");
    fs::write(full.join("file"), b"content").expect("a file");
    assert!(matches!(write_dataset(&full, &options(1, 1), quiet), Err(SynthError::NotEmpty(_))));
    assert_eq!(fs::read_dir(&full).expect("a folder").count(), 1);
    let file = full.join("file");
    assert!(matches!(write_dataset(&file, &options(1, 1), quiet), Err(SynthError::Io { .. })));

    let new = folder.path().join("new");
    let wrong = [
        options(0, 0),
        Options { seconds: f64::NAN, ..options(1, 1) },
        Options { seconds: 0.0, ..options(1, 1) },
        Options { seconds: 1e9, ..options(1, 1) },
        Options { rate: 0, ..options(1, 1) },
    ];
    for options in wrong {
        let error = write_dataset(&new, &options, quiet).expect_err("an option is out of range");
        assert!(matches!(error, SynthError::Options(_)) && !error.to_string().is_empty());
        assert!(!new.exists(), "{options:?} wrote something");
    }
}

#[test]
fn tracks_are_divided_as_documented() {
    let divided: Vec<(usize, usize)> = [0, 1, 2, 3, 5, 8, 10, 100].map(Options::divide).into();
    assert_eq!(divided, [(0, 0), (1, 0), (1, 1), (2, 1), (4, 1), (6, 2), (8, 2), (80, 20)]);
}
