//! Silent channels.

use super::*;

/// A model whose stems hold noise, whatever the segment: what a network leaves in a silent channel.
struct Noise;

impl SegmentModel for Noise {
    type Running = Vec<Stereo>;

    fn stems(&self) -> usize {
        2
    }

    fn sample_rate(&self) -> u32 {
        1000
    }

    fn least_samples(&self) -> usize {
        LEAST
    }

    fn start(&self, segments: Vec<Stereo>) -> Vec<Stereo> {
        segments
    }

    async fn finish(&self, segments: Vec<Stereo>) -> Result<Vec<Vec<Stereo>>, ExecutionError> {
        Ok(segments.iter().map(|segment| vec![song(segment[0].len()); 2]).collect())
    }
}

/// The stems of [`Noise`] without the treatment of silence: the song has no zero.
fn noise_stems(samples: usize, options: SeparatorOptions) -> Vec<Stereo> {
    separate(Noise, options, &[vec![1.0; samples], vec![1.0; samples]], &[samples]).unwrap().0
}

#[test]
fn stems_of_a_silent_channel_are_silent() {
    for overlap in [0.0, 0.25, 0.75] {
        let options = SeparatorOptions { segment: 100, overlap, batch: 2 };
        for samples in [1, 40, 120, 777] {
            for blocks in [&[1][..], &[7, 150, 3], &[100_000]] {
                let left_only = [vec![0.5; samples], vec![0.0; samples]];
                let (stems, _) = separate(Noise, options, &left_only, blocks).unwrap();
                let expected = noise_stems(samples, options);
                for (stem, expected) in stems.iter().zip(&expected) {
                    assert_eq!(stem[0], expected[0], "the other channel is unchanged");
                    assert_eq!(stem[1], vec![0.0; samples]);
                }
                let silence = [vec![0.0; samples], vec![-0.0; samples]];
                let (stems, _) = separate(Noise, options, &silence, blocks).unwrap();
                assert!(stems.iter().flatten().all(|channel| *channel == vec![0.0; samples]));
            }
        }
    }
}

#[test]
fn stems_fade_into_silence_and_out_of_it() {
    let options = SeparatorOptions { segment: 100, overlap: 0.25, batch: 1 };
    let samples = 700;
    let expected = noise_stems(samples, options);
    // Silence of 60 at the start, of 50 and of 49 within, and of 55 at the end. The fades take 5.
    let runs = [0..60, 200..250, 300..349, 645..700];
    let sound = |index: &usize| !runs.iter().any(|run| run.contains(index));
    let channel: Vec<f32> = (0..samples).map(|index| f32::from(u8::from(sound(&index)))).collect();
    for blocks in [&[1][..], &[13, 90], &[1000]] {
        let song = [vec![1.0; samples], channel.clone()];
        let (stems, _) = separate(Noise, options, &song, blocks).unwrap();
        for (stem, expected) in stems.iter().zip(&expected) {
            assert_eq!(stem[0], expected[0]);
            for index in 0..samples {
                let gain = match index {
                    0..55 | 205..245 | 650..700 => 0.0,
                    55..60 => (index - 54) as f32 / 6.0,
                    200..205 => (205 - index) as f32 / 6.0,
                    245..250 => (index - 244) as f32 / 6.0,
                    645..650 => (650 - index) as f32 / 6.0,
                    _ => 1.0,
                };
                let expected = gain * expected[1][index];
                assert!((stem[1][index] - expected).abs() <= 1e-6, "sample {index}");
                assert!(gain != 1.0 || stem[1][index] == expected, "sample {index} is changed");
            }
        }
    }
}

#[test]
fn silence_keeps_back_few_samples() {
    let options = SeparatorOptions { segment: 100, overlap: 0.0, batch: 1 };
    let mut separator = Separator::new(Noise, options).unwrap();
    for block in 0..100 {
        // Each block ends with 49 zeros on the left and 50 on the right.
        let channel = |zeros: usize| [vec![1.0; 100 - zeros], vec![0.0; zeros]].concat();
        let stems = pollster::block_on(separator.push(&[channel(49), channel(50)])).unwrap();
        let returned: usize = 100 * (block + 1) - 49;
        let expected = if block == 0 { returned } else { 100 };
        assert_eq!(stems[0][0].len(), expected);
    }
}
