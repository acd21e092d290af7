use super::*;
use crate::data::formats::open_dataset;
use crate::data::segments::Segments;
use crate::data::testing as data;
use rand::SeedableRng;

const SAMPLES: usize = 4000;
const RATE: f64 = 8000.0;

/// Settings that change nothing.
fn plain() -> TrainConfig {
    TrainConfig {
        segment_seconds: SAMPLES as f64 / RATE,
        remix_probability: 0.0,
        gain_range: [1.0, 1.0],
        channel_swap_probability: 0.0,
        sign_flip_probability: 0.0,
        ..Default::default()
    }
}

fn generator(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn tone(step: f64, samples: usize) -> Stereo {
    let channel: Vec<f32> = (0..samples).map(|n| (0.3 * (step * n as f64).sin()) as f32).collect();
    [channel.clone(), channel]
}

/// The stems of an excerpt that begins at sample 0.
fn cut(config: &TrainConfig, seed: u64, source: impl Fn(usize) -> Vec<Stereo>) -> (Excerpt, Vec<Stereo>) {
    let mut rng = generator(seed);
    let excerpt = Augment::new(config, SAMPLES).excerpt(&mut rng);
    let stems = source(excerpt.read());
    (excerpt, excerpt.cut(&mut rng, stems))
}

#[test]
fn without_augmentation_nothing_changes_and_nothing_is_drawn() {
    let config = plain();
    let (excerpt, stems) = cut(&config, 1, |samples| vec![tone(0.1, samples)]);
    assert_eq!((excerpt.read(), &stems), (SAMPLES, &vec![tone(0.1, SAMPLES)]));
    let (mut rng, augment) = (generator(1), Augment::new(&config, SAMPLES));
    augment.excerpt(&mut rng);
    assert!((0..2).all(|place| augment.mixup(&mut rng, place).is_none()));
    augment.drop_stems(&mut rng, &mut stems.clone());
    assert_eq!(rng.random::<u64>(), generator(1).random::<u64>());
}

/// A tone of another pitch, the same for all stems, without a fade at the ends.
#[test]
fn a_speed_changes_pitch_and_tempo_of_all_stems_together() {
    for (range, percent) in [([0.9, 0.9], 90), ([1.25, 1.25], 125), ([0.995, 1.0], 100)] {
        let config = TrainConfig { speed_probability: 1.0, speed_range: range, ..plain() };
        let (excerpt, stems) = cut(&config, 2, |samples| vec![tone(0.1, samples), tone(0.2, samples)]);
        assert_eq!(excerpt.speed, percent);
        let speed = f64::from(percent) / 100.0;
        for (stem, step) in stems.iter().zip([0.1, 0.2]) {
            assert_eq!(stem.each_ref().map(Vec::len), [SAMPLES; 2]);
            let offset = if percent == 100 { 0.0 } else { MARGIN as f64 * 100.0 / f64::from(percent) };
            for (n, sample) in stem[0].iter().enumerate() {
                let expected = 0.3 * (step * speed * (offset.floor() + n as f64)).sin();
                let error = (f64::from(*sample) - expected).abs();
                assert!(error < 1e-4, "{percent} %: {sample} is not {expected} at {n}");
            }
        }
    }
}

/// A ramp shows where a stem begins.
#[test]
fn stems_are_shifted_within_the_range() {
    let config = TrainConfig { shift_probability: 1.0, shift_seconds: 0.1, ..plain() };
    let ramp = |samples: usize| {
        let channel: Vec<f32> = (0..samples).map(|n| n as f32).collect();
        [channel.clone(), channel]
    };
    let mut starts = Vec::new();
    for seed in 0..50 {
        let (_, stems) = cut(&config, seed, |samples| vec![ramp(samples), ramp(samples)]);
        for [left, _] in stems {
            assert!(left.len() == SAMPLES && left.windows(2).all(|pair| pair[1] == pair[0] + 1.0));
            starts.push(left[0]);
        }
    }
    assert!(starts.iter().all(|start| (0.0..=1600.0).contains(start)));
    assert!(starts.iter().any(|s| *s < 200.0) && starts.iter().any(|s| *s > 1400.0), "{starts:?}");
    assert!(starts.chunks(2).filter(|pair| pair[0] != pair[1]).count() > 45);
}

#[test]
fn some_stems_become_silent_but_never_all() {
    let config = TrainConfig { drop_probability: 0.5, ..plain() };
    let augment = Augment::new(&config, SAMPLES);
    let mut counts = [0; 4];
    for seed in 0..200 {
        let mut stems = vec![tone(0.1, 10), tone(0.2, 10), tone(0.3, 10)];
        augment.drop_stems(&mut generator(seed), &mut stems);
        counts[stems.iter().filter(|stem| stem[0].iter().all(|x| *x == 0.0)).count()] += 1;
    }
    assert!(counts[0] > 10 && counts[1] > 50 && counts[2] > 50 && counts[3] == 0, "{counts:?}");
}

fn everything() -> TrainConfig {
    TrainConfig {
        speed_probability: 0.5,
        shift_probability: 0.5,
        mixup_probability: [0.5, 0.2],
        eq_probability: 0.5,
        compression_probability: 0.5,
        drop_probability: 0.1,
        segment_seconds: SAMPLES as f64 / RATE,
        ..Default::default()
    }
}

fn segments(root: &std::path::Path, config: &TrainConfig) -> Segments {
    let dataset = open_dataset(root, "train", &data::stems(), RATE as u32).unwrap();
    let tracks: Vec<usize> = (0..dataset.tracks().len()).collect();
    Segments::new(dataset, &tracks, (SAMPLES, RATE as u32), config, &Vec::new())
}

/// With all augmentations on, segment `k` is still a function of the seed and of `k`.
#[test]
fn augmented_segments_depend_on_seed_and_index_alone() {
    let dir = tempfile::tempdir().unwrap();
    data::data_set(dir.path(), 3, RATE as u32, 30_000);
    let source = segments(dir.path(), &everything());
    let forward: Vec<_> = (0..30).map(|k| source.segment(k).unwrap()).collect();
    let again = segments(dir.path(), &everything());
    for k in (0..30).rev() {
        assert!(again.segment(k).unwrap() == forward[k as usize], "segment {k}");
    }
    for stems in &forward {
        assert!(stems.iter().flatten().all(|channel| channel.len() == SAMPLES));
        assert!(stems.iter().flatten().flatten().all(|x| x.is_finite() && x.abs() < 30.0));
    }
    assert!(forward[0] != segments(dir.path(), &TrainConfig { seed: 1, ..everything() }).segment(0).unwrap());
}

/// Two constant songs: a mix-up adds other excerpts of the same stem.
#[test]
fn a_mixup_adds_excerpts_of_the_same_stem() {
    let dir = tempfile::tempdir().unwrap();
    for (stem, level) in [("drums", 0.1), ("vocals", 0.001)] {
        data::write(&dir.path().join(format!("train/a/{stem}.wav")), RATE as u32, 9000, |_| level);
    }
    let config = TrainConfig { mixup_probability: [0.5, 0.5], mixup_gain_range: [2.0, 2.0], ..plain() };
    let source = segments(dir.path(), &config);
    let mut counts = [0; 3];
    for k in 0..200 {
        for (stem, level) in source.segment(k).unwrap().iter().zip([0.1, 0.001]) {
            let added = (stem[0][0] / level - 1.0) / 2.0;
            assert!((added - added.round()).abs() < 1e-3, "{added}");
            counts[added.round() as usize] += 1;
        }
    }
    assert!(counts[0] > 70 && counts[1] > 150 && counts[2] > 70, "{counts:?}");
}

/// The time of a segment with all augmentations, against that of one without them. It is a measurement and not a check:
/// `cargo test --release -p unbraid-train -- --ignored --nocapture speed_of_the_loader`.
#[test]
#[ignore = "a measurement"]
fn speed_of_the_loader() {
    let rate = 44_100;
    let dir = tempfile::tempdir().unwrap();
    data::data_set(dir.path(), 4, rate, 60 * rate as usize);
    let dataset = open_dataset(dir.path(), "train", &data::stems(), rate).unwrap();
    let seconds = 6.0;
    let samples = (seconds * f64::from(rate)) as usize;
    let only = |edit: fn(&mut TrainConfig)| {
        let mut config = TrainConfig::default();
        edit(&mut config);
        config
    };
    for (name, config) in [
        ("default", TrainConfig::default()),
        ("mix-up", only(|c| c.mixup_probability = [1.0, 0.0])),
        ("speed", only(|c| c.speed_probability = 1.0)),
        ("shift", only(|c| c.shift_probability = 1.0)),
        ("eq", only(|c| c.eq_probability = 1.0)),
        ("compression", only(|c| c.compression_probability = 1.0)),
        (
            "all",
            TrainConfig {
                speed_probability: 1.0,
                shift_probability: 1.0,
                mixup_probability: [1.0, 0.0],
                eq_probability: 1.0,
                compression_probability: 1.0,
                drop_probability: 0.1,
                ..Default::default()
            },
        ),
    ] {
        let config = TrainConfig { segment_seconds: seconds, ..config };
        let cut = (samples, (samples as f64 / seconds) as u32);
        let dataset = std::sync::Arc::clone(&dataset);
        let source = Segments::new(dataset, &[0, 1, 2, 3], cut, &config, &Vec::new());
        source.segment(1000).unwrap();
        let began = std::time::Instant::now();
        let count = 20;
        for k in 0..count {
            source.segment(k).unwrap();
        }
        let took = began.elapsed().as_secs_f64();
        println!("{name}: {:.0} times real time", count as f64 * seconds / took);
    }
}
