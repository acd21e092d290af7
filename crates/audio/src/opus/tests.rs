//! Tests of packets with several streams.

use std::f32::consts::FRAC_1_SQRT_2 as H;

use rusty_opus::repacketizer::Repacketizer;
use rusty_opus::{Application, OpusDecoder, OpusEncoder};
use unbraid_base::Stereo;

use super::{Head, Opus, split};
use crate::codec::Codec;
use crate::error::Problem;

/// The first packet of an Ogg stream.
fn head(channels: u8, family: u8, table: &[u8]) -> Vec<u8> {
    [b"OpusHead\x01", &[channels, 0x38, 1, 0x80, 0xbb, 0, 0, 0, 0, family][..], table].concat()
}

#[test]
fn every_form_of_a_packet_is_split() {
    let frame = |count: usize, value: u8| vec![value; count];
    let long = frame(700, 5);
    // The head up to the additional size, the additional size, and the rest of the packet.
    let forms: [(Vec<u8>, Vec<u8>, Vec<u8>); 8] = [
        (vec![0xfc], vec![3], frame(3, 1)),
        (vec![0xfc], vec![252, 112], long.clone()),
        (vec![0xfd], vec![3], frame(6, 1)),
        (vec![0xfe, 2], vec![3], frame(5, 1)),
        (vec![0xfe, 252, 112], vec![1], [long, frame(1, 1)].concat()),
        (vec![0xff, 3], vec![4], frame(12, 1)),
        (vec![0xff, 0x83, 2, 0], vec![4], frame(6, 1)),
        // 255 is 254 bytes of padding and another number.
        (vec![0xff, 0xc2, 255, 6, 2], vec![4], [frame(6, 1), frame(260, 0)].concat()),
    ];
    for (head, size, body) in forms {
        let whole = [&head[..], &size, &body].concat();
        let expected = [head, body].concat();
        let packet = [&whole[..], b"rest"].concat();
        assert_eq!(split(&packet), Some((expected, &b"rest"[..])), "{packet:?}");
        for length in 0..whole.len() {
            assert_eq!(split(&packet[..length]), None, "{length} bytes of {packet:?}");
        }
    }
}

/// A tone of 40 ms, interleaved.
fn tone(channels: usize, pitch: f32) -> Vec<f32> {
    let sample = |n: usize| 0.3 * (n as f32 * pitch * (1 + n % channels) as f32).sin();
    (0..1920 * channels).map(sample).collect()
}

#[test]
fn the_streams_of_a_packet_become_channels() {
    // Two streams of two channels, and two of one.
    let widths = [2, 2, 1, 1];
    let mut packets = Vec::new();
    let mut planes: Vec<Vec<f32>> = Vec::new();
    for (index, width) in widths.into_iter().enumerate() {
        let mut encoder = OpusEncoder::new(48_000, width, Application::Audio).expect("an encoder");
        let mut packet = vec![0; 4000];
        let sound = tone(width, 0.01 + 0.007 * index as f32);
        let length = encoder.encode(&sound, 1920, &mut packet).expect("a packet");
        packet.truncate(length);
        let mut decoder = OpusDecoder::new(48_000, width).expect("a decoder");
        let mut samples = vec![0.0; 5760 * 2];
        assert_eq!(decoder.decode(&packet, 5760, &mut samples).expect("a packet"), 1920);
        let side = |side| samples[..1920 * width].iter().skip(side).step_by(width).copied().collect();
        planes.extend((0..width).map(side));
        let mut form = Repacketizer::new();
        form.cat(&packet).expect("a packet");
        packets.push(if index < 3 { form.out_self_delimited().expect("a packet") } else { packet });
    }
    let packet = packets.concat();
    let decode = |table: &[u8], channels: u8| {
        let head = Head::of_ogg(&head(channels, 1, table)).expect("a good header");
        let mut opus = Opus::new(&head).expect("a decoder");
        assert_eq!((opus.channels(), opus.block(&packet)), (usize::from(channels), Some(1920)));
        let mut out = Stereo::default();
        opus.decode(&packet, &mut out).expect("a good packet");
        out
    };
    // Left, centre, right, left and right surround, effects.
    let mix = |front: usize, surround: usize| -> Vec<f32> {
        let sample = |n: usize| planes[front][n] + H * planes[4][n] + H * planes[surround][n];
        (0..1920).map(sample).collect()
    };
    assert!(decode(&[4, 2, 0, 4, 1, 2, 3, 5], 6) == [mix(0, 2), mix(1, 3)]);
    // Another order, and a channel that is silent.
    assert!(decode(&[4, 2, 3, 255], 2) == [planes[3].clone(), vec![0.0; 1920]]);
}

#[test]
fn headers_that_contradict_themselves_are_refused() {
    let refused = |channels, family, table: &[u8]| Head::of_ogg(&head(channels, family, table)).err();
    for (channels, family, table) in [
        (3, 0, &[][..]),
        (6, 1, &[4, 2, 0, 4, 1, 2, 3]),
        (6, 1, &[4, 2, 0, 4, 1, 2, 3, 6]),
        (6, 1, &[2, 3, 0, 4, 1, 2, 3, 5]),
        (1, 1, &[0, 0, 255]),
        (9, 1, &[5, 4, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (0, 0, &[]),
    ] {
        let problem = refused(channels, family, table);
        assert!(matches!(problem, Some(Problem::Malformed { .. })), "{channels} {table:?}: {problem:?}");
    }
    for (channels, family, table) in [(4, 2, &[4, 0][..]), (2, 255, &[2, 0, 0, 1]), (2, 1, &[200, 0, 0, 1])] {
        let problem = refused(channels, family, table);
        assert!(matches!(problem, Some(Problem::Unsupported(_))), "{channels} {table:?}: {problem:?}");
    }
    assert!(refused(8, 1, &[5, 3, 0, 6, 1, 2, 3, 4, 5, 7]).is_none());
}
