//! Reads SoundFonts (sf2, sf3).
//!
//! rustysynth trusts the numbers of a file: a wrong index is a panic, and indices that go back can ask for gigabytes.
//! Therefore the file is taken apart and checked here, and rustysynth reads the checked tables.

use std::fs;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustysynth::SoundFont;

use super::font_problem::{FontProblem, MAX_BYTES, MAX_REGIONS};
use super::score::{BASSES, Part};
use super::{loops, sf3};

/// The tables of a SoundFont, with the size of their records.
pub(super) const TABLES: [(&[u8; 4], usize); 7] =
    [(b"phdr", 38), (b"pbag", 4), (b"pgen", 4), (b"inst", 22), (b"ibag", 4), (b"igen", 4), (b"shdr", 46)];

/// A SoundFont and the stems that it can play.
#[derive(Clone)]
pub(super) struct Font {
    pub(super) path: PathBuf,
    pub(super) sounds: Arc<SoundFont>,
    covers: [bool; 3],
}

/// The parts of a file that matter.
pub(super) struct Chunks<'a> {
    pub(super) samples: &'a [u8],
    /// In the order of [`TABLES`].
    pub(super) tables: [&'a [u8]; 7],
}

impl Font {
    pub(super) fn read(path: &Path) -> Result<Self, FontProblem> {
        if fs::metadata(path)?.len() > MAX_BYTES {
            return Err(FontProblem::TooLarge);
        }
        let sounds = Arc::new(load(&fs::read(path)?)?);
        let has = |bank: i32, programs: std::ops::Range<i32>| {
            let mut presets = sounds.get_presets().iter();
            presets.any(|p| p.get_bank_number() == bank && programs.contains(&p.get_patch_number()))
        };
        let basses = i32::from(BASSES.start)..i32::from(BASSES.end);
        let other = has(0, 0..basses.start) || has(0, basses.end..128);
        let covers = [has(128, 0..128), has(0, basses), other];
        Ok(Self { path: path.to_owned(), sounds, covers })
    }

    pub(super) fn covers(&self, part: Part) -> bool {
        self.covers[part as usize]
    }
}

/// Reads a SoundFont from the bytes of a file.
pub(super) fn load(bytes: &[u8]) -> Result<SoundFont, FontProblem> {
    let chunks = take_apart(bytes)?;
    check_tables(&chunks.tables)?;
    let (decoded, headers);
    let (mut samples, mut tables) = (chunks.samples, chunks.tables);
    if sf3::is_compressed(samples) {
        (decoded, headers) = sf3::decode(samples, tables[6])?;
        (samples, tables[6]) = (&decoded, &headers);
    }
    if samples.len() < 4 {
        return Err(FontProblem::NoSamples);
    }
    let mut font = parsed(samples, &tables)?;
    let short = loops::too_short(&font)?;
    if !short.is_empty() {
        let (samples, headers) = loops::unrolled(samples, tables[6], &short)?;
        tables[6] = &headers;
        font = parsed(&samples, &tables)?;
        if !loops::too_short(&font)?.is_empty() {
            return Err(FontProblem::Refused("its loops contradict each other".into()));
        }
    }
    let regions = |preset: &rustysynth::Preset| -> usize {
        let instruments = preset.get_regions().iter().map(rustysynth::PresetRegion::get_instrument_id);
        instruments.map(|id| font.get_instruments()[id].get_regions().len()).sum()
    };
    if font.get_presets().iter().any(|preset| regions(preset) > MAX_REGIONS) {
        return Err(FontProblem::TooManyRegions);
    }
    Ok(font)
}

fn parsed(samples: &[u8], tables: &[&[u8]; 7]) -> Result<SoundFont, FontProblem> {
    // The library's own checks are not complete. A panic of it must not end the program.
    let font = catch_unwind(AssertUnwindSafe(|| SoundFont::new(&mut rebuilt(samples, tables))));
    let font = font.map_err(|_| FontProblem::Refused("its tables contradict each other".into()))?;
    font.map_err(|error| FontProblem::Refused(error.to_string()))
}

/// Splits a chunk from the front: its name, its content, and the rest.
fn chunk(bytes: &[u8]) -> Result<[&[u8]; 3], FontProblem> {
    let head: &[u8; 8] = bytes.first_chunk().ok_or(FontProblem::Truncated)?;
    let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    let content = bytes[8..].get(..size as usize).ok_or(FontProblem::Truncated)?;
    // A byte of padding, which is 0, follows a chunk of odd size. Some writers of sf3 files omit it.
    let rest = &bytes[8 + content.len()..];
    let padded = content.len() % 2 == 1 && rest.first() == Some(&0);
    let rest = &rest[usize::from(padded)..];
    Ok([&bytes[..4], content, rest])
}

fn take_apart(bytes: &[u8]) -> Result<Chunks<'_>, FontProblem> {
    if bytes.len() < 12 || &bytes[..4] != b"RIFF" || &bytes[8..12] != b"sfbk" {
        return Err(FontProblem::NotSoundFont);
    }
    let [_, content, _] = chunk(bytes)?;
    let (mut samples, mut tables) = (None, [None; 7]);
    let mut lists = content.get(4..).ok_or(FontProblem::Truncated)?;
    while !lists.is_empty() {
        let [name, list, rest] = chunk(lists)?;
        lists = rest;
        let kind = list.get(..4).unwrap_or_default();
        if name != b"LIST" || !(kind == b"sdta" || kind == b"pdta") {
            continue;
        }
        let mut inner = &list[4..];
        while !inner.is_empty() {
            let [name, content, rest] = chunk(inner)?;
            inner = rest;
            if name == b"smpl" {
                samples = Some(content);
            }
            if let Some(index) = TABLES.iter().position(|(table, _)| *table == name) {
                tables[index] = Some(content);
            }
        }
    }
    let mut complete = [&[][..]; 7];
    for ((slot, table), (name, size)) in complete.iter_mut().zip(tables).zip(TABLES) {
        let whole = |table: &&[u8]| !table.is_empty() && table.len().is_multiple_of(size);
        *slot = table.filter(whole).ok_or_else(|| FontProblem::Table(text(name)))?;
    }
    Ok(Chunks { samples: samples.ok_or(FontProblem::NoSamples)?, tables: complete })
}

/// Checks that the indices of presets, instruments and zones do not go back and stay within their tables.
fn check_tables(tables: &[&[u8]; 7]) -> Result<(), FontProblem> {
    // The table, the position of its index within a record, and the table to which it refers.
    for (table, offset, target) in [(0, 24, 1), (1, 0, 2), (3, 20, 4), (4, 0, 5)] {
        let (name, size) = TABLES[table];
        // The last record of each table is a terminator.
        let most = tables[target].len() / TABLES[target].1 - 1;
        let mut last = 0;
        for record in tables[table].chunks_exact(size) {
            let index = usize::from(u16::from_le_bytes([record[offset], record[offset + 1]]));
            if index < last || index > most {
                return Err(FontProblem::Index(text(name)));
            }
            last = index;
        }
    }
    Ok(())
}

/// The bytes of a SoundFont with only the parts that matter, without copying the samples.
fn rebuilt<'a>(samples: &'a [u8], tables: &[&[u8]; 7]) -> impl Read + 'a {
    let samples = &samples[..samples.len() / 2 * 2];
    let mut head = b"RIFF\0\0\0\0sfbkLIST\x04\0\0\0INFOLIST".to_vec();
    // The library reads each list up to its declared size.
    head.extend((samples.len() as u32 + 12).to_le_bytes());
    head.extend(b"sdtasmpl");
    head.extend((samples.len() as u32).to_le_bytes());
    let mut tail = b"LIST".to_vec();
    let size: usize = tables.iter().map(|table| table.len() + 8).sum();
    tail.extend((size as u32 + 4).to_le_bytes());
    tail.extend(b"pdta");
    for ((name, _), table) in TABLES.iter().zip(tables) {
        tail.extend(*name);
        tail.extend((table.len() as u32).to_le_bytes());
        tail.extend(*table);
    }
    Cursor::new(head).chain(samples).chain(Cursor::new(tail))
}

fn text(name: &[u8; 4]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::midi::fixture::{damaged_fonts, sound_font};

    #[test]
    fn a_font_knows_the_stems_that_it_can_play() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("tiny.sf2");
        fs::write(&path, sound_font()).expect("a writable folder");
        let font = Font::read(&path).expect("a good font");
        assert!(Part::ALL.into_iter().all(|part| font.covers(part)));
        assert_eq!(font.sounds.get_presets().len(), 3);
    }

    #[test]
    fn the_padding_of_odd_chunks_may_be_missing() {
        for padding in [&[][..], &[0]] {
            let bytes = [b"smpl\x03\0\0\0abc", padding, b"phdr\0\0\0\0"].concat();
            let [name, content, rest] = chunk(&bytes).expect("a good chunk");
            assert!(name == b"smpl" && content == b"abc" && rest == b"phdr\0\0\0\0");
        }
    }

    #[test]
    fn damaged_fonts_are_refused_with_a_reason() {
        let damaged = damaged_fonts();
        assert!(damaged.len() >= 10);
        for (what, bytes) in damaged {
            let problem = load(&bytes).err();
            assert!(problem.is_some_and(|p| !p.to_string().is_empty()), "{what} was accepted");
        }
    }
}
