//! More than two channels are mixed down to stereo, and the reader says so.

use std::f32::consts::FRAC_1_SQRT_2 as H;

use flacenc::component::BitRepr;
use flacenc::error::Verify;
use unbraid_audio::{AudioReader, Notice, Problem, ReadOptions, Stereo};

use crate::common::*;

fn read(bytes: &[u8]) -> (usize, Stereo, Vec<Notice>) {
    let source = Box::new(std::io::Cursor::new(bytes.to_vec()));
    let mut reader = AudioReader::from_source(source, None, 44_100, ReadOptions::COMPLETE).unwrap();
    let channels = reader.source().channels;
    let samples = reader.read(usize::MAX).unwrap();
    (channels, samples, reader.notices().to_vec())
}

/// A wav in which channel `n` is 1 in frame `n` only. Its output is each channel's gain.
fn one_by_one(channels: u16, mask: Option<u32>) -> Vec<u8> {
    let samples = (0..channels)
        .flat_map(|frame| (0..channels).map(move |channel| f32::from(u8::from(channel == frame))));
    let plain = wav(3, channels, 44_100, 32, &samples.flat_map(f32::to_le_bytes).collect::<Vec<_>>());
    let Some(mask) = mask else { return plain };
    let mut bytes = [&plain[..12], b"fmt \x28\0\0\0\xfe\xff", &plain[22..36], b"\x16\0\x20\0"].concat();
    bytes.extend(mask.to_le_bytes());
    bytes.extend(b"\x03\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
    bytes.extend(&plain[36..]);
    bytes
}

#[test]
fn every_layout_of_a_wav_is_mixed_down() {
    type Case<'a> = (u16, Option<u32>, &'a str, &'a [f32], &'a [f32]);
    let cases: [Case<'_>; 9] = [
        (3, None, "3.0", &[1.0, 0.0, H], &[0.0, 1.0, H]),
        (4, None, "4.0", &[1.0, 0.0, H, 0.0], &[0.0, 1.0, 0.0, H]),
        (5, None, "5.0", &[1.0, 0.0, H, H, 0.0], &[0.0, 1.0, H, 0.0, H]),
        (6, None, "5.1", &[1.0, 0.0, H, 0.0, H, 0.0], &[0.0, 1.0, H, 0.0, 0.0, H]),
        (7, None, "6.1", &[1.0, 0.0, H, 0.0, 0.5, H, 0.0], &[0.0, 1.0, H, 0.0, 0.5, 0.0, H]),
        (8, None, "7.1", &[1.0, 0.0, H, 0.0, H, 0.0, H, 0.0], &[0.0, 1.0, H, 0.0, 0.0, H, 0.0, H]),
        // Left, right, effects. Then left, right, centre, centre surround. Then 5.1 with side surrounds.
        (3, Some(0x00b), "2.1", &[1.0, 0.0, 0.0], &[0.0, 1.0, 0.0]),
        (4, Some(0x107), "4.0", &[1.0, 0.0, H, 0.5], &[0.0, 1.0, H, 0.5]),
        (6, Some(0x60f), "5.1", &[1.0, 0.0, H, 0.0, H, 0.0], &[0.0, 1.0, H, 0.0, 0.0, H]),
    ];
    for (count, mask, layout, left, right) in cases {
        let (channels, samples, notices) = read(&one_by_one(count, mask));
        assert_eq!(channels, usize::from(count));
        assert_eq!((&samples[0][..], &samples[1][..]), (left, right), "{layout}");
        assert_eq!(notices, [Notice::MixedDown { layout: layout.into() }]);
    }
    // One and two channels stay as they are, whatever their mask says.
    assert_eq!(read(&one_by_one(1, Some(4))), (1, [vec![1.0], vec![1.0]], vec![]));
    assert_eq!(read(&one_by_one(2, Some(0x60))), (2, [vec![1.0, 0.0], vec![0.0, 1.0]], vec![]));
}

/// A flac with six channels of constant values, and with a comment about their positions.
fn flac(comment: Option<&str>) -> Vec<u8> {
    const VALUES: [i32; 6] = [100, 200, 1000, 9000, 40, 50];
    let config = flacenc::config::Encoder::default().into_verified().unwrap();
    let source = flacenc::source::MemSource::from_samples(&VALUES.repeat(512), 6, 16, 44_100);
    let stream = flacenc::encode_with_fixed_block_size(&config, source, 256).unwrap();
    let mut sink = flacenc::bitsink::ByteSink::new();
    stream.write(&mut sink).unwrap();
    let mut bytes = sink.as_slice().to_vec();
    if let Some(comment) = comment {
        // The stream information is the last block. After this it is not.
        bytes[4] &= 0x7f;
        let block =
            [&[0, 0, 0, 0, 1, 0, 0, 0][..], &(comment.len() as u32).to_le_bytes(), comment.as_bytes()]
                .concat();
        let head = (block.len() as u32 | 0x8400_0000).to_be_bytes();
        bytes.splice(42..42, [head.as_slice(), &block].concat());
    }
    bytes
}

#[test]
fn a_flac_has_its_own_order_or_that_of_a_comment() {
    let mix = |values: [(f32, f32); 6], side: fn((f32, f32)) -> f32| {
        let samples = [100, 200, 1000, 9000, 40, 50].map(|value| value as f32 / 32_768.0);
        values.into_iter().zip(samples).fold(0.0, |sum, (gain, sample)| sum + side(gain) * sample)
    };
    let front = [(1.0, 0.0), (0.0, 1.0)];
    let usual = [front[0], front[1], (H, H), (0.0, 0.0), (H, 0.0), (0.0, H)];
    // Front, rear, sides.
    let other = [front[0], front[1], (H, 0.0), (0.0, H), (H, 0.0), (0.0, H)];
    for (comment, gains, layout) in [
        (None, usual, "5.1"),
        (Some("WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x60F"), usual, "5.1"),
        (Some("waveformatextensible_channel_mask=0x633"), other, "6.0"),
    ] {
        let (channels, samples, notices) = read(&flac(comment));
        assert_eq!((channels, samples[0].len()), (6, 512));
        let expected = [mix(gains, |gain| gain.0), mix(gains, |gain| gain.1)];
        assert!(
            samples.iter().zip(expected).all(|(channel, x)| channel.iter().all(|&y| y == x)),
            "{comment:?}"
        );
        assert_eq!(notices, [Notice::MixedDown { layout: layout.into() }]);
    }
}

#[test]
fn channels_that_cannot_be_mixed_down_are_refused_with_their_number() {
    for (bytes, count) in [
        (one_by_one(9, None), 9),
        (wav(1, 0xffff, 44_100, 16, &[0; 1_200]), 0xffff),
        // Two of the channels are above the listener.
        (one_by_one(4, Some(0x5003)), 4),
    ] {
        let problem = read_bytes(&bytes, 44_100).unwrap_err().problem;
        assert!(matches!(problem, Problem::Channels(found) if found == count), "{problem}");
        assert!(problem.to_string().contains(&format!("{count} channels")));
    }
}
