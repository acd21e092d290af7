//! Changes the boxes of an mp4, and takes it apart.

use crate::common::fixture;

pub(crate) fn bytes_of(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

pub(crate) fn atom(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32 + 8).to_be_bytes(), name.as_slice(), content].concat()
}

pub(crate) fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// The positions of the boxes along a path. The last one is the box itself.
pub(crate) fn path(bytes: &[u8], names: &[&[u8; 4]]) -> Vec<usize> {
    let (mut at, mut end) = (0, bytes.len());
    let mut found = Vec::new();
    for name in names {
        while &bytes[at + 4..at + 8] != name.as_slice() {
            at += word(bytes, at);
            assert!(at < end, "no box {}", String::from_utf8_lossy(*name));
        }
        found.push(at);
        end = at + word(bytes, at);
        at += 8;
    }
    found
}

/// Replaces a box by another one, or by several, and corrects the sizes of the boxes around it.
pub(crate) fn replace(bytes: &[u8], names: &[&[u8; 4]], new: &[u8]) -> Vec<u8> {
    let mut around = path(bytes, names);
    let at = around.pop().unwrap();
    let old = word(bytes, at);
    let mut changed = bytes.to_vec();
    changed.splice(at..at + old, new.iter().copied());
    for position in around {
        let size = (word(bytes, position) + new.len() - old) as u32;
        changed[position..position + 4].copy_from_slice(&size.to_be_bytes());
    }
    changed
}

/// The contents of a box.
pub(crate) fn content<'a>(bytes: &'a [u8], names: &[&[u8; 4]]) -> &'a [u8] {
    let at = *path(bytes, names).last().unwrap();
    &bytes[at + 8..at + word(bytes, at)]
}

pub(crate) const STBL: [&[u8; 4]; 5] = [b"moov", b"trak", b"mdia", b"minf", b"stbl"];

/// The path of a sample table.
pub(crate) fn table(name: &'static [u8; 4]) -> Vec<&'static [u8; 4]> {
    [STBL.as_slice(), &[name]].concat()
}

/// The packets of an mp4 with one track, whose data are in one piece.
pub(crate) fn packets(bytes: &[u8]) -> Vec<Vec<u8>> {
    let sizes = content(bytes, &table(b"stsz"));
    let mut at = word(content(bytes, &table(b"stco")), 8);
    (0..word(sizes, 8))
        .map(|index| {
            let size = word(sizes, 12 + 4 * index);
            at += size;
            bytes[at - size..at].to_vec()
        })
        .collect()
}

/// The file with its movie box before its data.
pub(crate) fn moov_first(bytes: &[u8]) -> Vec<u8> {
    let at = path(bytes, &[b"moov"])[0];
    let size = word(bytes, at);
    let chunks = content(bytes, &table(b"stco"));
    let moved: Vec<u32> = chunks[8..].chunks(4).map(|chunk| (word(chunk, 0) + size) as u32).collect();
    let stco = atom(b"stco", &[&chunks[..8], words(&moved).as_slice()].concat());
    let changed = replace(bytes, &table(b"stco"), &stco);
    let start = word(bytes, 0);
    [&changed[..start], &changed[at..at + size], &changed[start..at], &changed[at + size..]].concat()
}

/// The packets as ADTS: AAC-LC, 44100 Hz, two channels.
pub(crate) fn adts(packets: &[Vec<u8>]) -> Vec<u8> {
    let pack = |packet: &Vec<u8>| {
        let size = packet.len() + 7;
        let head =
            [0xff, 0xf1, 0x50, 0x80 | (size >> 11) as u8, (size >> 3) as u8, (size << 5) as u8 | 0x1f, 0xfc];
        [head.as_slice(), packet].concat()
    };
    packets.iter().flat_map(pack).collect()
}

/// The packet with SBR data before its end.
pub(crate) fn with_sbr(packet: &[u8]) -> Vec<u8> {
    let mut bits: String = packet.iter().map(|byte| format!("{byte:08b}")).collect();
    let end = bits.rfind("111").unwrap();
    bits.truncate(end);
    bits += &format!("1100011{}111", "110101100011100110101011");
    while !bits.len().is_multiple_of(8) {
        bits.push('0');
    }
    (0..bits.len() / 8).map(|k| u8::from_str_radix(&bits[8 * k..8 * k + 8], 2).unwrap()).collect()
}

/// An element of Matroska. The size has four bytes.
pub(crate) fn element(id: u32, content: &[u8]) -> Vec<u8> {
    let id: Vec<u8> = id.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    let size = (content.len() as u32 | 0x1000_0000).to_be_bytes();
    [id.as_slice(), &size, content].concat()
}

/// A Matroska file whose segment and clusters have unknown sizes. Every cluster holds one of `blocks`.
pub(crate) fn matroska(codec: &[u8], private: &[u8], blocks: &[Vec<u8>]) -> Vec<u8> {
    let audio = element(0xe1, &[element(0xb5, &44_100_f32.to_be_bytes()), element(0x9f, &[2])].concat());
    let track =
        [element(0xd7, &[1]), element(0x83, &[2]), element(0x86, codec), element(0x63a2, private), audio];
    let duration = element(0x4489, &600_f64.to_be_bytes());
    let mut file = element(0x1a45_dfa3, &element(0x4282, b"matroska"));
    file.extend([0x18, 0x53, 0x80, 0x67, 0xff]);
    file.extend(element(0x1549_a966, &duration));
    file.extend(element(0x1654_ae6b, &element(0xae, &track.concat())));
    for block in blocks {
        file.extend([0x1f, 0x43, 0xb6, 0x75, 0xff]);
        file.extend(element(0xe7, &[0]));
        file.extend(element(0xa3, block));
    }
    file
}
