//! Mp4, ADTS and Matroska files that are built or damaged here.

use unbraid_audio::{AudioError, AudioReader, Notice, Problem, ReadOptions, Stereo};

use crate::boxes::*;
use crate::common::*;

/// The whole file, its stated length and its notices.
fn open(bytes: &[u8], options: ReadOptions) -> Result<(Stereo, Option<u64>, Vec<Notice>), AudioError> {
    let source = Box::new(std::io::Cursor::new(bytes.to_vec()));
    // The name matters only where an ADTS file begins inside a packet.
    let mut reader = AudioReader::from_source(source, Some("aac"), 44_100, options)?;
    let frames = reader.frames();
    let all = reader.read(usize::MAX)?;
    Ok((all, frames, reader.notices().to_vec()))
}

fn refused(bytes: &[u8]) -> String {
    open(bytes, ReadOptions::ANY_LENGTH)
        .map(|(all, ..)| all[0].len())
        .expect_err("must be refused")
        .to_string()
}

fn part(whole: &Stereo, range: std::ops::Range<usize>) -> Stereo {
    whole.each_ref().map(|channel| channel[range.clone()].to_vec())
}

fn joined(parts: &[Stereo]) -> Stereo {
    [0, 1].map(|c| parts.iter().flat_map(|part| part[c].clone()).collect())
}

#[test]
fn the_parts_of_an_edit_list_follow_each_other() {
    const RATE: u32 = 0x1_0000;
    let file = bytes_of("alac.m4a");
    let whole = read_bytes(&file, 44_100).unwrap();
    let scale = u32::from_be_bytes(content(&file, &[b"moov", b"mvhd"])[12..16].try_into().unwrap());
    assert_eq!(scale, 1000, "the movie's unit is 1 ms, 44.1 frames");
    let with = |edits: &[u32]| {
        let elst = atom(b"elst", &words(&[&[0, edits.len() as u32 / 3], edits].concat()));
        replace(&file, &[b"moov", b"trak", b"edts", b"elst"], &elst)
    };
    let read = |edits: &[u32]| read_bytes(&with(edits), 44_100).unwrap();
    // A pause before the track is not part of the song.
    assert!(read(&[20, u32::MAX, RATE, 100, 0, RATE]) == whole);
    // 0 is "to the end".
    assert!(read(&[0, 1000, RATE]) == part(&whole, 1000..4410));
    // Parts in another order, one of them twice, with a pause of 20 ms.
    let first = part(&whole, 2205..3087);
    let expected = joined(&[first.clone(), part(&whole, 441..882), [vec![0.0; 882], vec![0.0; 882]], first]);
    let edits = [20, 2205, RATE, 10, 441, RATE, 20, u32::MAX, RATE, 20, 2205, RATE];
    assert!(read(&edits) == expected);
    // Parts that follow each other in the track: their times are rounded to 1 ms, and no frame is lost.
    assert!(read(&[33, 0, RATE, 33, 1455, RATE, 34, 2911, RATE]) == whole);
    for rate in [0, 0x2_0000] {
        assert!(refused(&with(&[100, 0, rate])).contains("changes the speed"), "{rate:#x}");
    }
    assert!(
        refused(&with(&[[100_000, u32::MAX, RATE], [10, 0, RATE]].concat().repeat(2))).contains("longer")
    );
}

#[test]
fn both_versions_of_the_meta_box_are_read() {
    let file = bytes_of("aac.m4a");
    let text = b" 00000000 00000640 00000000 0000000000001000 00000000";
    let data = atom(b"data", &[words(&[1, 0]).as_slice(), text].concat());
    let name = atom(b"name", b"\0\0\0\0iTunSMPB");
    let mean = atom(b"mean", b"\0\0\0\0com.apple.iTunes");
    let ilst = atom(b"ilst", &atom(b"----", &[mean, name, data].concat()));
    let hdlr = atom(b"hdlr", &[words(&[0, 0]).as_slice(), b"mdirappl", &[0; 9]].concat());
    let at = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
    let mvhd_at = path(&file, &[b"moov", b"mvhd"])[1];
    let mvhd = file[mvhd_at..mvhd_at + at(&file[mvhd_at..])].to_vec();
    for version in [&[][..], &[0, 0, 0, 0]] {
        let meta = atom(b"meta", &[version, &hdlr, &ilst].concat());
        let tagged = replace(&file, &[b"moov", b"mvhd"], &[mvhd.clone(), atom(b"udta", &meta)].concat());
        // The tag: 1600 frames of delay, 4096 of the song. The encoder's delay is 1024.
        let expected = part(&read_bytes(&file, 44_100).unwrap(), 576..4672);
        assert!(read_bytes(&tagged, 44_100).unwrap() == expected);
        // A damaged tag is no reason to refuse the song.
        let broken = replace(&tagged, &[b"moov", b"udta", b"meta"], &atom(b"meta", &[0; 20]));
        assert!(read_bytes(&broken, 44_100).unwrap() == read_bytes(&file, 44_100).unwrap());
    }
}

#[test]
fn boxes_with_64_bit_sizes_are_read() {
    let file = bytes_of("alac.m4a");
    let free = path(&file, &[b"free"])[0];
    let mdat = path(&file, &[b"mdat"])[0];
    assert_eq!(mdat, free + 8, "an empty box makes room for the longer header");
    let size = u32::from_be_bytes(file[mdat..mdat + 4].try_into().unwrap()) + 8;
    let head = [words(&[1]).as_slice(), b"mdat", &u64::from(size).to_be_bytes()].concat();
    let wide = [&file[..free], &head, &file[mdat + 8..]].concat();
    assert!(read_bytes(&wide, 44_100).unwrap() == read_bytes(&file, 44_100).unwrap());
    // QuickTime files may begin with their movie box.
    let front = moov_first(&file);
    assert!(read_bytes(&front, 44_100).unwrap() == read_bytes(&file, 44_100).unwrap());
}

#[test]
fn codecs_that_cannot_be_read_are_named() {
    let file = bytes_of("alac.m4a");
    let at = path(&file, &table(b"stsd"))[5] + 20;
    assert_eq!(&file[at..at + 4], b"alac");
    let names: [(&[u8; 4], &str); 6] = [
        (b"drms", "encrypted audio (DRM)"),
        (b"enca", "encrypted audio (DRM)"),
        (b"ac-3", "AC-3"),
        (b"ec-3", "E-AC-3"),
        (b"ipcm", "PCM"),
        (b"abcd", "'abcd'"),
    ];
    for (name, expected) in names {
        let mut other = file.clone();
        other[at..at + 4].copy_from_slice(name);
        let message = refused(&other);
        assert!(message.contains(expected) && message.ends_with("cannot be read"), "{message}");
    }
}

#[test]
fn a_cut_mp4_tells_on_opening_what_is_missing() {
    for (name, shares) in [("aac.m4a", [50, 80, 99]), ("alac.m4a", [97, 98, 99])] {
        let file = moov_first(&bytes_of(name));
        let whole = read_bytes(&file, 44_100).unwrap();
        for share in shares {
            let cut = &file[..file.len() * share / 100];
            let source = Box::new(std::io::Cursor::new(cut.to_vec()));
            let error = AudioReader::from_source(source, None, 44_100, ReadOptions::COMPLETE).err().unwrap();
            assert!(matches!(error.problem, Problem::Truncated(_)), "{name}: {error}");
            let (got, frames, notices) = open(cut, ReadOptions::NEARLY_COMPLETE).unwrap();
            assert_eq!(frames, Some(got[0].len() as u64));
            let [Notice::Missing { at, seconds, .. }] = notices.as_slice() else { panic!("{notices:?}") };
            assert_eq!((at * 44_100.0).round() as usize, got[0].len());
            assert_eq!(((at + seconds) * 44_100.0).round() as usize, whole[0].len());
            assert!(got == part(&whole, 0..got[0].len()), "{name} cut to {share} %");
        }
    }
}

#[test]
fn sizes_in_tables_are_not_trusted() {
    let file = bytes_of("alac.m4a");
    let stsz = |size, count| replace(&file, &table(b"stsz"), &atom(b"stsz", &words(&[0, size, count])));
    let stco = |count| replace(&file, &table(b"stco"), &atom(b"stco", &words(&[0, count, 48])));
    let stsc = |samples| replace(&file, &table(b"stsc"), &atom(b"stsc", &words(&[0, 1, 1, samples, 1])));
    for bytes in [stsz(1, u32::MAX), stsz(0, u32::MAX), stco(u32::MAX), stsc(0), stsc(1), stco(0)] {
        let started = std::time::Instant::now();
        refused(&bytes);
        assert!(started.elapsed().as_secs() < 2);
    }
}

fn aac_packets() -> Vec<Vec<u8>> {
    packets(&bytes_of("aac.m4a"))
}

#[test]
fn adts_is_read_whole() {
    let packets = aac_packets();
    let file = adts(&packets);
    let (whole, frames, notices) = open(&file, ReadOptions::COMPLETE).unwrap();
    assert_eq!((whole[0].len(), frames), (1024 * packets.len(), Some(1024 * packets.len() as u64)));
    assert!(notices.is_empty());
    // The same packets in an mp4, which states the encoder's delay of 1024 frames.
    assert!(part(&whole, 1024..1024 + 22_050) == read_bytes(&bytes_of("aac.m4a"), 44_100).unwrap());

    // Tags around and between, and zeros.
    let id3 = [b"ID3\x04\0\0\0\0\x01\x00".as_slice(), &[b'x'; 128]].concat();
    let id3v1 = [b"TAG".as_slice(), &[b'x'; 125]].concat();
    let tagged = [&id3, file.as_slice(), &[0; 500], &id3, &file, &id3v1].concat();
    let (twice, ..) = open(&tagged, ReadOptions::COMPLETE).unwrap();
    assert_eq!(twice[0].len(), 2 * whole[0].len());
    assert!(part(&twice, 0..whole[0].len()) == whole);

    // The last packet is incomplete.
    let cut = &file[..file.len() - 5];
    assert!(matches!(open(cut, ReadOptions::COMPLETE).unwrap_err().problem, Problem::Truncated(_)));
    let (got, _, notices) = open(cut, ReadOptions::NEARLY_COMPLETE).unwrap();
    assert!(got == part(&whole, 0..whole[0].len() - 1024));
    assert!(matches!(notices.as_slice(), [Notice::Missing { .. }]), "{notices:?}");

    // It begins and has damage inside a packet.
    let ends: Vec<usize> = (1..8).map(|count| adts(&packets[..count]).len()).collect();
    let damaged = [&file[100..ends[4]], &[0x55; 200], &file[ends[5]..]].concat();
    assert!(open(&damaged, ReadOptions::COMPLETE).is_err());
    let (got, _, notices) = open(&damaged, ReadOptions::NEARLY_COMPLETE).unwrap();
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(got[0].len() < whole[0].len() && part(&got, 0..2048) != part(&whole, 0..2048));
}

#[test]
fn he_aac_that_only_its_packets_show_is_refused() {
    let packets: Vec<_> = aac_packets().iter().map(|packet| with_sbr(packet)).collect();
    assert!(refused(&adts(&packets)).contains("HE-AAC"));
    let blocks: Vec<_> =
        packets.iter().map(|packet| [&[0x81, 0, 0, 0x80], packet.as_slice()].concat()).collect();
    assert!(refused(&matroska(b"A_AAC", &[0x12, 0x10], &blocks)).contains("HE-AAC"));
    let implicit = with_sbr(&[0x21, 0x10, 0x05, 0x00, 0xe0]);
    assert!(refused(&adts(&vec![implicit; 30])).contains("HE-AAC"));
}

#[test]
fn matroska_is_read_with_every_lacing() {
    let packets = aac_packets();
    let (whole, ..) = open(&adts(&packets), ReadOptions::COMPLETE).unwrap();
    let plain: Vec<_> =
        packets.iter().map(|packet| [&[0x81, 0, 0, 0x80], packet.as_slice()].concat()).collect();
    let laced = |packets: &[Vec<u8>]| {
        let mut block = vec![0x81, 0, 0, 0x82, packets.len() as u8 - 1];
        for packet in &packets[..packets.len() - 1] {
            block.extend(vec![255; packet.len() / 255]);
            block.push((packet.len() % 255) as u8);
        }
        [block, packets.concat()].concat()
    };
    for blocks in [plain.clone(), packets.chunks(4).map(laced).collect()] {
        let file = matroska(b"A_AAC", &[0x12, 0x10], &blocks);
        let (got, frames, notices) = open(&file, ReadOptions::COMPLETE).unwrap();
        assert!(got == whole && frames == Some(whole[0].len() as u64) && notices.is_empty());
        for cut in [file.len() - 1, file.len() - 300] {
            let problem = open(&file[..cut], ReadOptions::COMPLETE).unwrap_err().problem;
            assert!(matches!(problem, Problem::Truncated(_)), "{problem}");
        }
    }
    let file = matroska(b"A_AC3", &[], &plain);
    assert!(refused(&file).contains("A_AC3"));
    assert!(matches!(
        open(&[0x1a, 0x45, 0xdf, 0xa3, 0x80], ReadOptions::COMPLETE).unwrap_err().problem,
        Problem::NoAudio
    ));
}

/// A mov with one entry of sample descriptions, and two chunks of `frames` frames with a gap between them.
fn mov(entry: &[u8], samples: &[u8], frames: u32) -> Vec<u8> {
    let head = atom(b"ftyp", b"qt  \0\0\0\0");
    let half = samples.len() / 2;
    let data = atom(b"mdat", &[&samples[..half], b"gap", &samples[half..]].concat());
    let first = head.len() as u32 + 8;
    let stbl = [
        atom(b"stsd", &[words(&[0, 1]), entry.to_vec()].concat()),
        atom(b"stts", &words(&[0, 1, 2 * frames, 1])),
        // QuickTime writes 1 instead of the size of a frame.
        atom(b"stsz", &words(&[0, 1, 2 * frames])),
        atom(b"stsc", &words(&[0, 1, 1, frames, 1])),
        atom(b"stco", &words(&[0, 2, first, first + half as u32 + 3])),
    ];
    let media = [
        atom(b"mdhd", &words(&[0, 0, 0, 44_100, 2 * frames, 0])),
        atom(b"hdlr", &[words(&[0, 0]), b"soun".to_vec()].concat()),
        atom(b"minf", &atom(b"stbl", &stbl.concat())),
    ];
    let track = [atom(b"tkhd", &words(&[1, 0, 0, 1])), atom(b"mdia", &media.concat())];
    [head, data, atom(b"moov", &atom(b"trak", &track.concat()))].concat()
}

/// A description of version `version` for two channels.
fn sound(name: &[u8; 4], version: u32, bits: u32, rest: &[u8]) -> Vec<u8> {
    let fields = words(&[0, 1, version << 16, 0, 2 << 16 | bits, 0, 44_100 << 16]);
    atom(name, &[fields, rest.to_vec()].concat())
}

#[test]
fn uncompressed_samples_in_mov_are_read_exactly() {
    const FRAMES: u32 = 9_000;
    let values: Vec<i32> = (0..4 * FRAMES as i32).map(|n| (n * 7_919) % 60_000 - 30_000).collect();
    let bytes = |of: &dyn Fn(i32) -> Vec<u8>| values.iter().flat_map(|&value| of(value)).collect::<Vec<u8>>();
    let little_endian = [vec![0; 16], atom(b"wave", &atom(b"enda", &[0, 1]))].concat();
    // The rate of version 2 is a float: 44 100.
    let lpcm = |flags, frames| words(&[72, 0x40e5_8880, 0, 2, 0x7f00_0000, 32, flags, 8, frames]);
    for (entry, samples) in [
        (sound(b"sowt", 0, 16, &[]), bytes(&|value| (value as i16).to_le_bytes().to_vec())),
        (sound(b"twos", 0, 16, &[]), bytes(&|value| (value as i16).to_be_bytes().to_vec())),
        (sound(b"in24", 1, 16, &[0; 16]), bytes(&|value| (value << 8).to_be_bytes()[1..].to_vec())),
        (sound(b"in24", 1, 16, &little_endian), bytes(&|value| (value << 8).to_le_bytes()[..3].to_vec())),
        (sound(b"lpcm", 2, 16, &lpcm(9, 1)), bytes(&|v| (v as f32 / 32_768.0).to_le_bytes().to_vec())),
        (sound(b"lpcm", 2, 16, &lpcm(14, 1)), bytes(&|value| (value << 16).to_be_bytes().to_vec())),
    ] {
        let file = mov(&entry, &samples, FRAMES);
        let (song, stated, notices) = open(&file, ReadOptions::COMPLETE).unwrap();
        assert_eq!((stated, notices.as_slice()), (Some(u64::from(2 * FRAMES)), [].as_slice()));
        for (channel, actual) in song.iter().enumerate() {
            let expected = values.iter().skip(channel).step_by(2).map(|&value| value as f32 / 32_768.0);
            assert!(actual.iter().copied().eq(expected), "{:?}", &entry[4..8]);
        }
        let cut = refused(&file[..file.len() - 1]);
        assert!(!cut.is_empty());
    }
    for entry in
        [sound(b"lpcm", 2, 16, &lpcm(9 + 32, 1)), sound(b"twos", 0, 12, &[]), sound(b"raw ", 0, 16, &[])]
    {
        let detail = refused(&mov(&entry, &[0; 800], 100));
        assert!(detail.contains("samples in mov cannot be read"), "{detail}");
    }
}

#[test]
fn a_track_is_chosen_by_its_number() {
    let file = bytes_of("aac.m4a");
    let trak = |bytes: &[u8]| {
        let at = path(bytes, &[b"moov", b"trak"])[1];
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        bytes[at..at + size].to_vec()
    };
    // The second track has the same packets and begins 100 frames later: the encoder's delay is 1024 frames.
    let elst = atom(b"elst", &words(&[0, 1, 0, 1124, 0x1_0000]));
    let later = replace(&file, &[b"moov", b"trak", b"edts", b"elst"], &elst);
    let both = replace(&file, &[b"moov", b"trak"], &[trak(&file), trak(&later)].concat());
    let read = |track| {
        let source = Box::new(std::io::Cursor::new(both.clone()));
        let options = ReadOptions::COMPLETE.of_track(track);
        AudioReader::from_source(source, None, 44_100, options).and_then(|mut reader| reader.read(2000))
    };
    let whole = read_bytes(&file, 44_100).unwrap();
    assert!(read(Some(0)).unwrap() == part(&whole, 0..2000));
    assert!(read(Some(1)).unwrap() == part(&whole, 100..2100));
    assert!(read(None).unwrap() == part(&whole, 0..2000));
    assert!(read(Some(2)).unwrap_err().to_string().contains("no audio track 2 (counted from 0); it holds 2"));
    // A format without tracks.
    let wav = Box::new(std::io::Cursor::new(wav(1, 2, 8000, 16, &[0; 400])));
    let error =
        AudioReader::from_source(wav, None, 8000, ReadOptions::COMPLETE.of_track(Some(1))).err().unwrap();
    assert!(matches!(error.problem, Problem::NoTrack { track: 1, tracks: 1 }));
}
