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
        reverb_probability: 0.5,
        codec_probability: 0.5,
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
    let forward: Vec<_> = (0..30).map(|k| source.segment(k).unwrap().0).collect();
    let again = segments(dir.path(), &everything());
    for k in (0..30).rev() {
        assert!(again.segment(k).unwrap().0 == forward[k as usize], "segment {k}");
    }
    for stems in &forward {
        assert!(stems.iter().flatten().all(|channel| channel.len() == SAMPLES));
        assert!(stems.iter().flatten().flatten().all(|x| x.is_finite() && x.abs() < 30.0));
    }
    assert!(
        forward[0] != segments(dir.path(), &TrainConfig { seed: 1, ..everything() }).segment(0).unwrap().0
    );
}

/// The level in dB of the difference, relative to the signal.
fn change(before: &Stereo, after: &Stereo) -> f64 {
    let difference = [0, 1].map(|c| before[c].iter().zip(&after[c]).map(|(x, y)| x - y).collect());
    10.0 * (power(&difference) / power(before)).log10()
}

#[test]
fn a_reverberation_and_a_codec_have_their_levels() {
    let noise = |seed| {
        let mut rng = generator(seed);
        [(); 2].map(|()| (0..SAMPLES).map(|_| rng.random_range(-0.3..0.3f32)).collect::<Vec<f32>>())
    };
    for level in [6.0, 25.0] {
        let config = TrainConfig { reverb_probability: 1.0, reverb_db_range: [level, level], ..plain() };
        let mut stem = noise(1);
        Augment::new(&config, SAMPLES).stem(&mut generator(5), &mut stem);
        let measured = change(&noise(1), &stem);
        assert!((measured + f64::from(level)).abs() < 0.01, "{measured} dB, not -{level}");
        let mut silence = [vec![0.0; SAMPLES], vec![0.0; SAMPLES]];
        Augment::new(&config, SAMPLES).stem(&mut generator(5), &mut silence);
        assert!(silence.iter().flatten().all(|x| *x == 0.0));
    }
    let config = TrainConfig {
        codec_probability: 1.0,
        codec_snr_range: [20.0, 20.0],
        codec_cutoff_range: [8000.0, 8000.0],
        ..plain()
    };
    let mut stems = vec![noise(2), [vec![0.0; SAMPLES], vec![0.0; SAMPLES]], noise(3)];
    Augment::new(&config, SAMPLES).code(&mut generator(6), &mut stems);
    for (stem, before) in [(&stems[0], noise(2)), (&stems[2], noise(3))] {
        let measured = change(&before, stem);
        assert!((measured + 20.0).abs() < 1.0, "{measured} dB, not -20");
    }
    assert!(stems[1].iter().flatten().all(|x| *x == 0.0));
}

/// Peaks above a stem's own level fall, and the level of the whole with them.
#[test]
fn a_compressor_and_an_equaliser_change_the_stem_within_bounds() {
    let config = TrainConfig {
        compression_probability: 1.0,
        compression_ratio_range: [4.0, 4.0],
        eq_gain_db: 6.0,
        ..plain()
    };
    let mut quiet_then_loud = tone(0.7, SAMPLES);
    quiet_then_loud.iter_mut().for_each(|side| side[..SAMPLES / 2].iter_mut().for_each(|x| *x *= 0.1));
    let before = quiet_then_loud.clone();
    Augment::new(&config, SAMPLES).stem(&mut generator(1), &mut quiet_then_loud);
    assert_eq!(before[0][..SAMPLES / 2], quiet_then_loud[0][..SAMPLES / 2], "below the threshold");
    let peak = |x: &Stereo| x[0][3 * SAMPLES / 4..].iter().fold(0f32, |peak, x| peak.max(x.abs()));
    let reduction = 20.0 * f64::from(peak(&before) / peak(&quiet_then_loud)).log10();
    // The threshold is 3 dB below the level of the loud part, and so 6 dB below its peak.
    assert!((reduction - 6.0 * 0.75).abs() < 0.5, "{reduction} dB");
    let config = TrainConfig { eq_probability: 1.0, compression_probability: 0.0, ..config };
    for seed in 0..50 {
        let mut stem = tone(0.3, SAMPLES);
        Augment::new(&config, SAMPLES).stem(&mut generator(seed), &mut stem);
        let gain = peak(&stem) / 0.3;
        // Three bells of 6 dB.
        assert!((0.12..8.0).contains(&gain) && gain != 1.0, "{gain}");
    }
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
        for (stem, level) in source.segment(k).unwrap().0.iter().zip([0.1, 0.001]) {
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
        ("reverb", only(|c| c.reverb_probability = 1.0)),
        ("codec", only(|c| c.codec_probability = 1.0)),
        (
            "all",
            TrainConfig {
                speed_probability: 1.0,
                shift_probability: 1.0,
                mixup_probability: [1.0, 0.0],
                eq_probability: 1.0,
                compression_probability: 1.0,
                reverb_probability: 1.0,
                codec_probability: 1.0,
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
