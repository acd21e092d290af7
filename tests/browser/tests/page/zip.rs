//! The subset of the zip format that an archive of stored files needs.

use anyhow::{Context, Result, ensure};

/// The names and contents of the files in the archive's directory. Fails on any inconsistency.
pub(crate) fn read(archive: &[u8]) -> Result<Vec<(String, &[u8])>> {
    let end = archive.len().checked_sub(22).context("shorter than an archive's end")?;
    let end = &archive[end..];
    ensure!(end.starts_with(b"PK\x05\x06"), "no end of an archive");
    let count = number(end, 10, 2)?;
    ensure!(number(end, 8, 2)? == count, "parts of the archive elsewhere");
    let mut at = number(end, 16, 4)?;
    ensure!(at + number(end, 12, 4)? + 22 == archive.len(), "the directory does not lie before the end");
    let mut files = Vec::new();
    for _ in 0..count {
        let entry = archive.get(at..).context("a directory that ends early")?;
        ensure!(entry.starts_with(b"PK\x01\x02"), "no entry of a directory at {at}");
        let (crc, size, name) = (number(entry, 16, 4)?, number(entry, 24, 4)?, number(entry, 28, 2)?);
        let more = number(entry, 30, 2)? + number(entry, 32, 2)?;
        let local = archive.get(number(entry, 42, 4)?..).context("an entry that points nowhere")?;
        ensure!(local.starts_with(b"PK\x03\x04"), "no file at the offset in its entry");
        // Flags, method, time, checksum, sizes and the length of the name are stored in both places.
        ensure!(local.get(6..28) == entry.get(8..30), "a file and its entry differ");
        ensure!(number(local, 8, 2)? == 0 && number(entry, 20, 4)? == size, "compressed");
        let name = entry.get(46..46 + name).context("an entry without its name")?;
        ensure!(local.get(30..30 + name.len()) == Some(name), "two names");
        let start = 30 + name.len() + number(local, 28, 2)?;
        let content = local.get(start..start + size).context("a file that ends early")?;
        ensure!(crc32fast::hash(content) as usize == crc, "a file's checksum is wrong");
        files.push((String::from_utf8(name.to_vec())?, content));
        at += 46 + name.len() + more;
    }
    Ok(files)
}

/// A little-endian number of `length` bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> Result<usize> {
    let bytes = bytes.get(at..at + length).context("an archive that ends early")?;
    Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}
