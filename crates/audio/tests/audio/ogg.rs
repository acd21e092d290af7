//! Ogg as people have it: chained, cut, damaged, with other streams.

use std::io::Cursor;
use std::time::{Duration, Instant};

use unbraid_audio::{AudioReader, Notice, Problem, ReadOptions, Stereo, read_segment};

use crate::common::*;
use crate::tools;

/// A page, to be changed and written again.
#[derive(Clone)]
struct Page {
    flags: u8,
    granule: i64,
    serial: u32,
    sequence: u32,
    lacing: Vec<u8>,
    body: Vec<u8>,
}

const FIRST: u8 = 2;
const LAST: u8 = 4;

impl Page {
    fn parse_all(bytes: &[u8]) -> Vec<Self> {
        let mut at = 0;
        let mut pages = Vec::new();
        while at < bytes.len() {
            let page = &bytes[at..];
            assert!(page.starts_with(b"OggS\0"));
            let segments = usize::from(page[26]);
            let lacing = page[27..27 + segments].to_vec();
            let size = lacing.iter().map(|&size| usize::from(size)).sum::<usize>();
            pages.push(Self {
                flags: page[5],
                granule: i64::from_le_bytes(page[6..14].try_into().unwrap()),
                serial: u32::from_le_bytes(page[14..18].try_into().unwrap()),
                sequence: u32::from_le_bytes(page[18..22].try_into().unwrap()),
                body: page[27 + segments..27 + segments + size].to_vec(),
                lacing,
            });
            at += 27 + segments + size;
        }
        pages
    }

    /// A page with one packet.
    fn single(flags: u8, serial: u32, sequence: u32, packet: &[u8]) -> Self {
        assert!(packet.len() < 255);
        Self { flags, granule: 0, serial, sequence, lacing: vec![packet.len() as u8], body: packet.to_vec() }
    }

    fn write(&self) -> Vec<u8> {
        let mut bytes = [b"OggS\0".as_slice(), &[self.flags], &self.granule.to_le_bytes()].concat();
        bytes.extend(self.serial.to_le_bytes());
        bytes.extend(self.sequence.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.push(self.lacing.len() as u8);
        bytes.extend(&self.lacing);
        bytes.extend(&self.body);
        let crc = bytes.iter().fold(0_u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| {
                if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 }
            })
        });
        bytes[22..26].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

fn write(pages: &[Page]) -> Vec<u8> {
    pages.iter().flat_map(Page::write).collect()
}

fn tone() -> Vec<Page> {
    let bytes = std::fs::read(fixture("tone.ogg")).unwrap();
    let pages = Page::parse_all(&bytes);
    assert!(write(&pages) == bytes, "pages are written as they were");
    pages
}

/// The tone with one packet per page: the packets are split onto pages of their own. The granule position of a page is
/// the place of its packet in time, from the decoder's own lengths.
fn tone_in_small_pages() -> Vec<Page> {
    let pages = tone();
    let mut small = Vec::new();
    for page in &pages {
        let mut at = 0;
        let mut lacing = Vec::new();
        for &size in &page.lacing {
            lacing.push(size);
            if size < 255 {
                let length = lacing.iter().map(|&size| usize::from(size)).sum::<usize>();
                let body = page.body[at..at + length].to_vec();
                at += length;
                small.push(Page { lacing: std::mem::take(&mut lacing), body, ..page.clone() });
            }
        }
        assert!(lacing.is_empty(), "no packet of the fixture continues on another page");
    }
    // The first bytes of the packets tell their lengths: blocks of 256 and 2048 in libvorbis at 44.1 kHz, two modes.
    let mut position = 0;
    let mut previous = None;
    let count = small.len();
    for (index, page) in small.iter_mut().enumerate() {
        page.sequence = index as u32;
        page.flags = if index == 0 { FIRST } else { 0 };
        if index < 3 {
            continue;
        }
        let block = if page.body[0] >> 1 & 1 == 1 { 2048 } else { 256 };
        position += previous.map_or(0, |previous: i64| (previous + block) / 4);
        previous = Some(block);
        page.granule = position;
        if index == count - 1 {
            page.flags = LAST;
            page.granule = 22_050;
            assert!(position >= 22_050);
        }
    }
    small
}

fn open(bytes: &[u8], options: ReadOptions) -> Result<AudioReader, Problem> {
    AudioReader::from_source(Box::new(Cursor::new(bytes.to_vec())), None, 44_100, options)
        .map_err(|error| error.problem)
}

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

fn repeated(block: &Stereo, count: usize) -> Stereo {
    block.each_ref().map(|channel| channel.repeat(count))
}

#[test]
fn chained_links_are_decoded_whole() {
    let pages = tone();
    let one = complete(&write(&pages));
    assert_eq!(one[0].len(), 22_050);
    let other: Vec<Page> =
        pages.iter().map(|page| Page { serial: page.serial ^ 99, ..page.clone() }).collect();
    for chain in [[&pages, &pages, &pages], [&pages, &other, &pages]] {
        let bytes: Vec<u8> = chain.iter().flat_map(|pages| write(pages)).collect();
        assert!(complete(&bytes) == repeated(&one, 3));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chain.ogg");
        std::fs::write(&path, &bytes).unwrap();
        for start in [0, 1, 22_049, 22_050, 22_051, 40_000, 44_100, 66_000, 66_150] {
            let segment = read_segment(&path, start as u64, 3000, 44_100).unwrap();
            let range = start..(start + 3000).min(3 * 22_050);
            assert!(segment == repeated(&one, 3).map(|channel| channel[range.clone()].to_vec()), "{start}");
        }
    }
    assert!(
        complete(&[write(&pages), vec![0; 700], write(&other), b"TAG".to_vec()].concat())
            == repeated(&one, 2)
    );
}

#[test]
fn a_link_with_another_rate_is_resampled() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = tools::encode(folder.path(), "a.ogg", 1.0, "-ar 32000 -ac 1 -c:a libvorbis") else {
        return;
    };
    let second = std::fs::read(path).unwrap();
    let first = write(&tone());
    let (got, notices) = read(&[first.clone(), second.clone()].concat(), ReadOptions::COMPLETE);
    assert_eq!(notices, [Notice::RateChange { at: 0.5, from: 44_100, to: 32_000 }]);
    let (a, b) = (complete(&first), read_bytes(&second, 44_100).unwrap());
    assert!(got == [[&a[0][..], &b[0]].concat(), [&a[1][..], &b[1]].concat()]);
    assert_eq!(got[0].len(), 22_050 + 44_100);
}

#[test]
fn an_end_without_its_mark() {
    let mut pages = tone();
    let whole = complete(&write(&pages));
    pages.last_mut().unwrap().flags &= !LAST;
    let bytes = write(&pages);
    assert!(matches!(open(&bytes, ReadOptions::COMPLETE).err(), Some(Problem::Truncated(_))));
    let (got, notices) = read(&bytes, ReadOptions::NEARLY_COMPLETE);
    assert_eq!(notices, [Notice::EndNotMarked]);
    assert!(got == whole);
}

#[test]
fn a_cut_last_page_is_missing_with_its_length() {
    let pages = tone_in_small_pages();
    let bytes = write(&pages);
    let whole = complete(&bytes);
    let held = pages[pages.len() - 2].granule as usize;
    let cut = &bytes[..bytes.len() - 5];
    assert!(matches!(open(cut, ReadOptions::COMPLETE).err(), Some(Problem::Truncated(_))));
    let (got, notices) = read(cut, ReadOptions::NEARLY_COMPLETE);
    let [Notice::Missing { at, seconds, .. }] = &notices[..] else { panic!("{notices:?}") };
    assert_eq!((*at, *seconds), (held as f64 / 44_100.0, (22_050 - held) as f64 / 44_100.0));
    assert!(got == whole.map(|channel| channel[..held].to_vec()));
}

#[test]
fn a_part_of_a_longer_stream_begins_at_its_own_beginning() {
    let mut pages = tone_in_small_pages();
    let whole = complete(&write(&pages));
    for page in &mut pages[3..] {
        page.granule += 1_000_000;
    }
    assert!(complete(&write(&pages)) == whole);
    // The sequence numbers of the audio continue those of the longer stream.
    for page in &mut pages[3..] {
        page.sequence += 500;
    }
    assert!(complete(&write(&pages)) == whole);
}

#[test]
fn other_streams_in_the_file_are_passed() {
    let pages = tone_in_small_pages();
    let whole = complete(&write(&pages));
    let mut mixed = vec![
        Page::single(FIRST, 7, 0, b"fishead\0\x03\0\0\0"),
        Page::single(FIRST, 8, 0, b"\x80theora\x03\x02\x01"),
        pages[0].clone(),
        Page::single(0, 7, 1, b"fisbone\0"),
    ];
    for (index, page) in pages[1..].iter().enumerate() {
        mixed.push(page.clone());
        mixed.push(Page::single(0, 8, 1 + index as u32, &[7; 100]));
    }
    assert!(complete(&write(&mixed)) == whole);
}

#[test]
fn codecs_that_cannot_be_read_are_named() {
    for (magic, name) in [(&b"\x7fFLAC\x01\0"[..], "FLAC"), (b"Speex   1.2", "Speex")] {
        let bytes = write(&[Page::single(FIRST, 1, 0, magic), Page::single(LAST, 1, 1, b"x")]);
        let problem = open(&bytes, ReadOptions::COMPLETE).err().unwrap();
        assert!(matches!(&problem, Problem::Unsupported(detail) if detail.contains(name)), "{problem}");
        // As a later link.
        let problem = open(&[write(&tone()), bytes].concat(), ReadOptions::COMPLETE).err().unwrap();
        assert!(matches!(&problem, Problem::Unsupported(detail) if detail.contains(name)), "{problem}");
    }
    let film = write(&[Page::single(FIRST, 8, 0, b"\x80theora\x03\x02\x01"), Page::single(LAST, 8, 1, b"x")]);
    assert!(matches!(open(&film, ReadOptions::COMPLETE).err(), Some(Problem::NoAudio)));
}

#[test]
fn a_lost_page_becomes_silence_with_a_notice() {
    let pages = tone_in_small_pages();
    let whole = complete(&write(&pages));
    let (begin, end) = (pages[9].granule as usize, pages[11].granule as usize);
    let removed = [&pages[..10], &pages[11..]].concat();
    let mut damaged: Vec<Vec<u8>> = pages.iter().map(Page::write).collect();
    let last = damaged[10].len() - 1;
    damaged[10][last] ^= 1;
    // A packet that is marked as a header.
    let mut header = pages.clone();
    header[10].body[0] |= 1;
    for bytes in [write(&removed), damaged.concat(), write(&header)] {
        match open(&bytes, ReadOptions::COMPLETE).err() {
            Some(Problem::Malformed { seconds, .. }) => assert_eq!(seconds, begin as f64 / 44_100.0),
            problem => panic!("{problem:?}"),
        }
        let (got, notices) = read(&bytes, ReadOptions::NEARLY_COMPLETE);
        // The packet after the gap only prepares the next one.
        let expected = [begin as f64 / 44_100.0, (end - begin) as f64 / 44_100.0];
        let [Notice::Missing { at, seconds, .. }] = &notices[..] else { panic!("{notices:?}") };
        assert_eq!([*at, *seconds], expected);
        for channel in 0..2 {
            assert_eq!(got[channel].len(), whole[channel].len());
            assert!(got[channel][..begin] == whole[channel][..begin]);
            assert!(got[channel][begin..end].iter().all(|&sample| sample == 0.0));
            assert!(got[channel][end..] == whole[channel][end..]);
        }
    }
}

#[test]
fn a_file_without_its_beginning_is_refused() {
    let pages = tone();
    let problem = open(&write(&pages[1..]), ReadOptions::ANY_LENGTH).err().unwrap();
    assert!(matches!(problem, Problem::Truncated(_)), "{problem}");
    // A link without its first page is missing.
    let other: Vec<Page> = pages[1..].iter().map(|page| Page { serial: 4711, ..page.clone() }).collect();
    let bytes = [write(&pages), write(&other)].concat();
    assert!(
        matches!(open(&bytes, ReadOptions::COMPLETE).err(), Some(Problem::Malformed { seconds, .. }) if seconds == 0.5)
    );
    let (got, notices) = read(&bytes, ReadOptions::NEARLY_COMPLETE);
    assert!(got == complete(&write(&pages)));
    assert!(matches!(notices[..], [Notice::Missing { at, .. }] if at == 0.5), "{notices:?}");
}

#[test]
fn ffmpeg_decodes_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for (name, rate, channels, arguments) in [
        ("q0.ogg", 44_100, 2, "-c:a libvorbis -q:a 0"),
        ("q9.ogg", 48_000, 2, "-ar 48000 -c:a libvorbis -q:a 9"),
        ("mono.ogg", 22_050, 1, "-ar 22050 -ac 1 -c:a libvorbis"),
        ("low.ogg", 8_000, 1, "-ar 8000 -ac 1 -c:a libvorbis"),
    ] {
        let Some(path) = tools::encode(folder.path(), name, 20.0, arguments) else { continue };
        let whole = read_all(&path, rate).unwrap();
        let reference = tools::decode(&path, channels);
        for channel in 0..2 {
            assert_eq!(whole[channel].len(), reference[channel].len(), "{name}");
            let snr = snr(&reference[channel], &whole[channel]);
            println!("{name}: {snr:.1} dB");
            assert!(snr > 80.0, "{name}: {snr} dB");
        }
        for start in (0..whole[0].len()).step_by(40_009) {
            let segment = read_segment(&path, start as u64, 1500, rate).unwrap();
            let range = start..(start + 1500).min(whole[0].len());
            assert!(segment[0] == whole[0][range.clone()] && segment[1] == whole[1][range], "{name} {start}");
        }
    }
}

#[test]
fn junk_is_refused_in_short_time() {
    let size = 8 << 20;
    let first = write(&tone()[..2]);
    let repeated = |part: &[u8]| {
        let rest = part.iter().copied().cycle().take(size);
        first.iter().copied().chain(rest).collect::<Vec<u8>>()
    };
    let first_page = Page::single(FIRST, 1, 0, b"fishead\0").write();
    for (name, bytes) in [
        ("patterns", repeated(b"OggS")),
        ("headers", repeated(b"OggS\0")),
        ("0xff", repeated(b"\xff")),
        ("largest pages", repeated(&[b"OggS\0".as_slice(), &[0; 21], &[255; 100]].concat())),
        ("first pages", repeated(&first_page)),
    ] {
        let start = Instant::now();
        let result = open(&bytes, ReadOptions::ANY_LENGTH);
        let time = start.elapsed();
        assert!(result.is_err(), "{name}");
        assert!(time < Duration::from_secs(60), "{name}: {time:?}");
    }
}
