//! Flac with an unknown length, with tags around it, cut, and damaged: what is missing is known and told.

use unbraid_audio::{
    AudioError, AudioReader, AudioWriter, Format, Notice, Problem, ReadOptions, Stereo, read_segment,
};

use crate::common::*;

const BLOCK: usize = 4096;

/// Five full blocks and a part of one.
const FRAMES: usize = 5 * BLOCK + 1000;

/// A flac of [`FRAMES`] frames.
fn file() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("song.flac");
    let mut writer = AudioWriter::create(&path, Format::Flac, 44_100).unwrap();
    writer.write(&sweeps(44_100, FRAMES)).unwrap();
    writer.finish().unwrap();
    std::fs::read(path).unwrap()
}

/// The positions of the frames.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let starts: Vec<_> = (42..bytes.len()).filter(|&at| bytes[at..].starts_with(b"\xff\xf8")).collect();
    let numbered = |(number, &at): (usize, &usize)| usize::from(bytes[at + 4]) == number;
    assert!(starts.len() == 6 && starts.iter().enumerate().all(numbered), "{starts:?}");
    starts
}

fn open(bytes: &[u8], options: ReadOptions) -> Result<(Stereo, Vec<Notice>), AudioError> {
    let source = Box::new(std::io::Cursor::new(bytes.to_vec()));
    let mut reader = AudioReader::from_source(source, None, 44_100, options)?;
    let frames = reader.frames();
    let samples = reader.read(usize::MAX)?;
    assert_eq!(frames, Some(samples[0].len() as u64));
    Ok((samples, reader.notices().to_vec()))
}

/// Sets the number of samples in the header. 0 means that it is not stated.
fn set_total(bytes: &mut [u8], total: u32) {
    bytes[21] &= 0xf0;
    bytes[22..26].copy_from_slice(&total.to_be_bytes());
}

#[test]
fn tags_and_missing_statements_change_nothing() {
    let plain = file();
    let whole = read_bytes(&plain, 44_100).unwrap();
    assert_eq!(whole[0].len(), FRAMES);
    let mut unknown = plain.clone();
    set_total(&mut unknown, 0);
    let mut no_checksum = plain.clone();
    no_checksum[26..42].fill(0);
    let id3v1 = [b"TAG".as_slice(), &[b' '; 125]].concat();
    let ape = [b"APETAGEX".as_slice(), &[7; 200_000], b"APETAGEX\xd0\x07\0\0", &[0; 20]].concat();
    let id3v2 = [b"ID3\x04\0\0\0\0\x01\x05".as_slice(), &[0; 133]].concat();
    for file in [&plain, &unknown, &no_checksum] {
        for after in [&b""[..], &id3v1, &ape, &[ape.as_slice(), &id3v1].concat(), &[0; 5000], b"\0"] {
            for before in [&b""[..], &id3v2] {
                let (samples, notices) =
                    open(&[before, file, after].concat(), ReadOptions::COMPLETE).unwrap();
                assert!(samples == whole, "{} bytes after it", after.len());
                assert_eq!(notices, []);
            }
        }
    }
    // A segment of a file without a length is read with a seek.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("unknown.flac");
    std::fs::write(&path, &unknown).unwrap();
    for start in [0, 4095, 9000, FRAMES - 1, FRAMES] {
        let segment = read_segment(&path, start as u64, 5000, 44_100).unwrap();
        let range = start..(start + 5000).min(FRAMES);
        assert!(segment == whole.each_ref().map(|channel| channel[range.clone()].to_vec()), "{start}");
    }
}

#[test]
fn a_cut_flac_says_on_opening_what_is_missing() {
    let plain = file();
    let whole = read_bytes(&plain, 44_100).unwrap();
    let starts = frames(&plain);
    let mut unknown = plain.clone();
    set_total(&mut unknown, 0);
    let last = *starts.last().unwrap();
    // Cut between frames, within a header, and in the middle of a frame.
    for (cut, held) in [(last, 5), (last + 3, 5), (last + 30, 5), (plain.len() - 1, 5), (starts[3] + 99, 3)] {
        let held = held * BLOCK;
        let problem = open(&plain[..cut], ReadOptions::COMPLETE).unwrap_err().problem;
        let seconds = (FRAMES - held) as f64 / 44_100.0;
        let expected = format!("the file is cut short (its last {seconds:.3} s are missing)");
        assert_eq!(problem.to_string(), expected, "cut to {cut}");
        let (samples, notices) = open(&plain[..cut], ReadOptions::NEARLY_COMPLETE).unwrap();
        assert!(samples == whole.each_ref().map(|channel| channel[..held].to_vec()), "cut to {cut}");
        let at = held as f64 / 44_100.0;
        let detail = "the file is cut short".into();
        assert_eq!(notices, [Notice::Missing { at, seconds, detail }]);
        // Without a stated length, an incomplete frame tells that something is missing, or the checksum does.
        let problem = open(&unknown[..cut], ReadOptions::COMPLETE).unwrap_err().problem;
        match problem {
            Problem::Malformed { .. } if cut == last => {}
            problem => assert!(matches!(problem, Problem::Truncated(_)), "cut to {cut}: {problem}"),
        }
    }
    for cut in [starts[1] - 1, starts[0], 60, 42, 30] {
        let problem = open(&plain[..cut], ReadOptions::ANY_LENGTH).unwrap_err().problem;
        assert!(matches!(problem, Problem::Truncated(_)), "cut to {cut}: {problem}");
    }
}

#[test]
fn a_damaged_frame_leaves_silence_of_its_length() {
    let plain = file();
    let whole = read_bytes(&plain, 44_100).unwrap();
    let starts = frames(&plain);
    for damaged in 0..5 {
        // Damage within the frame, and to its header, which marks the end of the frame before. Both are lost then.
        for (at, first) in
            [(starts[damaged] + 200, damaged), (starts[damaged] + 2, damaged.saturating_sub(1))]
        {
            let mut bytes = plain.clone();
            bytes[at..at + 2].copy_from_slice(&[0x12, 0x34]);
            let gap = first * BLOCK..(damaged + 1) * BLOCK;
            let begin = gap.start as f64 / 44_100.0;
            let problem = open(&bytes, ReadOptions::COMPLETE).unwrap_err().problem;
            assert!(
                matches!(problem, Problem::Malformed { seconds, .. } if seconds == begin),
                "frame {damaged}, byte {at}: {problem:?}"
            );
            let (samples, notices) = open(&bytes, ReadOptions::NEARLY_COMPLETE).unwrap();
            let mut expected = whole.clone();
            expected.iter_mut().for_each(|channel| channel[gap.clone()].fill(0.0));
            assert!(samples == expected, "frame {damaged}, byte {at}");
            let [Notice::Missing { at: found, seconds, .. }] = &notices[..] else { panic!("{notices:?}") };
            assert_eq!((*found, *seconds), (begin, gap.len() as f64 / 44_100.0));
        }
    }
    // Two damaged frames next to each other, and more than the options allow.
    let mut bytes = plain.clone();
    for frame in [1, 2] {
        bytes[starts[frame] + 50..][..9].fill(0x77);
    }
    let (samples, notices) = open(&bytes, ReadOptions::NEARLY_COMPLETE).unwrap();
    assert!(
        samples[0][3 * BLOCK..] == whole[0][3 * BLOCK..]
            && samples[0][BLOCK..3 * BLOCK].iter().all(|&x| x == 0.0)
    );
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(open(&bytes, ReadOptions { allowed_missing: 0.1, track: None }).is_err());
}

#[test]
fn flacs_joined_end_to_end_are_not_read_as_one() {
    let plain = file();
    let shorter = {
        let starts = frames(&plain);
        let mut bytes = plain[..starts[2]].to_vec();
        set_total(&mut bytes, 2 * BLOCK as u32);
        bytes[26..42].fill(0);
        bytes
    };
    for joined in [[&plain, &plain], [&plain, &shorter], [&shorter, &plain]] {
        let bytes = joined.map(Vec::as_slice).concat();
        let result = open(&bytes, ReadOptions::NEARLY_COMPLETE);
        assert!(result.is_err(), "{} frames came out", result.unwrap().0[0].len());
    }
}

#[test]
fn long_flacs_joined_end_to_end_fail_on_opening() {
    let long: Vec<u8> = {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.flac");
        let mut writer = AudioWriter::create(&path, Format::Flac, 44_100).unwrap();
        (0..5).for_each(|_| writer.write(&sweeps(44_100, FRAMES)).unwrap());
        writer.finish().unwrap();
        std::fs::read(path).unwrap()
    };
    let twice = [long.as_slice(), &long].concat();
    let source = Box::new(std::io::Cursor::new(twice));
    let error = AudioReader::from_source(source, None, 44_100, ReadOptions::NEARLY_COMPLETE).err().unwrap();
    let expected = format!(
        "a file of several flacs joined end to end (the first ends at {:.2} s) cannot be read",
        (5 * FRAMES) as f64 / 44_100.0
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(read_bytes(&long, 44_100).unwrap()[0].len(), 5 * FRAMES);
}

#[test]
fn more_frames_than_the_header_states_are_read() {
    let plain = file();
    let whole = read_bytes(&plain, 44_100).unwrap();
    let mut bytes = plain.clone();
    set_total(&mut bytes, 2 * BLOCK as u32 + 5);
    assert!(open(&bytes, ReadOptions::COMPLETE).unwrap().0 == whole);
}
