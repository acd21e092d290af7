//! Random changes of a good file.

use rand::{Rng, RngExt};

use crate::targets::Target;

/// Most changes have their effect in headers, which are at the beginning and, in some formats, at the end.
const EDGE: usize = 256;

/// Values that lengths and counts overflow at.
const NUMBERS: [u64; 10] =
    [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff];

/// A copy of a random file of the corpus with one to eight changes.
pub(crate) fn mutate(corpus: &[Vec<u8>], target: Target, rng: &mut impl Rng) -> Vec<u8> {
    let mut file = pick(corpus, rng).clone();
    for _ in 0..rng.random_range(1..=8) {
        change(&mut file, corpus, target, rng);
    }
    // A wrong checksum would keep most changes from the code behind it.
    if target == Target::Ogg && rng.random_bool(0.75) {
        mend_ogg(&mut file);
    }
    file
}

fn pick<'a, T>(items: &'a [T], rng: &mut impl Rng) -> &'a T {
    &items[rng.random_range(0..items.len())]
}

fn change(file: &mut Vec<u8>, corpus: &[Vec<u8>], target: Target, rng: &mut impl Rng) {
    if file.is_empty() {
        file.push(rng.random());
    }
    let at = position(file.len(), target, rng);
    let length = |rng: &mut _| {
        let longest = (file.len() - at).min(1 << RngExt::random_range(rng, 0..12));
        RngExt::random_range(rng, 0..=longest)
    };
    match rng.random_range(0..9) {
        0 => file[at] ^= 1 << rng.random_range(0..8),
        1 => file[at] = rng.random(),
        2 | 3 => {
            let number = pick(&NUMBERS, rng).wrapping_add_signed(rng.random_range(-1..=1));
            let width = 1 << rng.random_range(0..4);
            let bytes = number.to_le_bytes();
            let mut bytes = bytes[..width].to_vec();
            if rng.random() {
                bytes.reverse();
            }
            for (old, new) in file[at..].iter_mut().zip(bytes) {
                *old = new;
            }
        }
        4 => drop(file.drain(at..at + length(rng))),
        5 => {
            let copy = file[at..at + length(rng)].to_vec();
            let to = rng.random_range(0..=file.len());
            file.splice(to..to, copy);
        }
        6 => {
            let noise: Vec<u8> = (0..rng.random_range(1..64)).map(|_| rng.random()).collect();
            file.splice(at..at, noise);
        }
        7 => {
            // The beginning of this file, and the end of another.
            let other = pick(corpus, rng);
            file.truncate(at);
            file.extend(&other[rng.random_range(0..other.len())..]);
        }
        _ => file.truncate(at),
    }
}

fn position(length: usize, target: Target, rng: &mut impl Rng) -> usize {
    // The headers of these files are long.
    let edge = match target {
        Target::Weights | Target::Checkpoint => 16 * EDGE,
        Target::SoundFont => 3 * EDGE,
        _ => EDGE,
    };
    let edge = length.min(edge);
    match rng.random_range(0..4) {
        0 | 1 => rng.random_range(0..edge),
        2 => length - 1 - rng.random_range(0..edge),
        _ => rng.random_range(0..length),
    }
}

/// Writes the right checksum into every page that is complete (RFC 3533, section 6).
fn mend_ogg(file: &mut [u8]) {
    let mut at = 0;
    while let Some(page) = file.get(at..).filter(|rest| rest.len() >= 27 && rest.starts_with(b"OggS")) {
        let segments = usize::from(page[26]);
        let Some(sizes) = page.get(27..27 + segments) else { return };
        let length = 27 + segments + sizes.iter().copied().map(usize::from).sum::<usize>();
        let Some(page) = file.get_mut(at..at + length) else { return };
        page[22..26].fill(0);
        let checksum = page.iter().fold(0u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| {
                crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
            })
        });
        page[22..26].copy_from_slice(&checksum.to_le_bytes());
        at += length;
    }
}
