//! W64, caf, aiff and au give the samples of the same wav.

use unbraid_audio::{AudioReader, Notice, Problem, ReadOptions, read_segment};

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

/// The end of the names of a w64's chunks.
const W64_END: &[u8; 12] = b"\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a";

/// A w64 of 24-bit stereo whose audio chunk states the size `audio`.
fn w64(audio: u64, data: &[u8], after: &[u8]) -> Vec<u8> {
    let total = (24 + 16 + 40 + 24 + data.len() + after.len()) as u64;
    let format = &wav(1, 2, 44_100, 24, &[])[20..36];
    let head = [b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0".as_slice(), &total.to_le_bytes()];
    let format = [b"wave", W64_END.as_slice(), b"fmt ", W64_END, &40_u64.to_le_bytes(), format];
    let audio = [b"data", W64_END.as_slice(), &audio.to_le_bytes(), data, after];
    [head.concat(), format.concat(), audio.concat()].concat()
}

/// A file of each format, for tests of damage.
pub(crate) fn one_of_each() -> [(&'static str, Vec<u8>); 5] {
    let data = [7; 4_200];
    let au = [b".snd".as_slice(), &[24, 4_200, 3, 44_100, 2].map(u32::to_be_bytes).concat(), &data].concat();
    [
        ("caf", caf(b"lpcm", 2, 16, 4_204, &data)),
        ("w64", w64(4_224, &data, &[])),
        ("aiff", aiff(None, 16, None, &data)),
        ("aiff-c", aiff(Some(b"sowt"), 16, None, &data)),
        ("au", au),
    ]
}

#[test]
fn a_w64_is_a_wav_with_long_names_and_sizes() {
    let data = data(&|x| integer(24, x).to_le_bytes()[..3].to_vec());
    let file = |audio: u64, after: &[u8]| w64(audio, &data, after);
    let size = 24 + data.len() as u64;
    assert_samples(&file(size, b""), "w64", &[]);
    let after = [b"\0\0\0\0\0\0levl".as_slice(), W64_END, &24_u64.to_le_bytes()].concat();
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

/// A caf with the codec, the packets and the frames of an m4a of the fixtures.
fn caf_of(
    name: &str,
    codec: &[u8; 4],
    cookie: fn(&[u8]) -> Vec<u8>,
    table: [u32; 4],
    packet_frames: u32,
) -> Vec<u8> {
    let m4a = std::fs::read(fixture(name)).unwrap();
    let at = |name: &[u8]| m4a.windows(4).position(|four| four == name).unwrap();
    let number = |at: usize| u32::from_be_bytes(m4a[at..at + 4].try_into().unwrap());
    let sizes_at = at(b"stsz") + 12;
    let sizes: Vec<u32> = (0..number(sizes_at) as usize).map(|n| number(sizes_at + 4 + 4 * n)).collect();
    let data = &m4a[at(b"mdat") + 4..][..sizes.iter().sum::<u32>() as usize];
    let sizes = sizes.iter().flat_map(|&size| [(size >> 7) as u8 | 0x80, size as u8 & 0x7f]);
    let table = [table.map(u32::to_be_bytes).concat(), sizes.collect()].concat();
    let chunk = |name: &[u8; 4], content: &[u8]| {
        [name.as_slice(), &(content.len() as u64).to_be_bytes(), content].concat()
    };
    let numbers = [0, 0, packet_frames, 2, 0].map(u32::to_be_bytes).concat();
    let description = [&44_100_f64.to_be_bytes(), codec.as_slice(), &numbers].concat();
    let head = [b"caff\0\x01\0\0".to_vec(), chunk(b"desc", &description), chunk(b"kuki", &cookie(&m4a))];
    let count = (table.len() as u64 - 16) / 2;
    let table = [&count.to_be_bytes()[..], &table].concat();
    [head.concat(), chunk(b"pakt", &table), chunk(b"data", &[&[0; 4], data].concat())].concat()
}

#[test]
fn a_caf_holds_what_an_m4a_holds() {
    // The frames of the song, of the encoder's delay and of the padding. The number of frames has 64 bits.
    let aac = caf_of(
        "aac.m4a",
        b"aac ",
        |m4a| {
            let at = m4a.windows(4).position(|four| four == b"esds").unwrap();
            let size = u32::from_be_bytes(m4a[at - 4..at].try_into().unwrap()) as usize;
            m4a[at + 8..at - 4 + size].to_vec()
        },
        [0, 22_050, 1024, 478],
        1024,
    );
    // Some programs write the frames of full packets, although the last one is shorter.
    let alac = caf_of(
        "alac.m4a",
        b"alac",
        |m4a| {
            let at = m4a.windows(4).rposition(|four| four == b"alac").unwrap();
            m4a[at + 8..at + 32].to_vec()
        },
        [0, 8_192, 0, 0],
        4096,
    );
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [("aac.m4a", aac), ("alac.m4a", alac)] {
        let path = folder.path().join("song.caf");
        std::fs::write(&path, &bytes).unwrap();
        let whole = read_all(&fixture(name), 44_100).unwrap();
        let reader = AudioReader::open(&path, 44_100, ReadOptions::COMPLETE).unwrap();
        assert_eq!(reader.frames(), Some(whole[0].len() as u64), "{name}");
        assert!(read_all(&path, 44_100).unwrap() == whole, "{name}");
        for start in [0, 1, 3_000, 4_100] {
            let segment = read_segment(&path, start as u64, 300, 44_100).unwrap();
            assert!(
                segment == whole.each_ref().map(|channel| channel[start..start + 300].to_vec()),
                "{start}"
            );
        }
        for cut in [bytes.len() - 1, bytes.len() / 2, 60] {
            let error = read_bytes(&bytes[..cut], 44_100).unwrap_err();
            assert!(matches!(error.problem, Problem::Truncated(_)), "{name} cut to {cut}: {error}");
        }
    }
}
