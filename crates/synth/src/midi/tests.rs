use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use unbraid_audio::{AudioWriter, Format};

use super::fixture::{Smf, band, damaged_midi, sound_font};
use super::*;
use crate::song::{STEMS, STEP};

const RATE: u32 = 22_050;

/// A folder with MIDI files and a SoundFont.
struct Material {
    folder: tempfile::TempDir,
    font: PathBuf,
}

impl Material {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let font = folder.path().join("tiny.sf2");
        fs::write(&font, sound_font()).expect("a writable folder");
        Self { folder, font }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).expect("a writable folder");
        path
    }

    fn songs(&self, files: Vec<PathBuf>, seconds: f64, vocals: Vocals) -> MidiSongs {
        let options = MidiOptions { seed: 7, seconds, rate: RATE, vocals };
        MidiSongs::open(files, std::slice::from_ref(&self.font), options).expect("good material")
    }
}

/// All files below a folder, by their path relative to it.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = find_files(&[folder.to_owned()], &["wav"]);
    let read = |path: PathBuf| {
        let name = path.strip_prefix(folder).expect("a file below").to_owned();
        (name, fs::read(path).expect("a file"))
    };
    files.into_iter().map(read).collect()
}

#[test]
fn channels_go_to_their_stems_and_stems_add_up() {
    let material = Material::new();
    let songs = material.songs(vec![material.file("band.mid", &band().bytes())], 60.0, Vocals::None);
    for index in 0..6 {
        let song = songs.song(index).expect("a good song").expect("a song with notes");
        let [drums, bass, other, vocals] = song.stems.each_ref().map(|stem| {
            // The power of each third: drums at 0 to 2 s, bass at 2.5 to 4.5 s, piano at 5 to 7 s.
            [0.0, 2.45, 4.95].map(|from| {
                let from = (from * f64::from(RATE)) as usize;
                stem[0][from..from + RATE as usize * 2].iter().map(|x| x * x).sum::<f32>()
            })
        });
        assert!(drums[0] > 100.0 * drums[1].max(drums[2]), "{drums:?}");
        assert!(bass[1] > 100.0 * bass[0] && bass[1] > 100.0 * bass[2], "{bass:?}");
        assert!(other[2] > 1000.0 * other[0].max(other[1]), "{other:?}");
        assert!(vocals == [0.0; 3] && song.is_silent(3) && !song.is_silent(0));
        let mixture = song.mixture();
        for c in 0..2 {
            for n in 0..mixture[c].len() {
                let total: f64 = song.stems.iter().map(|stem| f64::from(stem[c][n])).sum();
                assert_eq!(total, f64::from(mixture[c][n]));
                assert!(total.abs() < 0.95 && (total / STEP).fract() == 0.0);
            }
        }
    }
    let [first, second] = [0, 1].map(|k| songs.song(k).expect("a good song").expect("a song").stems);
    assert_ne!(first, second, "songs of one file are equal");
}

#[test]
fn the_data_set_does_not_depend_on_the_number_of_threads() {
    let material = Material::new();
    let mut files: Vec<PathBuf> = (0..5)
        .map(|k| material.file(&format!("{k}.mid"), &band().note(9000, 9600, 2, 50 + k).bytes()))
        .collect();
    files.push(material.file("bad.mid", b"RIFF"));
    files.push(
        material.file("silent.mid", &Smf::new(480).message(0, &[0xB0, 7, 0]).note(0, 90, 0, 60).bytes()),
    );
    let voice = material.folder.path().join("voice.wav");
    let mut writer = AudioWriter::create(&voice, Format::Wav16, RATE).expect("a writable folder");
    let tone: Vec<f32> = (0..RATE * 2).map(|n| 0.5 * ((n as f32) * 0.05).sin()).collect();
    writer.write(&[tone.clone(), tone]).expect("room");
    writer.finish().expect("room");
    let mut sets = Vec::new();
    for (threads, vocals) in
        [(1, Vocals::Takes(vec![voice.clone()])), (4, Vocals::Takes(vec![voice])), (2, Vocals::Singer)]
    {
        let songs = material.songs(files.clone(), 15.0, vocals);
        let out = material.folder.path().join(format!("out{}", sets.len()));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let mut last = (0, 0);
        let report = pool.install(|| {
            let progress = &mut |done, total| {
                last = (done, total);
                true
            };
            write_midi_dataset(&out, &songs, 14, progress).expect("a free folder")
        });
        assert_eq!(last, (14, 14));
        assert!(report.complete);
        assert_eq!(report.failed.len(), 1);
        assert!(report.failed[0].to_string().contains("bad.mid"));
        assert_eq!(report.silent.len(), 1);
        assert!(report.train + report.test >= 8 && report.train > report.test);
        assert_eq!(report.without, [0; 4], "a stem is missing");
        sets.push(contents(&out));
        assert_eq!(sets[sets.len() - 1].len(), 5 * (report.train + report.test));
        for stem in STEMS.iter().chain(&["mixture"]) {
            assert!(sets[0].keys().any(|path| path.ends_with(format!("{stem}.wav"))));
        }
        // No MIDI file serves for both training and testing.
        let names = |part: &str| -> Vec<String> {
            let inside = fs::read_dir(out.join(part)).expect("a folder");
            inside.map(|e| e.expect("an entry").file_name().to_string_lossy()[5..].to_owned()).collect()
        };
        assert!(names("test").iter().all(|name| !names("train").contains(name)));
    }
    assert!(sets[0] == sets[1], "one thread and four differ");
    assert!(sets[0] != sets[2], "the voices do not differ");
}

#[test]
fn series_for_training_and_testing_share_no_file() {
    let material = Material::new();
    let files: Vec<_> = (0..6).map(|k| material.file(&format!("{k}.mid"), &band().bytes())).collect();
    let [train, test] = material.songs(files, 6.0, Vocals::None).divided();
    assert_eq!((train.files.len(), test.files.len()), (5, 1));
    assert!(!train.files.contains(&test.files[0]));
    let one = material.songs(vec![material.file("one.mid", &band().bytes())], 6.0, Vocals::None);
    assert!(one.divided().iter().all(|part| part.files.len() == 1));
    let stopped = write_midi_dataset(&material.folder.path().join("out"), &one, 4, &mut |_, _| false);
    let report = stopped.expect("a free folder");
    assert!(!report.complete && report.train + report.test == 0);
}

#[test]
fn damaged_files_do_not_stop_the_others() {
    let material = Material::new();
    let mut files =
        vec![material.file("good.mid", &band().bytes()), material.folder.path().join("missing.mid")];
    for (k, (_, bytes)) in damaged_midi().iter().enumerate() {
        files.push(material.file(&format!("damaged-{k}.mid"), bytes));
    }
    let songs = material.songs(files.clone(), 6.0, Vocals::None);
    let out = material.folder.path().join("out");
    let report = write_midi_dataset(&out, &songs, files.len(), &mut |_, _| true).expect("a free folder");
    assert_eq!((report.train + report.test, report.failed.len()), (1, files.len() - 1));
    for error in &report.failed {
        let text = error.to_string();
        assert!(text.contains("damaged-") || text.contains("missing"), "{text} names no file");
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let material = Material::new();
    let (song, font) = (band().bytes(), sound_font());
    let tables = font.windows(4).position(|w| w == b"pdta").expect("tables");
    let options = || MidiOptions { seed: 1, seconds: 2.0, rate: RATE, vocals: Vocals::None };
    let mut random = unbraid_effects::random::Random::new(3, 1, 4);
    for k in 0..400 {
        let (mut song, mut font) = (song.clone(), font.clone());
        let at = random.below(song.len());
        song[at] = random.below(256) as u8;
        let at = tables + random.below(font.len() - tables);
        font[at] = random.below(256) as u8;
        let song = material.file("song.mid", &song);
        let font = material.file(&format!("font{}.sf2", k % 2), &font);
        let good = std::slice::from_ref(&material.font);
        let series = MidiSongs::open(vec![song.clone()], good, options()).expect("a good font");
        if let Err(error) = series.song(0) {
            assert!(error.to_string().contains("song.mid"), "{error}");
        }
        let good = material.file("good.mid", &band().bytes());
        match MidiSongs::open(vec![good], &[font], options()).and_then(|songs| songs.song(0)) {
            Ok(_) => {}
            Err(MidiError::Options(what)) => assert!(what.contains("SoundFont"), "{what}"),
            Err(error) => assert!(error.to_string().contains("font"), "{error}"),
        }
    }
}

#[test]
fn endless_and_absurd_songs_are_cut() {
    let material = Material::new();
    let endless =
        Smf::new(1).tempo(0, 0xFF_FFFF).message(0, &[0x99, 36, 90]).message(0x0FFF_FFFF, &[0x99, 36, 90]);
    let songs = material.songs(vec![material.file("endless.mid", &endless.bytes())], 3.0, Vocals::None);
    let song = songs.song(0).expect("a good file");
    assert!(song.is_none_or(|song| song.stems[0][0].len() == 3 * RATE as usize));
    let dense = (0..200).fold(Smf::new(480).tempo(0, 0), |song, k| song.message(k, &[0x90, 60, 90]));
    let songs = material.songs(vec![material.file("dense.mid", &dense.bytes())], 3.0, Vocals::None);
    assert!(songs.song(0).expect("a good file").is_some());
}

#[test]
fn bad_options_are_refused() {
    let material = Material::new();
    let song = vec![material.file("band.mid", &band().bytes())];
    let open = |files: &[PathBuf], seconds, rate, vocals, fonts: &[PathBuf]| {
        let options = MidiOptions { seed: 0, seconds, rate, vocals };
        MidiSongs::open(files.to_vec(), fonts, options).err().map(|error| error.to_string())
    };
    let font = [material.font.clone()];
    assert_eq!(open(&song, 10.0, RATE, Vocals::None, &font), None);
    assert!(open(&song, f64::NAN, RATE, Vocals::None, &font).is_some());
    assert!(open(&song, 1e9, RATE, Vocals::None, &font).is_some());
    assert!(open(&song, 10.0, 8000, Vocals::None, &font).is_some());
    assert!(open(&[], 10.0, RATE, Vocals::None, &font).is_some());
    assert!(open(&song, 10.0, RATE, Vocals::None, &[]).is_some());
    assert!(open(&song, 10.0, RATE, Vocals::Takes(Vec::new()), &font).is_some());
    let missing = [material.folder.path().join("none.sf2")];
    assert!(open(&song, 10.0, RATE, Vocals::None, &missing).is_some_and(|text| text.contains("none.sf2")));
}
