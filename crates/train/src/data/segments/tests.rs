use super::*;
use crate::data::formats::open_dataset;
use crate::data::index::levels;
use crate::data::testing as data;

fn segments(root: &std::path::Path, edit: impl FnOnce(&mut TrainConfig)) -> Segments {
    let mut config = TrainConfig { batch_size: 2, ..Default::default() };
    edit(&mut config);
    let dataset = open_dataset(root, "train", &data::stems(), 8000).unwrap();
    let tracks: Vec<usize> = (0..dataset.tracks().len()).collect();
    let levels = levels(&*dataset, &tracks, |_, _| true, |_| {}).unwrap().unwrap();
    Segments::new(dataset, &tracks, (500, 8000), &config, &levels)
}

fn first_batches(segments: &Segments, workers: usize, first: u64, count: usize) -> Vec<Items> {
    let mut segments = segments.clone();
    segments.config.workers = workers;
    let mut loader = Loader::start(&Arc::new(segments), first);
    (0..count).map(|_| loader.batch().unwrap()).collect()
}

#[test]
fn data_depend_on_seed_and_index_alone() {
    let dir = tempfile::tempdir().unwrap();
    data::data_set(dir.path(), 3, 8000, 4000);
    let source = segments(dir.path(), |_| {});
    let one = first_batches(&source, 1, 0, 7);
    assert_eq!(one, first_batches(&source, 3, 0, 7), "the number of workers changes nothing");
    assert_eq!(one[3..], first_batches(&source, 2, 3, 4)[..], "a resumed run gets the same batches");
    assert_ne!(one[0], one[1]);
    let other = segments(dir.path(), |c| c.seed = 1);
    assert_ne!(one[0], first_batches(&other, 1, 0, 1)[0]);
    assert_eq!((one[0].len(), one[0].samples.len()), (2, 2 * 2 * 2 * 500));
}

/// Without augmentation and remixing, a segment is a piece of one track, the same for all stems.
#[test]
fn plain_segments_are_aligned_pieces_of_a_track() {
    let dir = tempfile::tempdir().unwrap();
    for (stem, scale) in [("drums", 1e-4), ("vocals", -2e-4)] {
        data::write(&dir.path().join(format!("train/a/{stem}.wav")), 8000, 3000, |n| n as f32 * scale);
    }
    let source = segments(dir.path(), |c| {
        c.remix_probability = 0.0;
        c.gain_range = [1.0, 1.0];
        c.channel_swap_probability = 0.0;
        c.sign_flip_probability = 0.0;
    });
    let mut starts = Vec::new();
    for k in 0..20 {
        let segment = source.segment(k).unwrap().0;
        let start = (segment[0][0][0] / 1e-4).round();
        for n in 0..500 {
            assert!((segment[0][0][n] - (start + n as f32) * 1e-4).abs() < 1e-6);
            assert!((segment[1][0][n] + 2.0 * segment[0][0][n]).abs() < 1e-6);
            assert!((segment[0][1][n] - 0.5 * segment[0][0][n]).abs() < 1e-6);
        }
        starts.push(start as i64);
    }
    starts.sort_unstable();
    starts.dedup();
    assert!(starts.len() > 15, "{starts:?}");
}

#[test]
fn augmentation_flips_swaps_and_scales() {
    let dir = tempfile::tempdir().unwrap();
    for stem in data::STEMS {
        data::write(&dir.path().join(format!("train/a/{stem}.wav")), 8000, 3000, |_| 0.5);
    }
    let source = segments(dir.path(), |_| {});
    let (mut flipped, mut swapped, mut gains) = (0, 0, Vec::new());
    for k in 0..50 {
        for [left, right] in source.segment(k).unwrap().0 {
            flipped += usize::from(left[0] < 0.0);
            swapped += usize::from(left[0].abs() < right[0].abs());
            gains.push(left[0].abs().max(right[0].abs()) / 0.5);
        }
    }
    assert!((30..70).contains(&flipped) && (30..70).contains(&swapped), "{flipped} {swapped}");
    assert!(gains.iter().all(|g| (0.2499..1.2501).contains(g)));
    assert!(gains.iter().any(|g| *g < 0.5) && gains.iter().any(|g| *g > 1.0));
}

#[test]
fn quiet_places_are_not_drawn() {
    let dir = tempfile::tempdir().unwrap();
    for (stem, loud) in [("drums", 0..16_000), ("vocals", 72_000..80_000)] {
        let file = dir.path().join(format!("train/a/{stem}.wav"));
        data::write(&file, 8000, 160_000, |n| if loud.contains(&n) { 0.5 } else { 0.0 });
    }
    let is_silent = |stem: &Stereo| stem[0].iter().all(|x| *x == 0.0);
    let silent = |remix, level| {
        let source = segments(dir.path(), |c| (c.remix_probability, c.min_mean_abs) = (remix, level));
        let segments = (0..100).map(|k| source.segment(k).unwrap().0);
        segments
            .filter(|s| if remix == 1.0 { s.iter().any(is_silent) } else { s.iter().all(is_silent) })
            .count()
    };
    assert_eq!((silent(1.0, 1e-3), silent(0.0, 1e-3)), (0, 0));
    assert!(silent(1.0, 0.0) > 80 && silent(0.0, 0.0) > 60);
}

#[test]
fn a_device_that_waits_for_data_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    data::data_set(dir.path(), 1, 8000, 4000);
    let mut loader = Loader::start(&Arc::new(segments(dir.path(), |_| {})), 0);
    let mut run = |step: Duration| {
        let mut answers = (0..WATCHED).map(|_| {
            loader.batch().unwrap();
            std::thread::sleep(step);
            loader.starving()
        });
        answers.by_ref().take(WATCHED as usize - 1).for_each(|answer| assert_eq!(answer, None));
        answers.next().unwrap()
    };
    // A step that takes no time only waits, and one that takes long finds its batch prepared.
    assert!(run(Duration::ZERO).is_some_and(|share| share > 0.5));
    assert_eq!(run(Duration::from_millis(20)), None);
}

#[test]
fn a_short_track_is_padded_and_a_missing_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    data::data_set(dir.path(), 1, 8000, 300);
    let source = segments(dir.path(), |_| {});
    let segment = source.segment(0).unwrap().0;
    assert!(segment.iter().all(|s| s[0].len() == 500 && s[0][300..].iter().all(|x| *x == 0.0)));
    std::fs::remove_file(dir.path().join("train/song-0/drums.wav")).unwrap();
    let mut loader = Loader::start(&Arc::new(source), 0);
    let error = loader.batch().unwrap_err().to_string();
    assert!(error.contains("drums.wav"), "{error}");
}

/// Songs of constant stems: in every second song, two of three stems are known only as a sum.
fn half_joined(root: &std::path::Path) -> Vec<String> {
    for song in 0..4 {
        let files: &[(&str, f32)] =
            if song % 2 == 0 { &[("a", 0.1), ("b", 0.02), ("c", 0.04)] } else { &[("a", 0.1), ("b+c", 0.5)] };
        for (name, level) in files {
            data::write(&root.join(format!("train/{song}/{name}.wav")), 8000, 3000, |_| *level);
        }
    }
    ["a", "b", "c"].map(String::from).to_vec()
}

#[test]
fn a_sum_is_one_source_and_is_mixed_like_a_stem() {
    let dir = tempfile::tempdir().unwrap();
    let stems = half_joined(dir.path());
    let dataset = open_dataset(dir.path(), "train", &stems, 8000).unwrap();
    let joined = Grouping::joined(3, &[vec![1, 2]]);
    for remix in [0.0, 1.0] {
        let config = TrainConfig {
            batch_size: 4,
            remix_probability: remix,
            gain_range: [0.5, 2.0],
            mixup_probability: [0.3, 0.0],
            mixup_gain_range: [1.0, 1.0],
            channel_swap_probability: 0.0,
            sign_flip_probability: 0.0,
            drop_probability: 0.2,
            min_mean_abs: 0.0,
            ..Default::default()
        };
        let source = Segments::new(Arc::clone(&dataset), &[0, 1, 2, 3], (500, 8000), &config, &Vec::new());
        let (mut sums, mut separate, mut dropped) = (0, 0, 0);
        for k in 0..50 {
            let Items { samples, groupings } = source.batch(k).unwrap();
            for (item, grouping) in samples.chunks(3000).zip(groupings) {
                let levels: Vec<f32> = item.chunks(1000).map(|stem| stem[0]).collect();
                assert!(item.chunks(500).all(|channel| channel.iter().all(|x| *x == channel[0])));
                let within = |level: f32, of: f32| level == 0.0 || (0.49 * of..4.01 * of).contains(&level);
                assert!(within(levels[0], 0.1), "{levels:?}");
                if grouping == joined {
                    sums += 1;
                    assert!(levels[1] != 0.0 && within(levels[1], 0.5) && levels[2] == 0.0, "{levels:?}");
                } else if levels[1] == 0.0 && levels[2] == 0.0 {
                    // The sum was dropped, or both stems: both are silent for certain.
                    dropped += 1;
                } else {
                    separate += 1;
                    assert!(within(levels[1], 0.02) && within(levels[2], 0.04), "{levels:?}");
                }
            }
        }
        assert!(sums > 50 && separate > 50 && dropped > 5, "{sums} {separate} {dropped}");
    }
}

/// Every song of the data set has the sum only, and no stem has places of its own.
#[test]
fn a_data_set_of_sums_alone_can_be_remixed() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["drums+vocals", "bass"] {
        data::write(&dir.path().join(format!("train/song/{name}.wav")), 8000, 3000, |_| 0.5);
    }
    let stems = ["drums", "bass", "vocals"].map(String::from);
    let dataset = open_dataset(dir.path(), "train", &stems, 8000).unwrap();
    let config = TrainConfig { remix_probability: 1.0, ..Default::default() };
    let source = Segments::new(dataset, &[0], (500, 8000), &config, &Vec::new());
    let items = source.batch(0).unwrap();
    assert!(items.groupings.iter().all(|g| *g == Grouping::joined(3, &[vec![0, 2]])));
}
