use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// uSDR of one stem: `10·log₁₀((Σ s² + δ) / (Σ (s − ŝ)² + δ))`.
fn usdr(reference: &Stereo, estimate: &Stereo) -> f64 {
    single(reference, estimate).usdr
}

/// SI-SDR of one stem; `None` if the estimate is silent.
fn si_sdr(reference: &Stereo, estimate: &Stereo) -> Option<f64> {
    single(reference, estimate).si_sdr
}

/// cSDR of every stem of a song: museval's median of one-second ratios.
fn csdr(references: &[Stereo], estimates: &[Stereo], rate: u32) -> Vec<Option<f64>> {
    let Some(first) = references.first() else { return Vec::new() };
    let mut score = SongScore::new(references.len(), rate);
    score.push(references, estimates, first);
    score.finish().into_iter().map(|score| sounding(score).csdr).collect()
}

fn single(reference: &Stereo, estimate: &Stereo) -> StemScores {
    let mut score = SongScore::new(1, u32::MAX);
    score.push(std::slice::from_ref(reference), std::slice::from_ref(estimate), reference);
    sounding(score.finish()[0])
}

fn sounding(score: Score) -> StemScores {
    match score {
        Score::Sounding(scores) => scores,
        Score::Silent { leak } => panic!("silent, leak {leak:?}"),
    }
}

/// The leak of a stem that must be silent.
fn leak(score: Score) -> Option<f64> {
    match score {
        Score::Sounding(scores) => panic!("{scores:?}"),
        Score::Silent { leak } => leak,
    }
}

fn noise(seed: u64, frames: usize, scale: f32) -> Stereo {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    [(); 2].map(|()| (0..frames).map(|_| scale * rng.random_range(-1.0..1.0f32)).collect())
}

fn mix(a: &Stereo, b: &Stereo, gain: f32) -> Stereo {
    [0, 1].map(|c| a[c].iter().zip(&b[c]).map(|(x, y)| x + gain * y).collect())
}

fn close(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() < tolerance, "{a} against {b}");
}

#[test]
fn usdr_of_a_known_error() {
    let s = noise(1, 1000, 0.5);
    // An estimate of 0.9 s has an error of 0.1 s: 20 dB.
    let estimate = mix(&s, &s, -0.1);
    close(usdr(&s, &estimate), 20.0, 1e-3);
    // δ = 1e-7 equals the energy of a reference that the estimate misses completely.
    let quiet: Stereo = [vec![(1e-7f32).sqrt()], vec![0.0]];
    close(usdr(&quiet, &[vec![0.0], vec![0.0]]), 0.0, 1e-6);
}

#[test]
fn si_sdr_ignores_scale_and_is_the_angle_to_the_reference() {
    let (s, n) = (noise(1, 4000, 0.5), noise(2, 4000, 0.5));
    let estimate = mix(&s, &n, 0.1);
    let plain = si_sdr(&s, &estimate).unwrap();
    let scaled: Stereo = [0, 1].map(|c| estimate[c].iter().map(|x| 0.25 * x).collect());
    close(si_sdr(&s, &scaled).unwrap(), plain, 1e-4);
    // The definition.
    let all = |x: &Stereo| -> Vec<f64> { x.iter().flatten().map(|v| f64::from(*v)).collect() };
    let (s64, e64) = (all(&s), all(&estimate));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let alpha = dot(&e64, &s64) / dot(&s64, &s64);
    let target: Vec<f64> = s64.iter().map(|x| alpha * x).collect();
    let rest: Vec<f64> = target.iter().zip(&e64).map(|(t, e)| t - e).collect();
    close(plain, 10.0 * (dot(&target, &target) / dot(&rest, &rest)).log10(), 1e-8);
    assert_eq!(si_sdr(&noise(2, 10, 1.0), &noise(1, 10, 0.0)), None);
}

/// As museval: one-second windows, without partial ones and those in which a stem is silent, then the median.
#[test]
fn csdr_is_the_median_over_the_windows_without_silence() {
    let rate = 100;
    let s = noise(3, 550, 0.5);
    let mut estimate = s.clone();
    // Errors of 1/10, 1/100, 1/1000, silence, 1/10. The last half second is dropped.
    for (second, part) in [0.1, 0.01, 0.001, 1.0, 0.1].iter().enumerate() {
        for channel in &mut estimate {
            for n in second * 100..(second + 1) * 100 {
                channel[n] *= 1.0 - part;
            }
        }
    }
    for channel in &mut estimate {
        channel[500..].fill(9.0);
    }
    let other = (noise(4, 550, 0.5), noise(5, 550, 0.5));
    let got = csdr(&[s.clone(), other.0.clone()], &[estimate.clone(), other.1.clone()], rate);
    close(got[0].unwrap(), 30.0, 1e-3); // median of 20, 40, 60, 20
    let ratios: Vec<f64> = [0, 1, 2, 4]
        .map(|w| {
            let cut = |x: &Stereo| [0, 1].map(|c: usize| x[c][w * 100..(w + 1) * 100].to_vec());
            usdr(&cut(&other.0), &cut(&other.1))
        })
        .to_vec();
    close(got[1].unwrap(), median(ratios).unwrap(), 1e-6);
    assert_eq!(csdr(&[noise(0, 99, 1.0)], &[noise(1, 99, 1.0)], 100), vec![None]);
}

#[test]
fn block_size_does_not_matter_and_the_baseline_is_the_best_constant() {
    let (a, b) = (noise(6, 900, 0.5), noise(7, 900, 0.2));
    let mixture = mix(&a, &b, 1.0);
    let estimates = [mix(&a, &b, 0.3), mix(&b, &a, 0.1)];
    let references = [a.clone(), b.clone()];
    let cut = |x: &Stereo, range: std::ops::Range<usize>| [0, 1].map(|c: usize| x[c][range.clone()].to_vec());
    let with_blocks = |size: usize| {
        let mut score = SongScore::new(2, 250);
        for start in (0..900).step_by(size) {
            let range = start..(start + size).min(900);
            let of = |x: &[Stereo; 2]| x.each_ref().map(|x| cut(x, range.clone()));
            score.push(&of(&references), &of(&estimates), &cut(&mixture, range.clone()));
        }
        score.finish()
    };
    assert_eq!(with_blocks(900), with_blocks(7));
    let baseline = sounding(with_blocks(900)[0]).baseline_usdr;
    let best = (0..=2000)
        .map(|k| usdr(&a, &[0, 1].map(|c: usize| mixture[c].iter().map(|x| x * k as f32 / 1000.0).collect())))
        .fold(f64::MIN, f64::max);
    close(baseline, best, 1e-4);
    assert!(baseline >= best - 1e-6);
}

/// An instrumental: the vocals have no score, and the other stems keep theirs, cSDR included.
#[test]
fn a_silent_stem_is_told_apart_with_its_leak() {
    let (drums, bass) = (noise(8, 400, 0.5), noise(9, 400, 0.25));
    let estimates = [mix(&drums, &bass, 0.1), mix(&bass, &drums, 0.1)];
    let mixture = mix(&drums, &bass, 1.0);
    let ghost: Stereo = [0, 1].map(|c: usize| mixture[c].iter().map(|x| 0.01 * x).collect());
    let with_vocals = |vocals: &Stereo| {
        let mut score = SongScore::new(3, 100);
        score.push(
            &[drums.clone(), vocals.clone(), bass.clone()],
            &[estimates[0].clone(), ghost.clone(), estimates[1].clone()],
            &mixture,
        );
        score.finish()
    };
    let mut without = SongScore::new(2, 100);
    without.push(&[drums.clone(), bass.clone()], &estimates, &mixture);
    let without = without.finish();
    // Digital silence, and dither of 16 bits.
    for vocals in [noise(0, 400, 0.0), noise(1, 400, 1.0 / 32768.0)] {
        let scores = with_vocals(&vocals);
        assert_eq!([scores[0], scores[2]], [without[0], without[1]]);
        assert!(sounding(scores[0]).csdr.is_some());
        close(leak(scores[1]).unwrap(), -40.0, 1e-3);
    }
    // A quiet second of four is not silence.
    let mut vocals = noise(0, 400, 0.0);
    vocals[0][250..300].copy_from_slice(&noise(2, 50, 1e-3)[0]);
    sounding(with_vocals(&vocals)[1]);
}

/// The limit is a level over both channels of a second, or of what is left at the end.
#[test]
fn a_stem_sounds_from_minus_80_dbfs_on() {
    let score = |level: f64, frames: std::ops::Range<usize>| {
        let amplitude = 10f64.powf(level / 20.0) as f32;
        let mut stem: Stereo = [vec![0.0; 250], vec![0.0; 250]];
        for channel in &mut stem {
            channel[frames.clone()].fill(amplitude);
        }
        let mut score = SongScore::new(1, 100);
        score.push(std::slice::from_ref(&stem), std::slice::from_ref(&stem), &stem);
        matches!(score.finish()[0], Score::Sounding(_))
    };
    assert!(score(-79.9, 0..100) && !score(-80.1, 0..250));
    assert!(score(-79.9, 200..250) && !score(-79.9, 200..240));
    assert!(!score(-70.0, 0..5) && score(-60.0, 0..5));
}

#[test]
fn an_all_silent_song_has_no_scores_and_no_leak() {
    let silence = noise(0, 150, 0.0);
    let mut score = SongScore::new(2, 100);
    let references = [silence.clone(), silence.clone()];
    score.push(&references, &[noise(1, 150, 0.1), silence.clone()], &silence);
    assert_eq!(score.finish().into_iter().map(leak).collect::<Vec<_>>(), [None, None]);
    // A silent estimate has a finite leak.
    let mut score = SongScore::new(1, 100);
    score.push(std::slice::from_ref(&silence), std::slice::from_ref(&silence), &noise(1, 150, 0.5));
    let leak = leak(score.finish()[0]).unwrap();
    assert!((-100.0..-80.0).contains(&leak), "{leak}");
}
