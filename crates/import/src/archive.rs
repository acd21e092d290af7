//! The zip archive of a checkpoint. Its entries are stored without compression, so a tensor is a range of the file.

use std::collections::BTreeMap;

use rawzip::{CompressionMethod, Error, ZipLocator};

use crate::error::{ImportError, damaged};
use crate::source::Source;

/// Maximum number of entries. A checkpoint has one per storage, and the largest networks have some thousands.
const MAX_ENTRIES: usize = 100_000;

/// Bytes for one record of the directory. The format allows no longer ones.
const BUFFER: usize = 3 * (1 << 16) + 64;

/// An entry: a range of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// The checksum of the bytes, if the file has one.
    pub(crate) crc: Option<u32>,
}

/// The entries of the archive, by name.
pub(crate) fn entries(source: &Source) -> Result<BTreeMap<String, Entry>, ImportError> {
    let mut buffer = vec![0; BUFFER];
    let archive = ZipLocator::new()
        .locate_in_reader(source, &mut buffer, source.length())
        .map_err(|(_, error)| unreadable(&error))?;
    let mut entries = BTreeMap::new();
    let mut records = archive.entries(&mut buffer);
    while let Some(record) = records.next_entry().map_err(|error| unreadable(&error))? {
        let name = String::from_utf8_lossy(record.file_path().as_bytes()).into_owned();
        if entries.len() == MAX_ENTRIES {
            return Err(ImportError::Limit(format!("more than {MAX_ENTRIES} entries in its zip archive")));
        }
        if name.starts_with(['/', '\\']) || name.split(['/', '\\']).any(|part| part == "..") {
            return damaged(format!("its zip archive has an entry with the path {name:?}"));
        }
        if record.flags().is_encrypted() {
            return Err(ImportError::Unsupported(format!("{name:?} in its zip archive is encrypted")));
        }
        if record.compression_method() != CompressionMethod::STORE {
            let method = record.compression_method();
            let reason = format!("{name:?} in its zip archive is compressed ({method}); PyTorch stores it");
            return Err(ImportError::Unsupported(reason));
        }
        if record.compressed_size_hint() != record.uncompressed_size_hint() {
            return damaged(format!("{name:?} in its zip archive has two lengths"));
        }
        let crc = Some(record.crc32());
        let entry = archive.get_entry(record.wayfinder()).map_err(|error| unreadable(&error))?;
        let (start, end) = entry.compressed_data_range();
        if end > source.length() {
            return damaged(format!("{name:?} in its zip archive ends beyond the file"));
        }
        let entry = Entry { offset: start, length: end - start, crc };
        if entries.insert(name.clone(), entry).is_some() {
            return damaged(format!("its zip archive has two entries {name:?}"));
        }
    }
    check_overlap(&entries)?;
    Ok(entries)
}

/// Entries that share bytes could claim any amount of data in a small file.
fn check_overlap(entries: &BTreeMap<String, Entry>) -> Result<(), ImportError> {
    let mut ranges: Vec<_> = entries.iter().filter(|(_, entry)| entry.length > 0).collect();
    ranges.sort_by_key(|(_, entry)| entry.offset);
    match ranges.windows(2).find(|pair| pair[0].1.offset + pair[0].1.length > pair[1].1.offset) {
        Some(pair) => damaged(format!("{:?} and {:?} in its zip archive overlap", pair[0].0, pair[1].0)),
        None => Ok(()),
    }
}

fn unreadable(error: &Error) -> ImportError {
    ImportError::Damaged(format!(
        "its zip archive cannot be read ({error}); an incomplete download looks like this"
    ))
}
