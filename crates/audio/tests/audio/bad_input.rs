//! Every bad file is refused with its reason, and none causes a panic.

use std::path::Path;

use unbraid_audio::{AudioReader, Problem, ReadOptions, read_segment};

use crate::boxes::{adts, bytes_of, matroska, packets};
use crate::common::*;

const FIXTURES: [&str; 8] =
    ["tagged.mp3", "untagged.mp3", "mono22.mp3", "tone.ogg", "aac.m4a", "alac.m4a", "tone.flac", "tone.aiff"];

fn adts_file() -> Vec<u8> {
    adts(&packets(&bytes_of("aac.m4a")))
}

fn matroska_file() -> Vec<u8> {
    let packets = packets(&bytes_of("aac.m4a"));
    let block = |packet: &Vec<u8>| [&[0x81, 0, 0, 0x80], packet.as_slice()].concat();
    matroska(b"A_AAC", &[0x12, 0x10], &packets.iter().map(block).collect::<Vec<_>>())
}

fn problem(bytes: &[u8]) -> Problem {
    match read_bytes(bytes, 44_100) {
        Ok(block) => panic!("{} frames came out of a bad file", block[0].len()),
        Err(error) => error.problem,
    }
}

macro_rules! assert_problem {
    ($bytes:expr, $pattern:pat $(if $guard:expr)?, $($context:tt)+) => {{
        let problem = problem($bytes);
        assert!(matches!(problem, $pattern $(if $guard)?), "{}: {problem:?}", format_args!($($context)+));
    }};
}

#[test]
fn a_path_that_is_no_file_is_named_in_the_error() {
    let missing =
        AudioReader::open(Path::new("/no/such/song.wav"), 44_100, ReadOptions::COMPLETE).err().unwrap();
    assert!(matches!(missing.problem, Problem::Open(_)));
    assert!(missing.to_string().starts_with("/no/such/song.wav: cannot open it"), "{missing}");
    let folder = tempfile::tempdir().unwrap();
    let error = AudioReader::open(folder.path(), 44_100, ReadOptions::COMPLETE).err().unwrap();
    assert!(matches!(error.problem, Problem::NotAFile), "{error}");
    let error = read_segment(Path::new("/no/such/song.wav"), 0, 10, 44_100).unwrap_err();
    assert!(matches!(error.problem, Problem::Open(_)), "{error}");
}

#[test]
fn data_that_is_no_audio_is_refused() {
    assert_problem!(b"", Problem::Empty, "empty");
    let folder = tempfile::tempdir().unwrap();
    let prose = "This is a letter and not a song. ".repeat(5_000);
    for name in ["letter.wav", "letter.mp3", "letter.flac", "letter.m4a"] {
        let path = folder.path().join(name);
        std::fs::write(&path, &prose).unwrap();
        let error = AudioReader::open(&path, 44_100, ReadOptions::COMPLETE).err().unwrap();
        assert!(matches!(error.problem, Problem::NotAudio("a text")), "{error}");
    }
    assert_problem!(b"RIFF\0\0\0\0AVI LIST", Problem::OtherFormat("AVI video"), "a film");
    assert_problem!(&[0x80; 5000], Problem::UnknownFormat, "unknown bytes");
    assert_problem!(b"x", Problem::UnknownFormat, "one byte");
}

#[test]
fn a_file_cut_at_any_byte_is_truncated() {
    for name in FIXTURES {
        let bytes = bytes_of(name);
        for cut in (12..bytes.len()).step_by(bytes.len() / 60).chain(bytes.len() - 8..bytes.len()) {
            // Without a tag that states their number, missing complete frames of an mp3 cannot be detected.
            if name == "untagged.mp3" && bytes[cut..].starts_with(b"\xff\xfb") {
                continue;
            }
            assert_problem!(
                &bytes[..cut],
                Problem::Truncated(_),
                "{name} cut to {cut} of {} bytes",
                bytes.len()
            );
        }
    }
    let mkv = matroska_file();
    for cut in (500..mkv.len()).step_by(53) {
        // Without sizes, a cut between two elements cannot be detected.
        if ![0x1f, 0xe7, 0xa3].contains(&mkv[cut]) {
            assert_problem!(&mkv[..cut], Problem::Truncated(_), "mkv cut to {cut}");
        }
    }
    let whole = wav(1, 2, 44_100, 16, &[0; 4_000]);
    for cut in 12..whole.len() {
        assert_problem!(&whole[..cut], Problem::Truncated(_), "wav cut to {cut}");
    }
}

#[test]
fn an_mp3_cut_in_the_middle_fails_on_opening() {
    for name in ["tagged.mp3", "untagged.mp3", "mono22.mp3"] {
        let bytes = bytes_of(name);
        let half = bytes[..bytes.len() / 2].to_vec();
        let error = AudioReader::from_source(
            Box::new(std::io::Cursor::new(half)),
            None,
            44_100,
            ReadOptions::COMPLETE,
        )
        .err()
        .unwrap();
        assert!(matches!(error.problem, Problem::Truncated(_)), "{name}: {error}");
        assert!(error.to_string().starts_with("the file is cut short ("), "{error}");
    }
}

/// A cut between two pages or two frames leaves none incomplete. It is detected on opening.
#[test]
fn a_file_cut_between_pages_or_frames_fails_on_opening() {
    let assert_cut = |bytes: &[u8]| {
        let error = AudioReader::from_source(
            Box::new(std::io::Cursor::new(bytes.to_vec())),
            None,
            44_100,
            ReadOptions::COMPLETE,
        )
        .err();
        let problem = error.expect("a cut file must not open").problem;
        assert!(matches!(problem, Problem::Truncated(_)), "cut to {}: {problem}", bytes.len());
    };
    let starts_of = |bytes: &[u8], marker: &[u8]| -> Vec<usize> {
        (1..bytes.len()).filter(|&at| bytes[at..].starts_with(marker)).collect()
    };
    let ogg = bytes_of("tone.ogg");
    for cut in starts_of(&ogg, b"OggS") {
        assert_cut(&ogg[..cut]);
    }
    let mp3 = bytes_of("tagged.mp3");
    let frames = starts_of(&mp3, b"\xff\xfb");
    // One frame less than the tag states is accepted, because some encoders count the tag's own frame.
    for &cut in &frames[..frames.len() - 1] {
        assert_cut(&mp3[..cut]);
    }
}

#[test]
fn a_file_without_samples_is_refused() {
    assert_problem!(&wav(1, 2, 44_100, 16, &[]), Problem::NoAudio, "wav");
    // Half a frame.
    assert_problem!(&wav(1, 2, 44_100, 16, &[0; 3]), Problem::NoAudio, "wav");
    let mut aiff = bytes_of("tone.aiff");
    aiff.truncate(54);
    let at = |name: &[u8]| bytes_of("tone.aiff").windows(4).position(|four| four == name).unwrap();
    let form = aiff.len() as u32 - 8;
    aiff[4..8].copy_from_slice(&form.to_be_bytes());
    let ssnd = at(b"SSND");
    assert_eq!(ssnd, 38);
    aiff[ssnd + 4..ssnd + 8].copy_from_slice(&8_u32.to_be_bytes());
    assert_problem!(&aiff, Problem::NoAudio, "aiff");
}

#[test]
fn samples_that_are_not_finite_are_refused_with_their_time() {
    for (value, at) in [(f32::NAN, 0), (f32::INFINITY, 11_025), (f32::NEG_INFINITY, 44_099), (1e30, 22_050)] {
        let mut signal = sweeps(44_100, 44_100);
        signal[1][at] = value;
        let bytes = wav(3, 2, 44_100, 32, &float_data(&signal));
        for rate in [44_100, 48_000] {
            let problem = read_bytes(&bytes, rate).unwrap_err().problem;
            let expected = at as f64 / 44_100.0;
            assert!(matches!(problem, Problem::NonFinite { seconds } if seconds == expected), "{problem}");
        }
    }
}

#[test]
fn impossible_headers_are_refused_before_memory_is_allocated() {
    for rate in [0, 999, 384_001, u32::MAX] {
        assert_problem!(&wav(1, 2, rate, 16, &[0; 400]), Problem::SampleRate(r) if r == rate, "{rate} Hz");
    }
    assert_problem!(&wav(1, 0, 44_100, 16, &[0; 400]), Problem::Malformed { .. }, "no channels");
    assert_problem!(&wav(1, 2, 44_100, 0, &[0; 400]), Problem::Malformed { .. }, "no bits");
    assert_problem!(&wav(3, 2, 44_100, 16, &[0; 400]), Problem::Unsupported(_), "floats of 16 bits");
    for declared in [401, 0x1234_5678, 0xc000_0000] {
        let lying = wav_declaring(1, 2, 44_100, 16, declared, &[0; 400]);
        assert_problem!(&lying, Problem::Truncated(_), "{declared} bytes announced");
    }
    // A chunk before the audio that announces 4 GiB.
    let mut chunk = wav(1, 2, 44_100, 16, &[0; 400]);
    chunk[36..44].copy_from_slice(b"LIST\xff\xff\xff\xff");
    assert_problem!(&chunk, Problem::Truncated(_), "a chunk of 4 GiB");
    // A wrong size in one box of an m4a.
    let m4a = bytes_of("alac.m4a");
    for name in [b"moov", b"trak", b"mdia", b"stsz", b"stco", b"stts", b"elst", b"mdat"] {
        let at = m4a.windows(4).position(|four| four == name).unwrap();
        for size in [0xffff_ffff_u32, 0x7fff_ffff, 2] {
            let mut lying = m4a.clone();
            lying[at - 4..at].copy_from_slice(&size.to_be_bytes());
            assert!(read_bytes(&lying, 44_100).is_err(), "{} of {size} bytes", String::from_utf8_lossy(name));
        }
    }
    for rate in [0, 999, 1_000_000] {
        let error = AudioReader::open(&fixture("tone.flac"), rate, ReadOptions::COMPLETE).err().unwrap();
        assert!(matches!(error.problem, Problem::SampleRate(r) if r == rate), "{error}");
    }
}

#[test]
fn a_flac_must_match_its_checksum() {
    let mut bytes = bytes_of("tone.flac");
    // The last byte of the first block's MD5 sum.
    bytes[41] ^= 1;
    assert_problem!(&bytes, Problem::Malformed { .. }, "checksum");
}

/// Changes bytes at random, mostly near the beginning, where the headers are. Reading must return without a panic.
/// Samples that it returns must be finite, and their number must be plausible for the file.
#[test]
fn random_damage_causes_no_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let tone = wav(1, 2, 44_100, 16, &[7; 4_000]);
    let fixtures = FIXTURES.map(|name| (name, bytes_of(name)));
    let others = crate::relatives::one_of_each().into_iter().chain([
        ("wav", tone),
        ("adts", adts_file()),
        ("mkv", matroska_file()),
    ]);
    for (name, good) in fixtures.into_iter().chain(others) {
        for _ in 0..150 {
            let mut bytes = good.clone();
            for _ in 0..=random(4) {
                let reach = if random(3) > 0 { bytes.len().min(600) } else { bytes.len() };
                let at = random(reach);
                bytes[at] = [0, 0xff, 0x7f, random(256) as u8][random(4)];
            }
            let options = [ReadOptions::COMPLETE, ReadOptions::ANY_LENGTH][random(2)];
            let source = Box::new(std::io::Cursor::new(bytes));
            let block = AudioReader::from_source(source, None, 44_100, options);
            if let Ok(block) = block.and_then(|mut reader| reader.read(usize::MAX)) {
                assert!(block.iter().flatten().all(|sample| sample.is_finite()), "{name}");
                assert!(block[0].len() < 100 * 44_100, "{name}: {} frames", block[0].len());
            }
        }
    }
}
