//! Mp3 as people have it: joined, tagged, cut, damaged.

use std::io::Cursor;
use std::time::{Duration, Instant};

use unbraid_audio::{AudioReader, Notice, Problem, ReadOptions, Stereo, read_segment};

use crate::common::*;
use crate::tools;

/// Samples and bytes of a frame of `untagged.mp3` without padding, at 64 kbit/s.
const SAMPLES: usize = 1152;

fn bytes_of(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

fn open(bytes: &[u8], options: ReadOptions) -> Result<AudioReader, Problem> {
    let source = Box::new(Cursor::new(bytes.to_vec()));
    let mut reader = AudioReader::from_source(source, Some("mp3"), 44_100, options).map_err(|e| e.problem)?;
    let rate = reader.source().sample_rate;
    if rate != 44_100 {
        let source = Box::new(Cursor::new(bytes.to_vec()));
        reader = AudioReader::from_source(source, Some("mp3"), rate, options).map_err(|e| e.problem)?;
    }
    Ok(reader)
}

/// All samples at the file's own rate, and the notices.
fn read(bytes: &[u8], options: ReadOptions) -> (Stereo, Vec<Notice>) {
    let mut reader = open(bytes, options).unwrap();
    let stated = reader.frames();
    let block = reader.read(usize::MAX).unwrap();
    assert_eq!(stated, Some(block[0].len() as u64), "the stated length is the length that is read");
    (block, reader.notices().to_vec())
}

fn complete(bytes: &[u8]) -> Stereo {
    let (block, notices) = read(bytes, ReadOptions::COMPLETE);
    assert_eq!(notices, []);
    block
}

fn refused(bytes: &[u8]) -> Problem {
    match open(bytes, ReadOptions::COMPLETE) {
        Ok(mut reader) => reader.read(usize::MAX).expect_err("it must be refused").problem,
        Err(problem) => problem,
    }
}

fn concat(parts: &[&Stereo]) -> Stereo {
    [0, 1].map(|channel| parts.iter().flat_map(|part| part[channel].iter().copied()).collect())
}

fn id3v2(content: &[u8], stated: usize) -> Vec<u8> {
    let size = [21, 14, 7, 0].map(|shift| (stated >> shift & 0x7f) as u8);
    [b"ID3\x03\0\0".as_slice(), &size, content].concat()
}

/// Bytes of a cover. They contain single headers of the stream, which no other header follows.
fn cover(length: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(length)
    .collect();
    for at in (50..length.saturating_sub(4)).step_by(997) {
        bytes[at..at + 4].copy_from_slice(b"\xff\xfb\x50\xc4");
    }
    bytes
}

/// The positions of the frames of a fixture of 64 kbit/s, 44.1 kHz.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut at = 0;
    let mut found = Vec::new();
    while at + 4 <= bytes.len() {
        assert_eq!(bytes[at..at + 2], [0xff, 0xfb]);
        found.push(at);
        at += 208 + usize::from(bytes[at + 2] >> 1 & 1);
    }
    found
}

#[test]
fn a_change_of_rate_and_channels_is_decoded_whole() {
    let (stereo, mono) = (bytes_of("untagged.mp3"), bytes_of("mono22.mp3"));
    let joined = [stereo.clone(), mono.clone()].concat();
    let (got, notices) = read(&joined, ReadOptions::COMPLETE);
    let whole = complete(&stereo);
    let at = whole[0].len() as f64 / 44_100.0;
    assert_eq!(notices, [Notice::RateChange { at, from: 44_100, to: 22_050 }]);
    assert!(got == concat(&[&whole, &read_bytes(&mono, 44_100).unwrap()]));

    let joined = [mono.clone(), stereo.clone()].concat();
    let (got, notices) = read(&joined, ReadOptions::COMPLETE);
    assert_eq!(notices, [Notice::RateChange { at: 0.5, from: 22_050, to: 44_100 }]);
    assert!(got == concat(&[&complete(&mono), &read_bytes(&stereo, 22_050).unwrap()]));
    let reader = open(&joined, ReadOptions::COMPLETE).unwrap();
    assert_eq!((reader.source().sample_rate, reader.source().channels), (22_050, 2));

    // A segment from any part equals the whole.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("joined.mp3");
    std::fs::write(&path, &joined).unwrap();
    for rate in [22_050, 44_100, 48_000] {
        let whole = read_all(&path, rate).unwrap();
        let length = whole[0].len();
        for start in [0, 5000, length / 2 - 1, length / 2 + 1, length - 3000, length - 1, length] {
            let segment = read_segment(&path, start as u64, 2000, rate).unwrap();
            let range = start..(start + 2000).min(length);
            assert!(
                segment == whole.each_ref().map(|channel| channel[range.clone()].to_vec()),
                "{rate} {start}"
            );
        }
    }
}

#[test]
fn mono_that_turns_to_stereo_is_decoded_whole() {
    // Frames without side information are silent. 128 kbit/s, mono, and the same with a checksum.
    for header in [b"\xff\xfb\x90\xc0", b"\xff\xfa\x90\xc0"] {
        let silent = [header.as_slice(), &[0; 413]].concat().repeat(10);
        let stereo = bytes_of("untagged.mp3");
        let silence: Stereo = [vec![0.0; 10 * SAMPLES], vec![0.0; 10 * SAMPLES]];
        assert!(complete(&silent) == silence);
        assert!(complete(&[silent, stereo.clone()].concat()) == concat(&[&silence, &complete(&stereo)]));
    }
}

#[test]
fn joined_files_with_tags_and_covers_are_trimmed_each() {
    let song = bytes_of("tagged.mp3");
    let tags =
        [id3v2(&cover(30_000), 30_000), song.clone(), [b"TAG".as_slice(), &[b'x'; 125]].concat()].concat();
    let one = complete(&song);
    assert_eq!(one[0].len(), 22_050);
    assert!(complete(&tags) == one);
    assert!(complete(&[tags.clone(), tags.clone(), tags].concat()) == concat(&[&one, &one, &one]));
    // The first is cut: its missing end is reported with its time.
    let cut = &song[..frames(&song)[15] + 50];
    let (got, notices) = read(&[cut, &song].concat(), ReadOptions::ANY_LENGTH);
    let [Notice::Missing { at, .. }, ..] = &notices[..] else { panic!("{notices:?}") };
    assert!((at - (14.0 * 1152.0 - 1105.0) / 44_100.0).abs() < 0.03, "{notices:?}");
    assert!(got[0].ends_with(&one[0]));
    assert!(matches!(refused(&[cut, &song].concat()), Problem::Truncated(_) | Problem::Malformed { .. }));
}

#[test]
fn tags_at_the_end_are_no_audio() {
    let song = bytes_of("untagged.mp3");
    let plain = complete(&song);
    let id3v1 = [b"TAG".as_slice(), &[b'x'; 125]].concat();
    let ape_part = |size: usize, flags: u32| {
        let fields = [2000, size as u32, 1, flags].map(u32::to_le_bytes).concat();
        [b"APETAGEX".as_slice(), &fields, &[0; 8]].concat()
    };
    let value = cover(3000);
    let item = [&(value.len() as u32).to_le_bytes()[..], &[0; 4], b"Cover\0", &value].concat();
    let size = item.len() + 32;
    let ape = [ape_part(size, 0xa000_0000), item.clone(), ape_part(size, 0x8000_0000)].concat();
    let ape_without_header = [item, ape_part(size, 0)].concat();
    let text = "LYR00123la la la".repeat(40);
    let lyrics = format!("LYRICSBEGIN{text}{:06}LYRICS200", text.len() + 11).into_bytes();
    let old_lyrics = format!("LYRICSBEGIN{text}LYRICSEND").into_bytes();
    let id3v24 = {
        let mut tag = id3v2(&cover(2000), 2000);
        tag[3] = 4;
        tag[5] = 0x10;
        let footer = [b"3DI".as_slice(), &tag[3..10]].concat();
        [tag, footer].concat()
    };
    let zeros = vec![0; 5000];
    for (name, tags) in [
        ("id3v1", vec![&id3v1]),
        ("ape", vec![&ape]),
        ("ape without header", vec![&ape_without_header]),
        ("ape and id3v1", vec![&ape_without_header, &id3v1]),
        ("lyrics and id3v1", vec![&lyrics, &id3v1]),
        ("old lyrics and id3v1", vec![&old_lyrics, &id3v1]),
        ("id3v2.4", vec![&id3v24]),
        ("all", vec![&ape, &lyrics, &id3v24, &ape_without_header, &id3v1]),
        ("zeros", vec![&zeros]),
    ] {
        let tags: Vec<u8> = tags.into_iter().flatten().copied().collect();
        assert!(complete(&[song.clone(), tags].concat()) == plain, "{name}");
    }
}

#[test]
fn data_before_the_first_frame_are_no_audio() {
    let song = bytes_of("untagged.mp3");
    let plain = complete(&song);
    for zeros in [100, 100_000, 3_000_000] {
        assert!(complete(&[id3v2(&[0; 10], 10), vec![0; zeros], song.clone()].concat()) == plain, "{zeros}");
        assert!(complete(&[vec![0; zeros], song.clone()].concat()) == plain, "{zeros} without tag");
    }
    // A stated size of the tag that is too small, too large, and beyond the end.
    for stated in [10, 29_990, 30_100, 31_000, 1_000_000, 0x0fff_ffff] {
        assert!(complete(&[id3v2(&cover(30_000), stated), song.clone()].concat()) == plain, "{stated}");
    }
    assert!(complete(&[id3v2(&[0; 500], 500), id3v2(&cover(900), 900), song].concat()) == plain);
}

#[test]
fn a_recording_that_begins_and_ends_inside_of_a_frame() {
    let song = bytes_of("untagged.mp3");
    let at = frames(&song);
    let whole = complete(&song);
    let rip = &song[at[2] + 77..song.len() - 100];
    assert!(matches!(refused(rip), Problem::Truncated(_)));
    let (got, notices) = read(rip, ReadOptions::NEARLY_COMPLETE);
    // The frames from the fourth to the last but one.
    let count = at.len() - 4;
    assert_eq!(got[0].len(), count * SAMPLES);
    let [Notice::Missing { at: time, seconds, .. }] = &notices[..] else { panic!("{notices:?}") };
    assert_eq!((*time, *seconds), (got[0].len() as f64 / 44_100.0, 1152.0 / 44_100.0));
    // The first frames may refer to data before the beginning.
    let settled = 6 * SAMPLES;
    assert!(got[0][settled..] == whole[0][3 * SAMPLES + settled..(3 + count) * SAMPLES]);
}

#[test]
fn a_bad_frame_becomes_silence_with_a_notice() {
    let song = bytes_of("untagged.mp3");
    let whole = complete(&song);
    let at = frames(&song);
    for name in ["header", "zeroed", "side information", "cut"] {
        let mut bytes = song.clone();
        match name {
            "header" => bytes[at[10]..at[10] + 3].fill(0x55),
            "zeroed" => bytes[at[10]..at[11]].fill(0),
            // Impossible numbers of values.
            "side information" => bytes[at[10] + 6..at[10] + 36].fill(0xff),
            // The beginning of the frame is missing.
            _ => drop(bytes.drain(at[10]..at[10] + 60)),
        }
        let time = (10 * SAMPLES) as f64 / 44_100.0;
        match refused(&bytes) {
            Problem::Malformed { seconds, .. } => assert!((seconds - time).abs() < 1e-9, "{name}: {seconds}"),
            problem => panic!("{name}: {problem}"),
        }
        let (got, notices) = read(&bytes, ReadOptions::NEARLY_COMPLETE);
        assert_eq!(got[0].len(), whole[0].len(), "{name}");
        let [Notice::Missing { at: start, seconds, .. }] = &notices[..] else {
            panic!("{name}: {notices:?}")
        };
        assert!(
            (start - time).abs() < 1e-9 && (seconds - 1152.0 / 44_100.0).abs() < 1e-9,
            "{name}: {notices:?}"
        );
        assert!(got[0][..10 * SAMPLES] == whole[0][..10 * SAMPLES], "{name}");
        assert!(got[0][10 * SAMPLES..11 * SAMPLES].iter().all(|&x| x == 0.0), "{name}");
        assert!(got[0][16 * SAMPLES..] == whole[0][16 * SAMPLES..], "{name}");
    }
}

#[test]
fn a_stated_number_of_frames_decides_what_is_missing() {
    let song = bytes_of("tagged.mp3");
    let at = frames(&song);
    let whole = complete(&song);
    // All stated frames are there, so data between them are no audio.
    let junk = [&song[..at[9]], &cover(1500), &song[at[9]..]].concat();
    assert!(complete(&junk) == whole);
    // Data of another kind after the last frame.
    assert!(complete(&[song.clone(), cover(20_000)].concat()) == whole);
    // Two whole frames are missing, which only the tag shows.
    let short = [&song[..at[9]], &song[at[11]..]].concat();
    assert!(matches!(refused(&short), Problem::Truncated(_)), "{:?}", refused(&short));
}

#[test]
fn free_format_is_named() {
    let frame = |padded: bool| {
        [&[0xff, 0xfb, if padded { 2 } else { 0 }, 0x64][..], &vec![0; 700 + usize::from(padded)]].concat()
    };
    let bytes = [frame(false), frame(true), frame(false), frame(false)].concat();
    let problem = refused(&bytes);
    assert!(problem.to_string().contains("free format"), "{problem}");
}

/// Every kind of stream that ffmpeg writes decodes as ffmpeg decodes it, and from any sample on.
#[test]
fn ffmpeg_decodes_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for (name, format, rate, channels, arguments) in [
        ("cbr.mp3", "mp3", 44_100, 2, "-c:a libmp3lame -b:a 128k"),
        ("vbr.mp3", "mp3", 44_100, 2, "-c:a libmp3lame -q:a 3 -id3v2_version 3"),
        ("separate.mp3", "mp3", 48_000, 2, "-ar 48000 -c:a libmp3lame -b:a 160k -joint_stereo 0"),
        ("mono.mp3", "mp3", 32_000, 1, "-ar 32000 -ac 1 -c:a libmp3lame -b:a 64k"),
        ("mpeg2.mp3", "mp3", 22_050, 2, "-ar 22050 -c:a libmp3lame -q:a 4 -write_xing 0"),
        ("mpeg25.mp3", "mp3", 11_025, 2, "-ar 11025 -c:a libmp3lame -b:a 32k"),
        ("lowest.mp3", "mp3", 8_000, 1, "-ar 8000 -ac 1 -c:a libmp3lame -b:a 8k"),
        ("layer2.mp2", "mp2", 44_100, 2, "-c:a mp2 -b:a 192k -f mp2"),
        ("layer2.mp3", "mp2", 48_000, 1, "-ar 48000 -ac 1 -c:a mp2 -b:a 96k -f mp2"),
    ] {
        let Some(path) = tools::encode(folder.path(), name, 3.0, arguments) else { continue };
        let whole = read_all(&path, rate).unwrap();
        let reader = AudioReader::open(&path, rate, ReadOptions::COMPLETE).unwrap();
        assert_eq!((reader.source().format, reader.source().channels), (format, channels), "{name}");
        let reference = tools::decode(&path, channels);
        for channel in 0..2 {
            assert_eq!(whole[channel].len(), reference[channel].len(), "{name}");
            let snr = snr(&reference[channel], &whole[channel]);
            println!("{name}: {snr:.1} dB");
            assert!(snr > 80.0, "{name}: {snr} dB");
        }
        for start in (0..whole[0].len()).step_by(7001) {
            let segment = read_segment(&path, start as u64, 1500, rate).unwrap();
            let range = start..(start + 1500).min(whole[0].len());
            assert!(segment[0] == whole[0][range.clone()] && segment[1] == whole[1][range], "{name} {start}");
        }
    }
}

/// Data that look like frames at every step take linear time.
#[test]
fn junk_is_refused_in_short_time() {
    let size = 8 << 20;
    let repeated = |part: &[u8]| part.iter().copied().cycle().take(size).collect::<Vec<u8>>();
    let lyrics = [b"\xff\xfb\x50\xc4".as_slice(), &[0; 204], b"LYRICSBEGIN"].concat();
    for (name, bytes) in [
        ("0xff", repeated(b"\xff")),
        ("headers", repeated(b"\xff\xfb\x90\x64")),
        ("layers", repeated(b"\xff\xfb\x90\x64\xff\xfd\xa4\x00\xff\xf3\x80\xc4\x00")),
        ("tags", repeated(b"TAG")),
        ("id3", repeated(b"ID3\x03\0\0\0\0\0\0")),
        ("ape", repeated(b"APETAGEX\xd0\x07\0\0\x20\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")),
        ("lyrics", repeated(&lyrics)),
    ] {
        let start = Instant::now();
        let result = open(&bytes, ReadOptions::COMPLETE);
        let time = start.elapsed();
        assert!(result.is_err(), "{name}");
        assert!(time < Duration::from_secs(60), "{name}: {time:?}");
    }
}
