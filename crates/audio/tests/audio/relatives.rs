//! W64, caf, aiff and au give the samples of the same wav.

use unbraid_audio::{AudioReader, Notice, Problem, ReadOptions};

use crate::common::*;

const SAMPLES: [[f64; 2]; 3] = [[0.5, -0.25], [-1.0, 0.984_375], [0.0, 0.125]];

/// The test's samples. Every encoding here represents them exactly.
fn data(encode: &dyn Fn(f64) -> Vec<u8>) -> Vec<u8> {
    SAMPLES.as_flattened().iter().flat_map(|&sample| encode(sample)).collect()
}

fn integer(bits: u32, sample: f64) -> i32 {
    (sample * f64::from(1_u32 << (bits - 1))) as i32
}

fn assert_samples(bytes: &[u8], format: &str, notices: &[Notice]) {
    let source = Box::new(std::io::Cursor::new(bytes.to_vec()));
    let mut reader = AudioReader::from_source(source, None, 44_100, ReadOptions::COMPLETE).unwrap();
    assert_eq!((reader.source().format, reader.source().channels), (format, 2));
    let [left, right] = reader.read(usize::MAX).unwrap();
    let expected = SAMPLES.map(|[left, right]| (left as f32, right as f32));
    let found: Vec<_> = left.into_iter().zip(right).collect();
    assert_eq!(found, expected, "{format}");
    assert_eq!(reader.notices(), notices, "{format}");
}

fn caf(codec: &[u8; 4], flags: u32, bits: u32, size: u64, data: &[u8]) -> Vec<u8> {
    let numbers = [flags, 2 * bits / 8, 1, 2, bits].map(u32::to_be_bytes).concat();
    let mut bytes = b"caff\0\x01\0\0desc\0\0\0\0\0\0\0\x20".to_vec();
    bytes.extend(44_100_f64.to_be_bytes());
    bytes.extend([codec.as_slice(), &numbers, b"free\0\0\0\0\0\0\0\x03abcdata"].concat());
    bytes.extend([&size.to_be_bytes(), [0; 4].as_slice(), data].concat());
    bytes
}

#[test]
fn a_caf_holds_samples_in_either_order() {
    let encodings: [(u32, u32, Vec<u8>); 9] = [
        (0, 8, data(&|x| vec![integer(8, x) as u8])),
        (0, 16, data(&|x| integer(16, x).to_be_bytes()[2..].to_vec())),
        (2, 16, data(&|x| integer(16, x).to_le_bytes()[..2].to_vec())),
        (0, 24, data(&|x| integer(24, x).to_be_bytes()[1..].to_vec())),
        (2, 24, data(&|x| integer(24, x).to_le_bytes()[..3].to_vec())),
        (0, 32, data(&|x| integer(32, x).to_be_bytes().to_vec())),
        (1, 32, data(&|x| (x as f32).to_be_bytes().to_vec())),
        (3, 32, data(&|x| (x as f32).to_le_bytes().to_vec())),
        (1, 64, data(&|x| x.to_be_bytes().to_vec())),
    ];
    for (flags, bits, data) in encodings {
        let size = data.len() as u64 + 4;
        assert_samples(&caf(b"lpcm", flags, bits, size, &data), "caf", &[]);
        assert_samples(&caf(b"lpcm", flags, bits, u64::MAX, &data), "caf", &[Notice::LengthNotStated]);
        let cut = read_bytes(&caf(b"lpcm", flags, bits, size + 16, &data), 44_100).unwrap_err();
        assert!(matches!(cut.problem, Problem::Truncated(_)), "{cut}");
    }
    let other = read_bytes(&caf(b"ima4", 0, 16, 28, &[0; 24]), 44_100).unwrap_err();
    assert_eq!(other.to_string(), "a caf file with IMA ADPCM inside cannot be read");
}

#[test]
fn a_w64_is_a_wav_with_long_names_and_sizes() {
    const END: &[u8; 12] = b"\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a";
    let data = data(&|x| integer(24, x).to_le_bytes()[..3].to_vec());
    let file = |audio: u64, after: &[u8]| {
        let total = (24 + 16 + 40 + 24 + data.len() + after.len()) as u64;
        let format = &wav(1, 2, 44_100, 24, &[])[20..36];
        [
            b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0".as_slice(),
            &total.to_le_bytes(),
            b"wave",
            END,
            b"fmt ",
            END,
            &40_u64.to_le_bytes(),
            format,
            b"data",
            END,
            &audio.to_le_bytes(),
            &data,
            after,
        ]
        .concat()
    };
    let size = 24 + data.len() as u64;
    assert_samples(&file(size, b""), "w64", &[]);
    let after = [b"\0\0\0\0\0\0levl".as_slice(), END, &24_u64.to_le_bytes()].concat();
    assert_samples(&file(size, &after), "w64", &[]);
    for unknown in [0, 24, u64::MAX, i64::MAX as u64] {
        assert_samples(&file(unknown, b""), "w64", &[Notice::LengthNotStated]);
    }
    let whole = file(size, b"");
    let cut = read_bytes(&whole[..whole.len() - 2], 44_100).unwrap_err();
    assert!(matches!(cut.problem, Problem::Truncated(_)), "{cut}");
}

fn aiff(codec: Option<&[u8; 4]>, bits: u16, sizes: Option<u32>, data: &[u8]) -> Vec<u8> {
    let form = if codec.is_some() { b"AIFC" } else { b"AIFF" };
    let rate = [0x400e_u16.to_be_bytes(), 0xac44_u16.to_be_bytes(), [0; 2], [0; 2], [0; 2]].concat();
    let name = codec.map_or_else(Vec::new, |codec| [codec.as_slice(), &[0, 0]].concat());
    let common = [&[0, 2, 0, 0, 0, 3][..], &bits.to_be_bytes(), &rate, &name].concat();
    let sound = sizes.unwrap_or(data.len() as u32 + 8).to_be_bytes();
    let rest =
        [form, &b"COMM"[..], &(common.len() as u32).to_be_bytes(), &common, b"SSND", &sound, &[0; 8], data]
            .concat();
    [b"FORM".as_slice(), &sizes.unwrap_or(rest.len() as u32).to_be_bytes(), &rest].concat()
}

#[test]
fn an_aiff_holds_samples_by_the_name_of_its_codec() {
    type Encoding<'a> = (Option<&'a [u8; 4]>, u16, Vec<u8>);
    let encodings: [Encoding<'_>; 9] = [
        (None, 8, data(&|x| vec![integer(8, x) as u8])),
        (None, 16, data(&|x| integer(16, x).to_be_bytes()[2..].to_vec())),
        (Some(b"twos"), 16, data(&|x| integer(16, x).to_be_bytes()[2..].to_vec())),
        (Some(b"sowt"), 16, data(&|x| integer(16, x).to_le_bytes()[..2].to_vec())),
        (Some(b"raw "), 8, data(&|x| vec![(integer(8, x) + 128) as u8])),
        (Some(b"in24"), 24, data(&|x| integer(24, x).to_be_bytes()[1..].to_vec())),
        (Some(b"23ni"), 32, data(&|x| integer(32, x).to_le_bytes().to_vec())),
        (Some(b"fl32"), 32, data(&|x| (x as f32).to_be_bytes().to_vec())),
        (Some(b"FL64"), 64, data(&|x| x.to_be_bytes().to_vec())),
    ];
    for (codec, bits, data) in encodings {
        assert_samples(&aiff(codec, bits, None, &data), "aiff", &[]);
        // What ffmpeg, sox and others write to a pipe.
        for unknown in [0, 0x7f00_0008, u32::MAX] {
            let bytes = aiff(codec, bits, Some(unknown), &data);
            assert_samples(&bytes, "aiff", &[Notice::LengthNotStated]);
        }
    }
    let other = read_bytes(&aiff(Some(b"MAC3"), 16, None, &[0; 12]), 44_100).unwrap_err();
    assert_eq!(other.to_string(), "an aiff file with MACE inside cannot be read");
}

#[test]
fn an_au_holds_samples_by_the_number_of_its_encoding() {
    let encodings: [(u32, Vec<u8>); 5] = [
        (2, data(&|x| vec![integer(8, x) as u8])),
        (3, data(&|x| integer(16, x).to_be_bytes()[2..].to_vec())),
        (4, data(&|x| integer(24, x).to_be_bytes()[1..].to_vec())),
        (6, data(&|x| (x as f32).to_be_bytes().to_vec())),
        (7, data(&|x| x.to_be_bytes().to_vec())),
    ];
    for (encoding, data) in encodings {
        let file = |size: u32| {
            let numbers = [28, size, encoding, 44_100, 2].map(u32::to_be_bytes).concat();
            [b".snd".as_slice(), &numbers, b"info", &data].concat()
        };
        assert_samples(&file(data.len() as u32), "au", &[]);
        assert_samples(&file(u32::MAX), "au", &[Notice::LengthNotStated]);
        let cut = read_bytes(&file(data.len() as u32 + 1), 44_100).unwrap_err();
        assert!(matches!(cut.problem, Problem::Truncated(_)), "{cut}");
    }
}
