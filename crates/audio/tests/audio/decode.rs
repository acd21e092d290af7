//! Every format decodes to the encoded signal: the same length, without a shift, on both channels, from any frame on.
//!
//! The fixtures hold `common::sweeps`, made with ffmpeg 5.1.9 from
//! `-f lavfi -i "aevalsrc=0.5*sin(2*PI*(200*t+3000*t*t))|0.4*sin(2*PI*(3000*t-2000*t*t)):s=RATE:d=SECONDS"`
//! with `-map_metadata -1 -fflags +bitexact -flags:a +bitexact`, at 44100 Hz, and:
//! - `tagged.mp3`: 0.5 s, `-c:a libmp3lame -b:a 64k -id3v2_version 0`; `untagged.mp3`: also `-write_xing 0`
//! - `mono22.mp3`: 0.5 s at 22050 Hz, `-af "pan=mono|c0=0.5*c0+0.5*c1" -c:a libmp3lame -q:a 4`
//! - `tone.ogg`: 0.5 s, `-c:a libvorbis -q:a 3`; `aac.m4a`: 0.5 s, `-c:a aac -b:a 96k -aac_coder fast -aac_pns 0`
//! - `alac.m4a`: 0.1 s, `-c:a alac -sample_fmt s16p`; `tone.flac`: 0.1 s, `-c:a flac -sample_fmt s16`
//! - `tone.aiff`: 0.05 s, `-c:a pcm_s16be`

use unbraid_audio::{AudioReader, ReadOptions, Stereo, read_segment};

use crate::common::*;

/// Name, format, rate, channels, frames, minimum SNR in dB.
///
/// The SNR of a lossy codec depends on the codec. The bounds are 3 dB below the measured values, and far above the SNR
/// after a shift by one sample. Rounding to 16 bits gives 90 dB at these levels.
const FIXTURES: [(&str, &str, u32, usize, u64, f64); 8] = [
    ("tagged.mp3", "mp3", 44_100, 2, 22_050, 22.0),
    ("untagged.mp3", "mp3", 44_100, 2, 24_192, 22.0),
    ("mono22.mp3", "mp3", 22_050, 1, 11_025, 22.0),
    ("tone.ogg", "ogg (vorbis)", 44_100, 2, 22_050, 20.0),
    ("aac.m4a", "m4a (aac)", 44_100, 2, 22_050, 40.0),
    ("alac.m4a", "m4a (alac)", 44_100, 2, 4_410, 87.0),
    ("tone.flac", "flac", 44_100, 2, 4_410, 87.0),
    ("tone.aiff", "aiff", 44_100, 2, 2_205, 87.0),
];

#[test]
fn every_format_gives_the_encoded_signal() {
    for (name, format, rate, channels, frames, least) in FIXTURES {
        let mut reader = AudioReader::open(&fixture(name), rate, ReadOptions::COMPLETE).unwrap();
        let info = reader.source().clone();
        assert_eq!((info.format, info.sample_rate, info.channels), (format, rate, channels), "{name}");
        assert_eq!((info.frames, reader.frames()), (Some(frames), Some(frames)), "{name}");
        let mut got = reader.read(usize::MAX).unwrap();
        assert_eq!(got.each_ref().map(|channel| channel.len() as u64), [frames; 2], "{name}");
        assert!(reader.read(1).unwrap()[0].is_empty(), "{name}: after the end");
        if name == "untagged.mp3" {
            // This file does not state the encoder's and the decoder's delay of 576 + 529 samples.
            got = got.map(|channel| channel[1105..1105 + 22_050].to_vec());
        }
        let mut reference = sweeps(rate, got[0].len());
        if channels == 1 {
            let mean: Vec<f32> = reference[0].iter().zip(&reference[1]).map(|(l, r)| (l + r) / 2.0).collect();
            reference = [mean.clone(), mean];
            assert_eq!(got[0], got[1], "{name}: mono is on both channels");
        }
        for channel in 0..2 {
            assert_eq!(lag(&reference[channel], &got[channel]), 0, "{name} channel {channel}");
            let snr = snr(&reference[channel], &got[channel]);
            println!("{name} channel {channel}: {snr:.1} dB");
            assert!(snr > least, "{name} channel {channel}: {snr} dB");
        }
    }
}

#[test]
fn a_segment_equals_the_same_part_of_the_whole() {
    for (name, _, source_rate, ..) in FIXTURES {
        for rate in [source_rate, 48_000, 32_000] {
            let path = fixture(name);
            let whole = read_all(&path, rate).unwrap();
            let length = whole[0].len();
            let starts =
                [0, 1, 500, length / 3, length / 2 + 1, length - 900, length - 1, length, length + 5000];
            for start in starts {
                let segment = read_segment(&path, start as u64, 1200, rate).unwrap();
                let range = start.min(length)..(start + 1200).min(length);
                let expected = whole.each_ref().map(|channel| channel[range.clone()].to_vec());
                // Equal bits. The m4a was encoded without noise bands (see `read_segment`).
                assert!(segment == expected, "{name} at {rate} Hz from {start}");
            }
        }
    }
}

#[test]
fn blocks_of_any_size_add_up_to_the_whole() {
    for rate in [44_100, 48_000] {
        let path = fixture("tone.flac");
        let whole = read_all(&path, rate).unwrap();
        for size in [1, 97, 4096] {
            let mut reader = AudioReader::open(&path, rate, ReadOptions::COMPLETE).unwrap();
            let mut joined = Stereo::default();
            loop {
                let block = reader.read(size).unwrap();
                let left = whole[0].len() - joined[0].len();
                assert_eq!(block[0].len(), size.min(left), "fewer frames than requested only at the end");
                if block[0].is_empty() {
                    break;
                }
                joined.iter_mut().zip(block).for_each(|(joined, mut block)| joined.append(&mut block));
            }
            assert!(joined == whole, "blocks of {size} at {rate} Hz");
        }
    }
}

#[test]
fn every_wav_encoding_is_decoded() {
    let left = [0.0, 0.5, -0.25, 0.984_375, -1.0_f64];
    let data = |encode: &dyn Fn(f64) -> Vec<u8>| -> Vec<u8> {
        left.iter().flat_map(|&x| [encode(x), encode(-x / 2.0)].concat()).collect()
    };
    let bytes: [(u16, u16, Vec<u8>); 6] = [
        (1, 8, data(&|x| vec![(x * 128.0 + 128.0) as u8])),
        (1, 16, data(&|x| ((x * 32_768.0) as i16).to_le_bytes().to_vec())),
        (1, 24, data(&|x| ((x * 8_388_608.0) as i32).to_le_bytes()[..3].to_vec())),
        (1, 32, data(&|x| ((x * 2_147_483_648.0) as i32).to_le_bytes().to_vec())),
        (3, 32, data(&|x| (x as f32).to_le_bytes().to_vec())),
        (3, 64, data(&|x| x.to_le_bytes().to_vec())),
    ];
    for (tag, bits, data) in bytes {
        let [l, r] = read_bytes(&wav(tag, 2, 44_100, bits, &data), 44_100).unwrap();
        // Eight bits truncate half of 0.984375. The other encodings represent every value exactly.
        let tolerance = if bits == 8 { 1.0 / 128.0 } else { 0.0 };
        for (n, &x) in left.iter().enumerate() {
            assert!((f64::from(l[n]) - x).abs() <= tolerance, "tag {tag}, {bits} bits: {} for {x}", l[n]);
            assert!(
                (f64::from(r[n]) + x / 2.0).abs() <= tolerance,
                "tag {tag}, {bits} bits: {} for -{x}/2",
                r[n]
            );
        }
        let [l, r] = read_bytes(&wav(tag, 1, 44_100, bits, &data), 44_100).unwrap();
        assert_eq!((l.len(), &l), (10, &r), "mono is on both channels");
    }
}

#[test]
fn unusual_wav_headers_are_accepted() {
    let expected = [vec![0.25, -0.5], vec![0.75, -1.0]];
    let data: Vec<u8> =
        [0.25, 0.75, -0.5, -1.0].iter().flat_map(|x: &f64| ((x * 32_768.0) as i16).to_le_bytes()).collect();
    let plain = wav(1, 2, 44_100, 16, &data);
    assert_eq!(read_bytes(&plain, 44_100).unwrap(), expected);

    // A program that streams wav does not know the length.
    let streamed = wav_declaring(1, 2, 44_100, 16, u32::MAX, &data);
    assert_eq!(read_bytes(&streamed, 44_100).unwrap(), expected);

    // Chunks of other programs before the audio, one of odd size, and after it.
    let mut chunks = plain[..36].to_vec();
    chunks.extend(b"LIST\x03\0\0\0abc\0junk\x02\0\0\0xy");
    chunks.extend(&plain[36..]);
    chunks.extend(b"id3 \x04\0\0\0abcd");
    assert_eq!(read_bytes(&chunks, 44_100).unwrap(), expected);

    // WAVEFORMATEXTENSIBLE: the tag is the beginning of a 16-byte identifier.
    let mut extensible = plain[..12].to_vec();
    extensible.extend(b"fmt \x28\0\0\0\xfe\xff");
    extensible.extend(&plain[22..36]);
    extensible.extend(b"\x16\0\x10\0\x03\0\0\0\x01\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
    extensible.extend(&plain[36..]);
    assert_eq!(read_bytes(&extensible, 44_100).unwrap(), expected);

    // RF64: the sizes are in a chunk of 64-bit numbers.
    let mut long = Vec::from(*b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0");
    long.extend(72_u64.to_le_bytes());
    long.extend((data.len() as u64).to_le_bytes());
    long.extend([0; 12]);
    long.extend(&streamed[12..]);
    long.extend(b"tail");
    assert_eq!(read_bytes(&long, 44_100).unwrap(), expected);
}

#[test]
fn one_sample_is_read_as_one_sample() {
    for (rate, frames) in [(44_100, 1), (88_200, 2), (48_000, 1), (20_000, 0)] {
        let bytes = wav(1, 1, 44_100, 16, &16_384_i16.to_le_bytes());
        let [left, right] = read_bytes(&bytes, rate).unwrap();
        // At 20 kHz its length is less than half a sample.
        assert_eq!((left.len(), right.len()), (frames, frames), "{rate} Hz");
        if rate == 44_100 {
            assert_eq!((left[0], right[0]), (0.5, 0.5));
        }
    }
}

#[test]
fn tags_around_an_mp3_change_nothing() {
    let bytes = std::fs::read(fixture("tagged.mp3")).unwrap();
    let plain = read_bytes(&bytes, 44_100).unwrap();
    let mut tagged = Vec::from(*b"ID3\x04\0\0\0\0\x01\x05");
    // The tag contains bytes that look like the beginning of a frame.
    tagged.extend([b"\xff\xfb\x50\xc4".as_slice(), &[0; 129]].concat());
    tagged.extend(&bytes);
    tagged.extend(b"TAG");
    tagged.extend([b'x'; 125]);
    assert!(read_bytes(&tagged, 44_100).unwrap() == plain);
}

#[test]
fn files_joined_end_to_end_are_read_to_their_end() {
    let bytes = std::fs::read(fixture("tagged.mp3")).unwrap();
    let [left, right] = read_bytes(&bytes, 44_100).unwrap();
    let joined = read_bytes(&[bytes.clone(), bytes].concat(), 44_100).unwrap();
    // Each file is trimmed by its own delay and padding.
    assert!(joined == [[&left[..], &left].concat(), [&right[..], &right].concat()]);
}
