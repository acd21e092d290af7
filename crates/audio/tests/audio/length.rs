//! Wav and its relatives with lengths that are not filled in, wrapped or wrong: nothing is lost in silence.

use std::io::{Seek, SeekFrom, Write};

use unbraid_audio::{AudioError, AudioReader, Notice, Problem, ReadOptions, Stereo, read_segment};

use crate::common::*;

/// The samples of [`data`].
const FRAMES: usize = 1000;

/// The frames of a test file, 16-bit stereo. No part of it looks like a chunk.
fn data() -> Vec<u8> {
    (0..2 * FRAMES as i16).flat_map(|n| (n * 13 + 300).to_le_bytes()).collect()
}

fn open(bytes: &[u8], options: ReadOptions) -> Result<(Stereo, Vec<Notice>), AudioError> {
    let source = Box::new(std::io::Cursor::new(bytes.to_vec()));
    let mut reader = AudioReader::from_source(source, None, 44_100, options)?;
    let frames = reader.frames();
    let samples = reader.read(usize::MAX)?;
    assert_eq!(frames, Some(samples[0].len() as u64));
    Ok((samples, reader.notices().to_vec()))
}

/// The test file with two sizes in its header, and with bytes after the audio.
fn with_sizes(riff: u32, declared: u32, after: &[u8]) -> Vec<u8> {
    let mut bytes = wav_declaring(1, 2, 44_100, 16, declared, &data());
    bytes[4..8].copy_from_slice(&riff.to_le_bytes());
    bytes.extend(after);
    bytes
}

#[test]
fn a_wav_without_a_length_is_read_to_its_end() {
    let size = data().len() as u32;
    let whole = read_bytes(&wav(1, 2, 44_100, 16, &data()), 44_100).unwrap();
    assert_eq!(whole[0].len(), FRAMES);
    let not_filled_in = [
        (0, 0),
        (36, 0),
        (u32::MAX, u32::MAX),
        (0x7fff_f024, 0x7fff_f000),
        (0x7fff_ffff, 0x7fff_ffff),
        (0x8000_0024, 0x8000_0000),
        (u32::MAX, u32::MAX - 36),
        // The size of the whole file is right, and that of the audio is not.
        (size + 36, size + 44),
        (size + 36, size + 1),
        (size + 36, 1 << 30),
        (0, size + 8),
    ];
    for (riff, declared) in not_filled_in {
        let (samples, notices) = open(&with_sizes(riff, declared, b""), ReadOptions::COMPLETE).unwrap();
        assert!(samples == whole, "{riff:x} {declared:x}");
        assert_eq!(notices, [Notice::LengthNotStated], "{riff:x} {declared:x}");
    }
    // An incomplete frame at the end is left out.
    let (samples, _) = open(&with_sizes(0, 0, b"xyz"), ReadOptions::COMPLETE).unwrap();
    assert!(samples == whole);
}

#[test]
fn a_wav_that_is_cut_short_says_how_much_is_missing() {
    let stated = data().len() as u32 + 4 * 22_050;
    let cut = with_sizes(stated + 36, stated, b"");
    let problem = open(&cut, ReadOptions::COMPLETE).unwrap_err().problem;
    assert_eq!(
        problem.to_string(),
        "the file is cut short (its header announces 92200 bytes of audio, but it holds 4000)"
    );
    let (samples, notices) = open(&cut, ReadOptions::NEARLY_COMPLETE).unwrap();
    assert_eq!(samples[0].len(), FRAMES);
    let at = FRAMES as f64 / 44_100.0;
    let detail = "the file is cut short".to_owned();
    assert_eq!(notices, [Notice::Missing { at, seconds: 0.5, detail }]);
    let more = with_sizes(stated + 400_000, stated + 399_964, b"");
    assert!(
        matches!(open(&more, ReadOptions::NEARLY_COMPLETE), Err(e) if matches!(e.problem, Problem::Truncated(_)))
    );
    assert_eq!(open(&more, ReadOptions::ANY_LENGTH).unwrap().0[0].len(), FRAMES);
}

#[test]
fn what_follows_the_audio_is_known_or_reported() {
    let size = data().len() as u32;
    let whole = read_bytes(&wav(1, 2, 44_100, 16, &data()), 44_100).unwrap();
    let tag = [b"TAG".as_slice(), &[b'x'; 125]].concat();
    let harmless: [&[u8]; 6] =
        [b"LIST\x04\0\0\0abcd", b"\0id3 \x02\0\0\0ab", &tag, &[0; 5000], b"1234567", b"ID3\x04\0\0\0\0\0\0"];
    for after in harmless {
        let (samples, notices) = open(&with_sizes(size + 36, size, after), ReadOptions::COMPLETE).unwrap();
        assert!(samples == whole && notices.is_empty(), "{after:?}: {notices:?}");
    }
    // A recorder that lost power: the header has the length of the first part only.
    let half = with_sizes(size / 2 + 36, size / 2, b"");
    let problem = open(&half, ReadOptions::COMPLETE).unwrap_err().problem;
    assert!(
        matches!(problem, Problem::Malformed { seconds, .. } if seconds == 500.0 / 44_100.0),
        "{problem}"
    );
    let (samples, notices) = open(&half, ReadOptions::NEARLY_COMPLETE).unwrap();
    assert_eq!(samples[0], whole[0][..FRAMES / 2]);
    assert!(matches!(notices[..], [Notice::Missing { seconds, .. }] if seconds == 500.0 / 44_100.0));
    // A length of 0 with chunks after it is true.
    let mut empty = wav(1, 2, 44_100, 16, b"");
    empty.extend(b"LIST\x04\0\0\0abcd");
    assert!(matches!(open(&empty, ReadOptions::COMPLETE), Err(e) if matches!(e.problem, Problem::NoAudio)));
}

/// The files are sparse: they take no space on the disk, and only a few bytes are read.
#[test]
fn a_wav_beyond_4_gib_whose_size_wrapped_is_read_whole() {
    const WRAP: u64 = 1 << 32;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.wav");
    for (size, tail) in [
        (WRAP + 4_000_000, &b""[..]),
        (WRAP, b""),
        (2 * WRAP + 400, b"LIST\x04\0\0\0abcd"),
        (WRAP + 8_000_000, b"LIST\x04\0\0\0abcd"),
    ] {
        let mut file = std::fs::File::create(&path).unwrap();
        let header = wav_declaring(1, 2, 44_100, 16, size as u32, &[]);
        file.write_all(&header).unwrap();
        // Audio where the wrapped length would end.
        file.seek(SeekFrom::Start(44 + u64::from(size as u32))).unwrap();
        file.write_all(&[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        let last = 44 + size - 4;
        file.seek(SeekFrom::Start(last)).unwrap();
        file.write_all(&[0, 0x40, 0, 0xc0]).unwrap();
        file.write_all(tail).unwrap();
        drop(file);
        let mut reader = AudioReader::open(&path, 44_100, ReadOptions::COMPLETE).unwrap();
        assert_eq!(reader.frames(), Some(size / 4), "{size}");
        assert_eq!(reader.notices(), [Notice::LengthNotStated]);
        reader.seek(size / 4 - 2).unwrap();
        assert_eq!(reader.read(9).unwrap(), [vec![0.0, 0.5], vec![0.0, -0.5]], "{size}");
    }
    // The same with a length that is right.
    let size = WRAP + 4_000_000;
    let mut file = std::fs::File::create(&path).unwrap();
    let mut header = b"BW64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
    header.extend((size + 72).to_le_bytes());
    header.extend(size.to_le_bytes());
    header.extend([0; 12]);
    header.extend(&wav_declaring(1, 2, 44_100, 16, u32::MAX, &[])[12..]);
    file.write_all(&header).unwrap();
    file.set_len(header.len() as u64 + size).unwrap();
    let reader = AudioReader::open(&path, 44_100, ReadOptions::COMPLETE).unwrap();
    assert_eq!((reader.frames(), reader.notices()), (Some(size / 4), &[][..]));
    assert_eq!(read_segment(&path, size / 4 - 3, 9, 44_100).unwrap()[0], [0.0; 3]);
}

#[test]
fn sizes_of_64_bits_may_be_missing_too() {
    let whole = read_bytes(&wav(1, 2, 44_100, 16, &data()), 44_100).unwrap();
    let size = data().len() as u64;
    for magic in [b"RF64", b"BW64"] {
        for (riff, audio, narrow, notices) in [
            (size + 72, size, u32::MAX, vec![]),
            // The field of 32 bits may hold the size, or nothing.
            (size + 72, size, size as u32, vec![]),
            (size + 72, size, 0, vec![]),
            (0, 0, u32::MAX, vec![Notice::LengthNotStated]),
            (u64::MAX, u64::MAX, u32::MAX, vec![Notice::LengthNotStated]),
            (size + 72, size + 8, u32::MAX, vec![Notice::LengthNotStated]),
        ] {
            let mut bytes = [magic.as_slice(), b"\xff\xff\xff\xffWAVEds64\x1c\0\0\0"].concat();
            bytes.extend(riff.to_le_bytes());
            bytes.extend(audio.to_le_bytes());
            bytes.extend([0; 12]);
            bytes.extend(&wav_declaring(1, 2, 44_100, 16, narrow, &data())[12..]);
            let (samples, found) = open(&bytes, ReadOptions::COMPLETE).unwrap();
            assert!(samples == whole, "{riff} {audio} {narrow}");
            assert_eq!(found, notices, "{riff} {audio} {narrow}");
        }
    }
}

#[test]
fn format_chunks_of_any_size_and_unpadded_chunks_are_accepted() {
    let plain = wav(1, 2, 44_100, 16, &data());
    let whole = read_bytes(&plain, 44_100).unwrap();
    let format = &plain[20..36];
    let extension = b"\x16\0\x10\0\x03\0\0\0\x01\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71";
    let extensible = [b"\xfe\xff", &format[2..], extension].concat();
    for format in [&format[..14], format, &[format, &[0, 0]].concat(), &extensible] {
        for before in [&b""[..], b"LIST\x03\0\0\0abc", b"LIST\x03\0\0\0abc\0", b"junk\x03\0\0\0abcx"] {
            let size = (format.len() as u32).to_le_bytes();
            let bytes = [&plain[..12], before, b"fmt ", &size, format, &plain[36..]].concat();
            let (samples, notices) = open(&bytes, ReadOptions::COMPLETE).unwrap();
            assert!(samples == whole, "{} bytes after {before:?}", format.len());
            assert_eq!(notices, []);
        }
    }
}

#[test]
fn a_codec_that_cannot_be_read_is_named() {
    for (tag, name) in
        [(0x55, "mp3"), (0x2000, "AC-3"), (0x161, "Windows Media audio"), (0x7777, "an unknown codec")]
    {
        let problem = read_bytes(&wav(tag, 2, 44_100, 16, &data()), 44_100).unwrap_err().problem;
        assert_eq!(
            problem.to_string(),
            format!("a wav file with {name} inside (tag 0x{tag:04x}) cannot be read")
        );
    }
}
