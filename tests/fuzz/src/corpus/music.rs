//! Good MIDI files and SoundFonts.

use std::f32::consts::TAU;

/// Two files: one track in ticks of a beat with a running status and a system message, and three tracks in timecode.
pub(super) fn midi() -> Vec<Vec<u8>> {
    let band: &[u8] = &[
        0, 0xff, 0x51, 3, 7, 0xa1, 0x20, // the tempo
        0, 0xc1, 33, 0, 0xb1, 7, 100, 0, 0xb1, 101, 0, 0, 100, 0, 0, 6,
        12, // a bass, and the range of its bend
        0, 0xf0, 5, 0x7e, 0x7f, 9, 1, 0xf7, // General MIDI on
        0, 0x91, 40, 100, 0x83, 0x60, 40, 0, 0, 0xe1, 0, 80, // a note, with a running status
        0, 0x99, 36, 90, 60, 0x89, 36, 0, 0, 0x92, 60, 70, 10, 0xa2, 60, 30, 10, 0xd2, 40, 0x82, 0, 0x82, 60,
        0, 0, 0xff, 3, 4, b'b', b'a', b'n', b'd', 0, 0xff, 0x2f, 0,
    ];
    let drums: &[u8] = &[0, 0x99, 38, 90, 0x81, 0x70, 0x89, 38, 0, 0, 0xff, 0x2f, 0];
    let piano: &[u8] =
        &[0, 0xc0, 0, 0, 0x90, 60, 80, 0, 64, 80, 0x8f, 0x00, 60, 0, 0, 64, 0, 0, 0xff, 0x2f, 0];
    let empty: &[u8] = &[0, 0xff, 0x2f, 0];
    vec![smf(0, [1, 0xe0], &[band]), smf(1, [0xe7, 40], &[empty, drums, piano])]
}

fn smf(format: u8, division: [u8; 2], tracks: &[&[u8]]) -> Vec<u8> {
    let mut file = [b"MThd\0\0\0\x06\0", &[format, 0, tracks.len() as u8][..], &division].concat();
    for track in tracks {
        file.extend(b"MTrk");
        file.extend((track.len() as u32).to_be_bytes());
        file.extend(*track);
    }
    file
}

/// A SoundFont with two samples, and one whose samples are `vorbis`.
pub(super) fn sound_fonts(vorbis: &[u8]) -> Vec<Vec<u8>> {
    let tone = |n: usize| (12_000.0 * (TAU * n as f32 / 100.0).sin()) as i16;
    let samples: Vec<u8> = (0..1000).flat_map(|n| tone(n).to_le_bytes()).collect();
    // A tone of 441 Hz and a single period of it, each before the zeros that the format demands.
    let plain = [&samples, &[0; 92][..], &samples[..200], &[0; 92]].concat();
    let length = vorbis.len() as u32;
    vec![
        font(&plain, [[0, 1000, 100, 900], [1046, 1146, 1046, 1146]], 1),
        font(vorbis, [[0, length, 100, 900], [0, length, 0, 300]], 17),
    ]
}

/// `spans`: start, end, and start and end of the loop of each sample. `kind`: the type of the samples.
fn font(samples: &[u8], spans: [[u32; 4]; 2], kind: u8) -> Vec<u8> {
    let header = |span: [u32; 4]| {
        let numbers = span.into_iter().chain([44_100]).flat_map(u32::to_le_bytes);
        named("tone", &numbers.chain([69, 0, 0, 0, kind, 0]).collect::<Vec<u8>>())
    };
    let preset = |program: u16, bank: u16, zone: u16| {
        named("preset", &[words(&[program, bank, zone]), vec![0; 12]].concat())
    };
    // Generators: 5 and 7 bend the pitch, 8 filters, 38 is an envelope, 41 the instrument, 43 a range of keys, 51 and 52
    // tune, 53 is the sample, 54 the mode of its loop, 58 its key.
    let instruments =
        [5, 20, 8, 9000, 38, 1200, 54, 1, 53, 0, 54, 3, 52, 7, 43, 0x7f00, 58, 69, 7, 100, 53, 1, 0, 0];
    let tables: [(&[u8; 4], Vec<u8>); 9] = [
        (b"phdr", [preset(0, 128, 0), preset(0, 0, 1), preset(33, 0, 2), preset(0, 0, 4)].concat()),
        (b"pbag", words(&[0, 0, 1, 0, 2, 0, 4, 0, 5, 0])),
        (b"pmod", vec![0; 10]),
        (b"pgen", words(&[41, 0, 41, 1, 51, 1, 41, 0, 41, 1, 0, 0])),
        (b"inst", [named("long", &[0, 0]), named("short", &[1, 0]), named("EOI", &[3, 0])].concat()),
        (b"ibag", words(&[0, 0, 5, 0, 7, 0, 11, 0])),
        (b"imod", vec![0; 10]),
        (b"igen", words(&instruments)),
        (b"shdr", [header(spans[0]), header(spans[1]), named("EOS", &[0; 26])].concat()),
    ];
    let mut parameters = b"pdta".to_vec();
    tables.iter().for_each(|(name, content)| parameters.extend(chunk(name, content)));
    let info = [&b"INFO"[..], &chunk(b"ifil", &[2, 0, 1, 0])].concat();
    let sound = [&b"sdta"[..], &chunk(b"smpl", samples)].concat();
    let lists = [info, sound, parameters].map(|list| chunk(b"LIST", &list)).concat();
    chunk(b"RIFF", &[&b"sfbk"[..], &lists].concat())
}

fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let padding = vec![0; content.len() % 2];
    [&name[..], &(content.len() as u32).to_le_bytes(), content, &padding].concat()
}

/// A record with a name of 20 bytes.
fn named(name: &str, rest: &[u8]) -> Vec<u8> {
    let mut record = name.as_bytes().to_vec();
    record.resize(20, 0);
    record.extend(rest);
    record
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
