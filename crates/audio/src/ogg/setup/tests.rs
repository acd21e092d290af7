//! A small header with one field changed, and headers of libvorbis with random changes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use unbraid_base::Stereo;

use super::{modes, root, tables};
use crate::error::Problem;
use crate::ogg::vorbis::VORBIS;

/// A field of a header: its name, its value and its number of bits.
type Field = (&'static str, u64, usize);

/// Two codebooks, a floor of each type, a residue, a mapping with two submaps, and two modes. For two channels.
const FIELDS: &[Field] = &[
    ("books", 1, 8),
    ("sync", 0x56_4342, 24),
    ("dimensions", 1, 16),
    ("entries", 2, 24),
    ("is_ordered", 0, 1),
    ("is_sparse", 0, 1),
    ("length_a", 0, 5),
    ("length_b", 0, 5),
    ("no_lookup", 0, 4),
    ("", 0x56_4342, 24),
    ("", 2, 16),
    ("vector_entries", 4, 24),
    ("", 1, 1),
    ("first_length", 1, 5),
    ("count", 4, 3),
    ("lookup", 1, 4),
    ("minimum", 0, 32),
    ("step", 788 << 21 | 1, 32),
    ("", 0, 4),
    ("", 0, 1),
    ("values", 0b10, 2),
    ("times", 0, 6),
    ("time", 0, 16),
    ("floors", 1, 6),
    ("floor_type", 1, 16),
    ("partitions", 1, 5),
    ("class", 0, 4),
    ("class_dimensions", 1, 3),
    ("subclass_bits", 1, 2),
    ("master_book", 0, 8),
    ("sub_book", 1, 8),
    ("", 0, 8),
    ("multiplier", 0, 2),
    ("range", 3, 4),
    ("point_a", 2, 3),
    ("point_b", 5, 3),
    ("", 0, 16),
    ("order", 2, 8),
    ("rate", 8000, 16),
    ("bark_map", 16, 16),
    ("amplitude", 6, 6),
    ("", 100, 8),
    ("floor_books", 0, 4),
    ("floor_book", 1, 8),
    ("residues", 0, 6),
    ("residue_type", 2, 16),
    ("begin", 0, 24),
    ("end", 64, 24),
    ("partition", 7, 24),
    ("residue_classes", 0, 6),
    ("class_book", 0, 8),
    ("cascade", 1, 3),
    ("", 0, 1),
    ("residue_book", 1, 8),
    ("mappings", 0, 6),
    ("mapping_type", 0, 16),
    ("", 1, 1),
    ("", 1, 4),
    ("", 1, 1),
    ("", 0, 8),
    ("magnitude", 0, 1),
    ("angle", 1, 1),
    ("reserved", 0, 2),
    ("", 0, 4),
    ("submap", 1, 4),
    ("", 0, 8),
    ("mapping_floor", 0, 8),
    ("mapping_residue", 0, 8),
    ("", 0, 8),
    ("", 1, 8),
    ("", 0, 8),
    ("modes", 1, 6),
    ("", 0, 1),
    ("window", 0, 16),
    ("transform", 0, 16),
    ("mode_mapping", 0, 8),
    ("", 1, 1),
    ("", 0, 16),
    ("", 0, 16),
    ("", 0, 8),
    ("framing", 1, 1),
];

fn write(fields: &[Field]) -> Vec<u8> {
    let bits: Vec<bool> =
        fields.iter().flat_map(|&(_, value, width)| (0..width).map(move |k| value >> k & 1 == 1)).collect();
    let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
    b"\x05vorbis".iter().copied().chain(bits.chunks(8).map(byte)).collect()
}

/// The small header with the field `name` replaced.
fn replaced(name: &str, fields: &[Field]) -> Vec<u8> {
    let at = FIELDS.iter().position(|field| field.0 == name).unwrap();
    write(&[&FIELDS[..at], fields, &FIELDS[at + 1..]].concat())
}

/// The small header with another value in the field `name`.
fn with(name: &str, value: u64) -> Vec<u8> {
    let (_, _, width) = FIELDS.iter().find(|field| field.0 == name).unwrap();
    assert!(value >> width == 0);
    replaced(name, &[("", value, *width)])
}

/// The identification header of two channels with blocks of 256 and 2048.
fn identification() -> Vec<u8> {
    [b"\x01vorbis\0\0\0\0\x02\x44\xac\0\0".as_slice(), &[0; 12], &[0xb8, 1]].concat()
}

/// The setup header of libvorbis for 44.1 kHz.
fn of_libvorbis() -> Vec<u8> {
    let file = include_bytes!("../../../tests/fixtures/tone.ogg");
    let find = |mark: &[u8], from| from + file[from..].windows(mark.len()).position(|w| w == mark).unwrap();
    let start = find(b"\x05vorbis", 0);
    file[start..find(b"OggS", start)].to_vec()
}

#[track_caller]
fn assert_refused(setup: &[u8], detail: &str) {
    match modes(setup, 2) {
        Err(Problem::Malformed { seconds: 0.0, detail: actual }) => {
            assert_eq!(actual, format!("its Vorbis setup header is damaged: {detail}"));
        }
        other => panic!("{detail}: {other:?}"),
    }
}

#[test]
fn good_headers_give_their_modes_and_a_decoder() {
    for setup in [write(FIELDS), of_libvorbis()] {
        assert_eq!(modes(&setup, 2).unwrap(), [false, true]);
        assert!((VORBIS.open)(&[identification(), Vec::new(), setup]).is_ok());
    }
}

#[test]
fn each_damage_is_named() {
    for (field, value, detail) in [
        ("books", 255, "a codebook does not begin with its mark"),
        ("sync", 0, "a codebook does not begin with its mark"),
        ("dimensions", 0, "a codebook has an impossible size"),
        ("dimensions", 33, "a codebook has an impossible size"),
        ("vector_entries", (1 << 17) + 1, "a codebook has an impossible size"),
        ("length_a", 1, "a codebook has too few codewords"),
        ("first_length", 2, "a codebook has too few codewords"),
        ("first_length", 0, "a codebook has too many codewords"),
        ("count", 5, "a codebook has impossible lengths of codewords"),
        ("lookup", 3, "a codebook has an unknown lookup type"),
        ("time", 1, "a time domain transform has an unknown type"),
        ("floor_type", 2, "a floor has an unknown type"),
        ("master_book", 2, "it uses a codebook that does not exist"),
        ("sub_book", 3, "it uses a codebook that does not exist"),
        ("point_b", 2, "two points of a floor are equal"),
        ("point_b", 0, "two points of a floor are equal"),
        ("order", 0, "a floor has an impossible size"),
        ("rate", 0, "a floor has an impossible size"),
        ("bark_map", 0, "a floor has an impossible size"),
        ("floor_books", 15, "a floor has too many codebooks"),
        ("floor_book", 0, "it uses a codebook without vectors"),
        ("residue_type", 3, "a residue has an unknown type"),
        ("begin", 65, "a residue ends before its beginning"),
        ("class_book", 2, "it uses a codebook that does not exist"),
        ("residue_book", 0, "it uses a codebook without vectors"),
        ("residue_book", 2, "it uses a codebook that does not exist"),
        ("mapping_type", 1, "a mapping has an unknown type"),
        ("magnitude", 1, "a mapping couples channels that do not exist"),
        ("reserved", 1, "the reserved bits of a mapping are set"),
        ("submap", 2, "a mapping uses a submap that does not exist"),
        ("mapping_floor", 2, "a mapping uses a floor or a residue that does not exist"),
        ("mapping_residue", 1, "a mapping uses a floor or a residue that does not exist"),
        ("window", 1, "a mode has an unknown window"),
        ("transform", 1, "a mode has an unknown transform"),
        ("mode_mapping", 1, "a mode uses a mapping that does not exist"),
        ("framing", 0, "its last bit is not set"),
    ] {
        assert_refused(&with(field, value), detail);
    }
}

#[test]
fn damage_of_several_fields_is_named() {
    // Sparse, with none of the two entries used.
    let at = FIELDS.iter().position(|field| field.0 == "is_sparse").unwrap();
    let empty = [&FIELDS[..at], &[("", 1, 1), ("", 0, 2)], &FIELDS[at + 3..]].concat();
    assert_refused(&write(&empty), "it uses an empty codebook");
    // One codeword of 32 bits, one of 33.
    assert_refused(
        &replaced("first_length", &[("", 31, 5), ("", 1, 3), ("", 1, 2)]),
        "a codebook has impossible lengths of codewords",
    );
    let classes: Vec<Field> = [("", 9, 5)].into_iter().chain([("", 0, 4); 8]).collect();
    let at = FIELDS.iter().position(|field| field.0 == "class_dimensions").unwrap();
    let mut points = FIELDS.to_vec();
    points[at].1 = 7;
    points.splice(at - 2..=at - 2, classes);
    assert_refused(&write(&points), "a floor has too many points");
    // 2¹⁷ codewords of 17 bits would need 65 793 tables.
    let at = FIELDS.iter().position(|field| field.0 == "vector_entries").unwrap();
    let many = [("", 1 << 17, 24), ("", 1, 1), ("", 16, 5), ("", 1 << 17, 18), ("", 0, 4)];
    let large = [&FIELDS[..at], &many, &FIELDS[at + 5..]].concat();
    assert_refused(&write(&large), "its codebooks are too large");
}

#[test]
fn a_cut_header_is_refused() {
    assert_refused(b"\x05vorbi", "it does not begin with its mark");
    for setup in [write(FIELDS), of_libvorbis()] {
        for length in 7..setup.len() {
            assert_refused(&setup[..length], "it ends too early");
        }
    }
}

#[test]
fn trees_are_complete() {
    let cases: &[(&[usize], Result<usize, &str>)] = &[
        (&[], Ok(0)),
        (&[1], Ok(1)),
        (&[2], Err("a codebook has too few codewords")),
        (&[1, 1], Ok(1)),
        (&[2, 1, 2], Ok(1)),
        (&[2, 4, 4, 4, 4, 2, 3, 3], Ok(1)),
        (&[1, 1, 1], Err("a codebook has too many codewords")),
        (&[1, 1, 32], Err("a codebook has too many codewords")),
        (&[1, 2], Err("a codebook has too few codewords")),
        // The nodes of depths 0, 8, 16 and 24 on the way to the last codewords.
        (
            &[
                1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
                26, 27, 28, 29, 30, 31, 32, 32,
            ],
            Ok(4),
        ),
    ];
    for (lengths, expected) in cases {
        assert_eq!(&tables(lengths), expected, "{lengths:?}");
    }
    assert_eq!(
        [root(0, 3), root(1, 32), root(124, 3), root(125, 3), root(1 << 17, 1)],
        [0, 1, 4, 5, 1 << 17]
    );
}

/// Symphonia must not panic for a header that is accepted, whatever the packets hold.
#[test]
fn accepted_headers_decode_without_a_panic() {
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let originals = [write(FIELDS), of_libvorbis()];
    let mut accepted = 0;
    for round in 0..6_000 {
        let mut setup = originals[usize::from(round % 4 == 0)].clone();
        for _ in 0..1 + random(3) {
            let at = 7 + random(setup.len() - 7);
            setup[at] ^= 1 << random(8);
        }
        if modes(&setup, 2).is_err() {
            continue;
        }
        let headers = [identification(), Vec::new(), setup];
        let packets: Vec<Vec<u8>> =
            (0..8).map(|k| (0..8 << k).map(|_| random(256) as u8).collect()).collect();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let Ok(mut codec) = (VORBIS.open)(&headers) else { return };
            let mut out = Stereo::default();
            for mut packet in packets {
                packet[0] &= !1;
                let _ = codec.decode(&packet, &mut out);
            }
        }));
        assert!(outcome.is_ok(), "round {round}");
        accepted += 1;
    }
    assert!(accepted > 300, "{accepted} headers were accepted");
}
