use super::*;
use crate::data::roots::{Root, Roots, open_roots};
use crate::data::segments::{Loader, Segments};
use crate::data::split::{digest, split_data};
use crate::data::testing::{stems, write};
use crate::settings::config::TrainConfig;

/// Samples of a song, and the step between the levels of two songs.
const FRAMES: usize = 2000;
const STEP: f32 = 1.0 / 4096.0;

/// Song `i` has the constant level `(i + 1) · STEP` in its drums, and half of it in its voice.
struct Levels;

impl SongMaker for Levels {
    fn stems(&self) -> Vec<String> {
        ["drums", "voice"].map(String::from).to_vec()
    }

    fn song(&self, index: u64) -> Result<Vec<Stereo>, MakeError> {
        if index > 3000 {
            return Err("there are no more".into());
        }
        let level = (index + 1) as f32 * STEP;
        Ok([level, 0.5 * level].map(|level| [vec![level; FRAMES], vec![-level; FRAMES]]).to_vec())
    }

    fn validation_song(&self, index: u64) -> Result<Vec<Stereo>, MakeError> {
        self.song(index + 1000)
    }
}

fn open(roots: &[&str], options: &DataOptions) -> Result<Arc<dyn Dataset>, DataError> {
    register_song_makers(|recipe, _, _| match recipe.unknown(&[]) {
        Some(key) => Err(format!("no option {key}").into()),
        None => Ok(Box::new(Levels)),
    });
    let roots = Roots(roots.iter().map(|text| Root::parse(text)).collect());
    open_roots(&roots, "train", &stems(), 8000, options, 0)
}

/// The voice of the songs is the stem `vocals`.
fn named() -> DataOptions {
    DataOptions { stems_map: [("voice".to_owned(), "vocals".to_owned())].into(), ..DataOptions::default() }
}

fn plain() -> TrainConfig {
    TrainConfig {
        batch_size: 2,
        gain_range: [1.0, 1.0],
        channel_swap_probability: 0.0,
        sign_flip_probability: 0.0,
        min_mean_abs: 0.0,
        ..Default::default()
    }
}

fn segments(dataset: &Arc<dyn Dataset>, config: &TrainConfig) -> Segments {
    let split = split_data(&**dataset, &[], 0.0, 0).unwrap();
    Segments::new(Arc::clone(dataset), &split.training, (500, 8000), config, &Vec::new())
}

/// The song that a level of the drums belongs to.
fn song_of(level: f32) -> u64 {
    (level / STEP).round() as u64 - 1
}

#[test]
fn later_segments_have_later_songs() {
    let dataset = open(&["levels:?excerpts=4"], &named()).unwrap();
    for remix in [0.0, 1.0] {
        let source = segments(&dataset, &TrainConfig { remix_probability: remix, ..plain() });
        let mut heard = std::collections::BTreeMap::<u64, u32>::new();
        for k in 0..400 {
            let segment = source.segment(k).unwrap().0;
            let songs = [song_of(segment[0][0][7]), song_of(2.0 * segment[1][0][7])];
            assert!(songs.iter().all(|song| (k / 4..k / 4 + WINDOW).contains(song)), "{k}: {songs:?}");
            assert!(remix == 1.0 || songs[0] == songs[1]);
            *heard.entry(songs[0]).or_default() += 1;
        }
        // A song is heard four times on average, and no song for long.
        assert!(heard.len() > 90 && heard.values().all(|count| *count < 16), "{heard:?}");
    }
}

/// Songs are made on several threads, and again after a resume.
#[test]
fn batches_depend_on_the_seed_and_their_number_alone() {
    let batches = |workers, first: u64| {
        let dataset = open(&["levels:?excerpts=2"], &named()).unwrap();
        let config = TrainConfig { workers, remix_probability: 0.5, ..plain() };
        let mut loader = Loader::start(&Arc::new(segments(&dataset, &config)), first);
        (first..40).map(|_| loader.batch().unwrap()).collect::<Vec<_>>()
    };
    let one = batches(1, 0);
    assert_eq!(one, batches(3, 0));
    assert_eq!(one[25..], batches(2, 25)[..]);
}

#[test]
fn songs_are_made_once_and_few_are_kept() {
    let recipe = Recipe::parse("levels:").unwrap();
    open(&["levels:"], &named()).unwrap();
    let endless = Endless::open(&recipe, 1.0, &stems(), (8000, 0), &named()).unwrap();
    let song = |index| endless.song(index).unwrap().0[0][0][0];
    for index in (0..40).chain(25..40) {
        assert_eq!(song(index), (index as i16 + 1) * 8, "16 bits");
    }
    assert_eq!(lock(&endless.kept).len(), KEPT);
    // One thread makes a song, and the others wait for it.
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| endless.song(100).unwrap())).collect();
        let songs: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(songs.iter().all(|song| Arc::ptr_eq(song, &songs[0])));
    });
}

#[test]
fn a_recipe_beside_a_folder_has_its_share_and_validates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for song in 0..3 {
        for stem in crate::data::testing::STEMS {
            write(&dir.path().join(format!("train/{song}/{stem}.wav")), 8000, 3000 << song, |_| 0.9);
        }
    }
    let folder = format!("{}*3", dir.path().display());
    let dataset = open(&["levels:*1", &folder], &named()).unwrap();
    let split = split_data(&*dataset, &[], 0.34, 0).unwrap();
    assert_eq!((split.training.len(), split.validation.len(), dataset.held_out()), (2, 1, 0));
    for remix in [0.0, 1.0] {
        let source = segments(&dataset, &TrainConfig { remix_probability: remix, ..plain() });
        let made = |k| source.segment(k).unwrap().0.iter().filter(|stem| stem[0][0] < 0.8).count();
        let made: usize = (0..1000).map(made).sum();
        assert!((430..570).contains(&made), "{made} of 2000 stems, not a quarter");
    }
}

#[test]
fn recipes_alone_validate_on_songs_of_their_own() {
    let dataset = open(&["levels:", "levels:?validation=1"], &named()).unwrap();
    let split = split_data(&*dataset, &[], 0.1, 0).unwrap();
    assert_eq!((split.training.len(), split.validation.len()), (0, 5));
    let names: Vec<&str> = dataset.tracks().iter().map(|track| track.name.as_str()).collect();
    assert!(names[1] == "levels 2" && names[4].ends_with("levels 1"), "{names:?}");
    assert!((dataset.read(1, 0, 1990, 20).unwrap()[0][9] - 1002.0 * STEP).abs() < 1e-6);
    assert_eq!(dataset.read(1, 0, 1990, 20).unwrap()[0][10], 0.0);
    let block = dataset.open(1).unwrap().read(10).unwrap();
    assert_eq!(block.mixture[1][3], block.stems[0][1][3] + block.stems[1][1][3]);
    let other = open(&["levels:", "levels:?validation=1&excerpts=2"], &named()).unwrap();
    assert_ne!(digest(&*dataset), digest(&*other), "a resumed run has the same recipes");
}

#[test]
fn recipes_that_cannot_be_used_are_explained() {
    let error = |root: &str, options: &DataOptions| open(&[root], options).err().unwrap().to_string();
    let missing = error("levels:", &DataOptions::default());
    assert_eq!(missing, "levels:: its songs have no stem vocals, only drums, voice");
    let silent = DataOptions { missing_is_silent: true, ..DataOptions::default() };
    assert!(open(&["levels:"], &silent).is_ok());
    assert!(error("levels:?excerpts=0", &named()).contains("excerpts must be above 0"));
    assert!(error("levels:?speed=0", &named()).contains("no option speed"));
    // An error of a song ends the loader with its reason.
    let dataset = open(&["levels:?excerpts=0.001"], &named()).unwrap();
    let mut loader = Loader::start(&Arc::new(segments(&dataset, &plain())), 0);
    let error = (0..10).find_map(|_| loader.batch().err()).unwrap().to_string();
    assert!(error.contains("there are no more"), "{error}");
}
