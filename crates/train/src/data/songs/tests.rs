use super::*;
use crate::data::dataset::DataOptions;
use crate::data::formats::list;
use crate::data::testing::{data_set, stems, write};
use std::path::Path;

fn open(root: &Path) -> Result<Songs, DataError> {
    open_with(root, &DataOptions::default())
}

fn open_with(root: &Path, options: &DataOptions) -> Result<Songs, DataError> {
    let part = Part { root, name: "train", stems: &stems(), rate: 8000, options };
    Songs::open(list(&part)?, &part)
}

#[test]
fn tracks_are_found_in_the_order_of_their_names() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 3, 8000, 900);
    write(&dir.path().join("train/song-1/mixture.wav"), 8000, 900, |_| 0.1);
    let dataset = open(dir.path()).unwrap();
    let names: Vec<_> = dataset.tracks().iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["song-0", "song-1", "song-2"]);
    assert!(dataset.tracks().iter().all(|t| t.frames == 900) && dataset.stems() == 2);
    assert_eq!(dataset.files.iter().filter(|files| files.mixture.is_some()).count(), 1);
}

#[test]
fn random_access_and_the_reader_give_the_same_samples() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 2, 8000, 900);
    write(&dir.path().join("train/song-1/mixture.wav"), 8000, 900, |_| 0.1);
    let dataset = open(dir.path()).unwrap();
    for track in 0..2 {
        let mut reader = Dataset::open(&dataset, track).unwrap();
        // The last block extends beyond the end.
        for start in [0, 400, 800] {
            let block = reader.read(400).unwrap();
            for stem in 0..2 {
                assert_eq!(block.stems[stem], dataset.read(track, stem, start, 400).unwrap());
            }
            let heard = (900 - start as usize).min(400);
            let sum = block.stems[0][0][7] + block.stems[1][0][7];
            assert_eq!(block.mixture[0][7], if track == 0 { sum } else { 0.1 });
            assert!(block.mixture[0].len() == 400 && block.mixture[0][heard..].iter().all(|x| *x == 0.0));
        }
    }
}

#[test]
fn errors_name_the_track_and_the_stem() {
    let dir = tempfile::tempdir().unwrap();
    let train = dir.path().join("train");
    let error = || open(dir.path()).err().unwrap();
    std::fs::create_dir_all(train.join("notes")).unwrap();
    assert!(matches!(error(), DataError::NoTracks { passed_over, .. } if passed_over == ["notes"]));
    data_set(dir.path(), 2, 8000, 900);
    std::fs::remove_file(train.join("song-1/vocals.wav")).unwrap();
    let message = error().to_string();
    assert!(message.contains("song-1") && message.contains("vocals"), "{message}");
    write(&train.join("song-1/vocals.wav"), 8000, 9000, |_| 0.1);
    let message = error().to_string();
    assert!(message.contains("song-1") && message.contains("9000"), "{message}");
    std::fs::write(train.join("song-1/vocals.wav"), "not audio").unwrap();
    let message = error().to_string();
    assert!(message.contains("vocals.wav"), "{message}");
}

/// Every fault of every track is found in one attempt.
#[test]
fn all_faults_are_reported_at_once() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 4, 8000, 900);
    let file = |name: &str| dir.path().join("train").join(name);
    std::fs::rename(file("song-0/vocals.wav"), file("song-0/Vocals.wav")).unwrap();
    std::fs::rename(file("song-1/drums.wav"), file("song-1/drum.wav")).unwrap();
    std::fs::write(file("song-1/vocals.wav"), "").unwrap();
    write(&file("song-2/mixture.wav"), 8000, 9000, |_| 0.1);
    let DataError::Faults { faults, more, .. } = open(dir.path()).err().unwrap() else { panic!("one error") };
    assert_eq!(more, 0);
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let expected = [
        "song-0 has no stem vocals (vocals.wav or vocals.flac); did you mean Vocals.wav?",
        "song-1 has no stem drums (drums.wav or drums.flac); did you mean drum.wav?",
        "vocals.wav: the file is empty",
        "\"song-2\": drums has 900 samples and mixture has 9000;",
    ];
    assert_eq!(texts.len(), expected.len(), "{texts:?}");
    for (text, expected) in texts.iter().zip(expected) {
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_long_list_of_faults_is_cut_and_its_rest_counted() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..30 {
        let folder = dir.path().join(format!("train/song-{i:02}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("drums.wav"), "not audio").unwrap();
    }
    let text = open(dir.path()).err().unwrap().to_string();
    assert!(text.contains("has 60 faults:") && text.ends_with("and 40 more"), "{text}");
    assert_eq!(text.lines().count(), 1 + MOST_FAULTS + 1);
}

#[test]
fn folders_that_hold_no_song_are_passed_over_with_a_notice() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 2, 8000, 900);
    assert!(open(dir.path()).unwrap().notices.is_empty());
    let train = dir.path().join("train");
    for name in ["@eaDir", "__MACOSX", "lost+found", ".Trash-1000", "notes"] {
        std::fs::create_dir(train.join(name)).unwrap();
    }
    std::fs::write(train.join("@eaDir/drums.wav"), "not audio").unwrap();
    std::fs::write(train.join("notes/._drums.wav"), "not audio").unwrap();
    std::fs::write(train.join("notes/readme.txt"), "text").unwrap();
    std::fs::write(train.join("song-0/._vocals.wav"), "not audio").unwrap();
    std::fs::write(train.join("song-0/.DS_Store"), "not audio").unwrap();
    let dataset = open(dir.path()).unwrap();
    assert_eq!(dataset.tracks().len(), 2);
    let [notice] = &dataset.notices[..] else { panic!("{:?}", dataset.notices) };
    assert!(notice.ends_with("hold no song: .Trash-1000, @eaDir, __MACOSX, lost+found, notes"), "{notice}");
}

#[test]
fn a_mixture_with_another_name_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 1, 8000, 900);
    write(&dir.path().join("train/song-0/Mixture.wav"), 8000, 900, |_| 0.1);
    let dataset = open(dir.path()).unwrap();
    assert!(dataset.files[0].mixture.is_none());
    assert!(dataset.notices[0].contains("Mixture.wav is not used"), "{:?}", dataset.notices);
}

/// MoisesDB has a folder per stem, other names of stems, and no parts.
#[test]
fn folders_of_files_with_other_names_become_stems() {
    let dir = tempfile::tempdir().unwrap();
    let song = dir.path().join("song");
    write(&song.join("drums/kick.wav"), 8000, 900, |_| 0.1);
    write(&song.join("drums/snare.wav"), 8000, 900, |_| 0.2);
    write(&song.join("singer.wav"), 8000, 900, |_| 0.3);
    write(&song.join("choir.wav"), 8000, 900, |_| 0.05);
    write(&song.join("guitar.wav"), 8000, 900, |_| 0.4);
    write(&song.join("click.wav"), 8000, 900, |_| 0.4);
    let map = [("singer", "vocals"), ("choir", "vocals"), ("click", "")];
    let stems_map = map.map(|(name, stem)| (name.to_owned(), stem.to_owned())).into();
    let dataset = open_with(dir.path(), &DataOptions { stems_map, ..DataOptions::default() }).unwrap();
    assert_eq!(dataset.tracks().len(), 1);
    for (stem, level) in [(0, 0.3), (1, 0.35)] {
        assert!((dataset.read(0, stem, 10, 100).unwrap()[0][50] - level).abs() < 1e-6);
    }
    let block = Dataset::open(&dataset, 0).unwrap().read(400).unwrap();
    assert!((block.mixture[0][7] - 0.65).abs() < 1e-6);
    let [notice] = &dataset.notices[..] else { panic!("{:?}", dataset.notices) };
    assert!(notice.contains("\"guitar\" of 1 song is not used"), "{notice}");
    // Without the map, the vocals are missing.
    assert!(matches!(open(dir.path()), Err(DataError::MissingStem { stem, .. }) if stem == "vocals"));
}

#[test]
fn a_missing_stem_can_be_declared_silent() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 2, 8000, 900);
    std::fs::remove_file(dir.path().join("train/song-1/vocals.wav")).unwrap();
    assert!(matches!(open(dir.path()), Err(DataError::MissingStem { .. })));
    let options = DataOptions { missing_is_silent: true, ..DataOptions::default() };
    let dataset = open_with(dir.path(), &options).unwrap();
    assert_eq!(dataset.tracks()[1].frames, 900);
    assert!(dataset.read(1, 1, 0, 300).unwrap()[0].iter().all(|x| *x == 0.0));
    let block = Dataset::open(&dataset, 1).unwrap().read(300).unwrap();
    assert_eq!(block.mixture, block.stems[0]);
}

#[test]
fn of_several_files_of_a_stem_the_uncompressed_one_is_used() {
    let dir = tempfile::tempdir().unwrap();
    data_set(dir.path(), 1, 8000, 900);
    std::fs::write(dir.path().join("train/song-0/drums.flac"), "not audio").unwrap();
    std::fs::write(dir.path().join("train/song-0/drums.mp3"), "not audio").unwrap();
    assert!(open(dir.path()).is_ok());
    std::fs::remove_file(dir.path().join("train/song-0/drums.wav")).unwrap();
    assert!(open(dir.path()).err().unwrap().to_string().contains("drums.flac"));
}

/// Of the stems bass and other, one song has only the sum, one has all, and one has a file too many.
#[test]
fn a_file_may_hold_the_sum_of_stems() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["drums", "bass", "other"].map(String::from);
    let file = |song: &str, name: &str, level: f32| {
        write(&dir.path().join(format!("train/{song}/{name}.wav")), 8000, 900, |_| level);
    };
    for (song, files) in [
        ("joined", &["drums", "bass+other"][..]),
        ("parted", &["drums", "bass", "other"]),
        ("spare", &["drums", "bass", "other", "bass+other"]),
    ] {
        for (index, name) in files.iter().enumerate() {
            file(song, name, 0.1 * (index + 1) as f32);
        }
    }
    let open = |options: &DataOptions| {
        let part = Part { root: dir.path(), name: "train", stems: &names, rate: 8000, options };
        Songs::open(list(&part)?, &part)
    };
    let dataset = open(&DataOptions::default()).unwrap();
    assert_eq!(dataset.grouping(0), Grouping::joined(3, &[vec![1, 2]]));
    assert!(dataset.grouping(1).is_separate() && dataset.grouping(2).is_separate());
    let level = |track, stem| dataset.read(track, stem, 10, 50).unwrap()[0][20];
    assert_eq!([level(0, 0), level(0, 1), level(0, 2)], [0.1, 0.2, 0.0]);
    assert_eq!([level(2, 1), level(2, 2)], [0.2, 0.3]);
    let block = Dataset::open(&dataset, 0).unwrap().read(10).unwrap();
    assert!((block.mixture[0][3] - 0.3).abs() < 1e-6 && block.stems[2][0][3] == 0.0);
    let [unneeded, joined] = &dataset.notices[..] else { panic!("{:?}", dataset.notices) };
    assert!(unneeded.contains("\"bass+other\" of 1 song is not used"), "{unneeded}");
    assert!(joined.contains("of 1 song, some stems are known only as a sum"), "{joined}");

    // Nobody can tell what else the sum holds.
    file("spare", "bass", 0.2);
    std::fs::remove_file(dir.path().join("train/spare/other.wav")).unwrap();
    let error = open(&DataOptions::default()).err().unwrap().to_string();
    assert!(error.contains("has bass and bass+other"), "{error}");
    let stems_map = [("bass".to_owned(), String::new())].into();
    let error = open(&DataOptions { stems_map, ..DataOptions::default() }).err().unwrap().to_string();
    assert!(error.contains("has no stem bass") && error.contains("parted"), "{error}");
    // Another length is a fault of the sum too.
    std::fs::remove_dir_all(dir.path().join("train/spare")).unwrap();
    write(&dir.path().join("train/joined/bass+other.wav"), 8000, 9000, |_| 0.1);
    let error = open(&DataOptions::default()).err().unwrap().to_string();
    assert!(error.contains("bass+other has 9000"), "{error}");
}
