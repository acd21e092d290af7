use super::*;
use crate::data::dataset::DataOptions;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::PathBuf;
use unbraid_audio::{AudioWriter, Format};
use unbraid_base::Stereo;

const RATE: u32 = 8000;
const SECONDS: usize = 9;
const STEMS: [&str; 4] = ["drums", "bass", "other", "vocals"];

fn stems() -> Vec<String> {
    STEMS.map(String::from).to_vec()
}

/// Notes of filtered noise and tones, at random times and levels.
fn music(seed: u64) -> Stereo {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let frames = SECONDS * RATE as usize;
    let mut signal = [vec![0.0; frames], vec![0.0; frames]];
    let mut at = 0;
    while at < frames {
        let length = rng.random_range(800..4000).min(frames - at);
        let (level, noise) = (rng.random_range(0.02..0.2_f32), rng.random_range(0.0..1.0_f32));
        let (step, pan) = (rng.random_range(0.02..0.9_f32), rng.random_range(0.2..0.8_f32));
        let mut low = 0.0;
        for n in 0..length {
            low += 0.3 * (rng.random_range(-1.0..1.0_f32) - low);
            let fade = 1.0 - n as f32 / length as f32;
            let x = level * fade * (noise * low + (1.0 - noise) * (n as f32 * step).sin());
            signal[0][at + n] = x * pan;
            signal[1][at + n] = x * (1.0 - pan);
        }
        at += length;
    }
    signal
}

fn scaled(signal: &Stereo, gain: f32) -> Stereo {
    signal.each_ref().map(|channel| channel.iter().map(|x| gain * x).collect())
}

/// The signal, `shift` samples later.
fn late(signal: &Stereo, shift: usize) -> Stereo {
    signal.each_ref().map(|c| [&vec![0.0; shift][..], &c[..c.len() - shift]].concat())
}

fn sum(signals: &[Stereo]) -> Stereo {
    signals.iter().skip(1).fold(signals[0].clone(), |mut sum, signal| {
        crate::data::source::add(&mut sum, signal);
        sum
    })
}

fn write(path: &Path, signal: &Stereo, rate: u32, format: Format) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = AudioWriter::create(path, format, rate).unwrap();
    writer.write(signal).unwrap();
    writer.finish().unwrap();
}

/// A file with one sample that the writer would refuse.
fn write_with(path: &Path, signal: &Stereo, sample: f32) {
    write(path, signal, RATE, Format::Wav32f);
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.len() - 40_000;
    bytes[at..at + 4].copy_from_slice(&sample.to_le_bytes());
    std::fs::write(path, bytes).unwrap();
}

/// A song of a data set, in memory until it is written.
struct Song {
    folder: PathBuf,
    stems: Vec<Stereo>,
    mixture: Stereo,
}

impl Song {
    fn new(root: &Path, index: usize) -> Self {
        let stems: Vec<Stereo> = (0..4).map(|stem| music((10 * index + stem) as u64)).collect();
        let mixture = sum(&stems);
        Self { folder: root.join(format!("train/song {index:02}")), stems, mixture }
    }

    fn write(&self) {
        for (name, signal) in STEMS.iter().zip(&self.stems).chain([(&"mixture", &self.mixture)]) {
            write(&self.folder.join(format!("{name}.wav")), signal, RATE, Format::Wav24);
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn checked(root: &Path) -> CheckReport {
    check(root, &stems(), &DataOptions::default(), |_, _| true).unwrap().unwrap()
}

#[test]
fn a_clean_data_set_has_no_fault() {
    let dir = tempfile::tempdir().unwrap();
    for index in 0..6 {
        Song::new(dir.path(), index).write();
    }
    // A flac file beside wav files, and a song for testing.
    let flac = Song::new(dir.path(), 3);
    std::fs::remove_file(flac.file("bass.wav")).unwrap();
    write(&flac.file("bass.flac"), &flac.stems[1], RATE, Format::Flac);
    let test = Song { folder: dir.path().join("test/x"), ..Song::new(dir.path(), 90) };
    test.write();
    let report = checked(dir.path());
    assert_eq!(report.faults, []);
    assert_eq!((report.songs.len(), report.rate), (7, Some(RATE)));
    assert!((report.seconds - 7.0 * SECONDS as f64).abs() < 1e-9);
    assert!(report.songs.iter().all(|song| song.files.len() == 5 && song.sum.is_some_and(|sum| sum > 80.0)));
    assert!(report.notices.is_empty(), "{:?}", report.notices);
    assert_eq!(check(dir.path(), &stems(), &DataOptions::default(), |_, _| false).unwrap(), None);
}

/// Every planted fault is found, with its kind, its song and its file. Nothing else is found.
#[test]
fn every_planted_fault_is_found() {
    use FaultKind::*;
    let dir = tempfile::tempdir().unwrap();
    let mut planted: Vec<(FaultKind, usize, Option<&str>)> = Vec::new();
    let song = |index: usize| Song::new(dir.path(), index);
    let mut plant = |kind, index, file, make: &dyn Fn(&mut Song)| {
        let mut song = Song::new(dir.path(), index);
        make(&mut song);
        planted.push((kind, index, file));
    };
    let written = |song: &mut Song| song.write();
    plant(NotFinite, 0, Some("drums.wav"), &|song| {
        song.write();
        write_with(&song.file("drums.wav"), &song.stems[0], f32::NAN);
    });
    plant(NotFinite, 1, Some("mixture.wav"), &|song| {
        song.write();
        write_with(&song.file("mixture.wav"), &song.mixture, f32::INFINITY);
    });
    plant(Unreadable, 2, Some("vocals.wav"), &|song| {
        song.write();
        let bytes = std::fs::read(song.file("vocals.wav")).unwrap();
        std::fs::write(song.file("vocals.wav"), &bytes[..bytes.len() / 2]).unwrap();
    });
    plant(Unreadable, 3, Some("bass.wav"), &|song| {
        song.write();
        std::fs::write(song.file("bass.wav"), "not audio").unwrap();
    });
    plant(Unreadable, 4, Some("other.wav"), &|song| {
        song.write();
        std::fs::write(song.file("other.wav"), "").unwrap();
    });
    plant(Missing, 5, Some("bass"), &|song| {
        song.write();
        std::fs::remove_file(song.file("bass.wav")).unwrap();
    });
    plant(Silent, 6, Some("vocals.wav"), &|song| {
        song.stems[3] = scaled(&song.stems[3], 0.0);
        song.mixture = sum(&song.stems);
        song.write();
    });
    plant(Clipped, 7, Some("drums.wav"), &|song| {
        let clip = |x: &f32| (8.0 * x).clamp(-0.5, 0.5);
        song.stems[0] = song.stems[0].each_ref().map(|c| c.iter().map(clip).collect());
        song.mixture = sum(&song.stems);
        song.write();
    });
    plant(Clipped, 8, Some("mixture.wav"), &|song| {
        // Few samples are clipped, so that the mixture is still nearly the sum.
        let top = song.mixture[0].iter().chain(&song.mixture[1]).fold(0.0_f32, |top, x| top.max(x.abs()));
        let clip = |x: &f32| x.clamp(-0.75 * top, 0.75 * top);
        song.mixture = song.mixture.each_ref().map(|c| c.iter().map(clip).collect());
        song.write();
    });
    plant(Rate, 9, Some("other.wav"), &|song| {
        song.write();
        // The same audio at twice the rate.
        let double = song.stems[2].each_ref().map(|c| c.iter().flat_map(|x| [*x, *x]).collect::<Vec<f32>>());
        write(&song.file("other.wav"), &double, 2 * RATE, Format::Wav24);
        song.stems[2] = song.stems[2].clone();
        std::fs::remove_file(song.file("mixture.wav")).unwrap();
    });
    plant(Rate, 10, None, &|song| {
        for (name, signal) in STEMS.iter().zip(&song.stems).chain([(&"mixture", &song.mixture)]) {
            write(&song.file(&format!("{name}.wav")), signal, 11_025, Format::Wav24);
        }
    });
    plant(Length, 11, Some("bass.wav"), &|song| {
        song.write();
        let short = song.stems[1].each_ref().map(|c| c[..c.len() - 9000].to_vec());
        write(&song.file("bass.wav"), &short, RATE, Format::Wav24);
    });
    plant(Length, 12, None, &|song| {
        song.write();
        let long = song.mixture.each_ref().map(|c| [&c[..], &vec![0.1; 9000][..]].concat());
        write(&song.file("mixture.wav"), &long, RATE, Format::Wav24);
    });
    plant(Inverted, 13, Some("bass"), &|song| {
        song.stems[1] = scaled(&song.stems[1], -1.0);
        song.write();
    });
    plant(Inverted, 14, None, &|song| {
        song.mixture = scaled(&song.mixture, -1.0);
        song.write();
    });
    plant(Misaligned, 15, Some("vocals"), &|song| {
        song.stems[3] = late(&song.stems[3], 1105);
        song.write();
    });
    plant(Misaligned, 16, None, &|song| {
        song.mixture = late(&song.mixture, 2112);
        song.write();
    });
    plant(Misaligned, 17, Some("drums"), &|song| {
        song.mixture = sum(&[late(&song.stems[0], 37), sum(&song.stems[1..])]);
        song.write();
    });
    plant(Sum, 18, Some("other"), &|song| {
        song.stems[2] = scaled(&song.stems[2], 0.5);
        song.write();
    });
    plant(Sum, 19, None, &|song| {
        // The vocals of another take.
        song.stems[3] = music(7777);
        song.write();
    });
    plant(Sum, 20, None, &|song| {
        song.stems[2].swap(0, 1);
        song.write();
    });
    plant(Duplicate, 21, None, &|song| {
        song.stems[2] = song.stems[1].clone();
        song.mixture = sum(&song.stems);
        song.write();
    });
    plant(Duplicate, 22, Some("train/song 23"), &written);
    let copy = Song {
        stems: vec![scaled(&song(22).stems[0], 0.7), music(9001), music(9002), music(9003)],
        ..song(23)
    };
    Song { mixture: sum(&copy.stems), ..copy }.write();
    plant(Duplicate, 24, Some("train/song 25"), &written);
    Song { folder: song(25).folder, ..song(24) }.write();

    let report = checked(dir.path());
    let mut expected = planted.clone();
    for fault in &report.faults {
        let place = expected.iter().position(|(kind, index, file)| {
            let named = match (file, &fault.file) {
                (Some(file), Some(found)) => found.ends_with(file),
                (None, _) => true,
                _ => false,
            };
            fault.kind == *kind && fault.song.ends_with(&format!("song {index:02}")) && named
        });
        let Some(place) = place else { panic!("not planted: {fault:?}") };
        expected.remove(place);
    }
    assert!(expected.is_empty(), "not found: {expected:?}\n{:#?}", report.faults);
    assert!(planted.len() >= 20);
    let detail = |kind, text: &str| report.faults.iter().any(|f| f.kind == kind && f.detail.contains(text));
    assert!(detail(Misaligned, "vocals is 1105 samples (138.1 ms) too late"), "{:#?}", report.faults);
    assert!(detail(Misaligned, "the sum of the stems is 2112 samples"), "{:#?}", report.faults);
    assert!(detail(Misaligned, "drums is 37 samples (4.6 ms) too early"), "{:#?}", report.faults);
    assert!(detail(Sum, "other has another level in the mixture: +6.0 dB"), "{:#?}", report.faults);
}

/// Songs whose bass and other are one file: clean, shifted, without drums, and with a file too many.
#[test]
fn sums_of_stems_are_checked_like_stems() {
    use FaultKind::*;
    let dir = tempfile::tempdir().unwrap();
    let joined = |index: usize, shift: usize| {
        let song = Song::new(dir.path(), index);
        song.write();
        let both = sum(&song.stems[1..3]);
        write(&song.file("bass+other.wav"), &late(&both, shift), RATE, Format::Wav24);
        std::fs::remove_file(song.file("bass.wav")).unwrap();
        std::fs::remove_file(song.file("other.wav")).unwrap();
        song
    };
    joined(30, 0);
    Song::new(dir.path(), 31).write();
    let report = checked(dir.path());
    assert_eq!(report.faults, []);
    assert!(report.songs[0].files.len() == 4 && report.songs.iter().all(|song| song.sum.unwrap() > 80.0));
    assert_eq!(report.notices, ["1 of 2 songs have bass+other only as a sum"]);
    joined(32, 500);
    std::fs::remove_file(joined(33, 0).file("drums.wav")).unwrap();
    let song = joined(34, 0);
    write(&song.file("bass.wav"), &song.stems[1], RATE, Format::Wav24);
    let report = checked(dir.path());
    let found: Vec<_> =
        report.faults.iter().map(|fault| (fault.kind, fault.song.as_str(), fault.file.as_deref())).collect();
    assert_eq!(
        found,
        [
            (Missing, "song 33", Some("drums")),
            (Missing, "song 34", Some("bass and bass+other")),
            (Misaligned, "train/song 32", Some("bass+other")),
        ]
    );
}
