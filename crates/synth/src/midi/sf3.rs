//! Decodes the compressed samples of sf3 files: each sample is an Ogg Vorbis stream.

use std::io::Cursor;

use rayon::prelude::*;
use unbraid_audio::{AudioReader, ReadOptions};

use super::font_problem::FontProblem;

/// Samples of a decoded SoundFont.
const MAX_SAMPLES: usize = 256 << 20;

/// Zeros after each sample, as the format demands for the interpolation at the end.
pub(super) const GAP: usize = 46;

/// Bytes of a record of the table of samples.
pub(super) const HEADER: usize = 46;

/// The flag of a compressed sample in its type.
const COMPRESSED: u16 = 0x10;

pub(super) fn is_compressed(samples: &[u8]) -> bool {
    samples.starts_with(b"OggS")
}

/// The decoded samples as 16-bit bytes, and the table of samples with their new positions.
pub(super) fn decode(samples: &[u8], table: &[u8]) -> Result<(Vec<u8>, Vec<u8>), FontProblem> {
    let records: Vec<&[u8]> = table.chunks_exact(HEADER).collect();
    let count = records.len() - 1;
    let sounds: Vec<Vec<i16>> = records[..count]
        .par_iter()
        .enumerate()
        .map(|(index, record)| {
            decode_one(samples, record).map_err(|reason| FontProblem::Sample { index, reason })
        })
        .collect::<Result<_, _>>()?;
    if sounds.iter().map(|sound| sound.len() + GAP).sum::<usize>() > MAX_SAMPLES {
        return Err(FontProblem::TooLarge);
    }
    let (mut bytes, mut headers) = (Vec::new(), Vec::with_capacity(table.len()));
    for (record, sound) in records.iter().zip(&sounds) {
        let start = (bytes.len() / 2) as u32;
        bytes.extend(sound.iter().flat_map(|x| x.to_le_bytes()));
        bytes.extend([0; 2 * GAP]);
        let length = sound.len() as u32;
        let mut header = record.to_vec();
        // The loop is relative to the sample.
        let ends = [0, length, number(record, 28).min(length), number(record, 32).min(length)];
        for (slot, end) in header[20..36].chunks_exact_mut(4).zip(ends) {
            slot.copy_from_slice(&(start + end).to_le_bytes());
        }
        headers.extend(header);
    }
    headers.extend(records[count]);
    Ok((bytes, headers))
}

fn decode_one(samples: &[u8], record: &[u8]) -> Result<Vec<i16>, String> {
    let kind = u16::from_le_bytes([record[44], record[45]]);
    let bytes = samples.get(number(record, 20) as usize..number(record, 24) as usize);
    let bytes = bytes.ok_or("its position is wrong")?;
    if kind & COMPRESSED == 0 {
        return Ok(bytes.chunks_exact(2).map(|x| i16::from_le_bytes([x[0], x[1]])).collect());
    }
    let source = Box::new(Cursor::new(bytes.to_vec()));
    let rate = number(record, 36);
    let mut reader = AudioReader::from_source(source, Some("ogg"), rate, ReadOptions::NEARLY_COMPLETE)
        .map_err(|error| error.to_string())?;
    let [sound, _] = reader.read(MAX_SAMPLES / 16).map_err(|error| error.to_string())?;
    Ok(sound.into_iter().map(|x| (x * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16).collect())
}

/// A 32-bit number of a record.
pub(super) fn number(record: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
}
