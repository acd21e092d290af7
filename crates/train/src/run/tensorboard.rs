//! Event files of TensorBoard: the numbers of `metrics.jsonl` as scalars.
//!
//! A file is a sequence of TFRecords: length, checksum of the length, a protobuf `Event`, checksum of the event. Every
//! start of a run writes a new file. TensorBoard reads them in the order of their names, and drops the points of an
//! earlier file that lie after the first step of a later one.

use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use unbraid_base::file::write_whole;

/// An event file, open for appending.
#[derive(Debug)]
pub(crate) struct EventFile {
    file: File,
}

impl EventFile {
    /// Creates a file in `folder`.
    ///
    /// # Errors
    /// An error of the system.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!("events.out.tfevents.{:013}.unbraid", now().as_millis()));
        // The file appears with its first record, because a file without it is no event file.
        write_whole(&path, &record(&[time(), bytes(3, b"brain.Event:2")].concat()))?;
        Ok(Self { file: OpenOptions::new().append(true).open(path)? })
    }

    /// Appends every number of `event` under its path, such as `validation/stems/vocals/usdr`.
    ///
    /// # Errors
    /// An error of the system.
    pub(crate) fn append(&mut self, kind: &str, event: &Value) -> io::Result<()> {
        let mut summary = Vec::new();
        collect(kind, event, &mut summary);
        let step = event["step"].as_u64().unwrap_or(0);
        self.write(&[&time(), &varint(2, step), &bytes(5, &summary)])
    }

    /// Appends a record in one write, so that readers see complete records.
    fn write(&mut self, fields: &[&[u8]]) -> io::Result<()> {
        self.file.write_all(&record(&fields.concat()))
    }
}

fn record(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    [&length[..], &checksum(&length), event, &checksum(event)].concat()
}

/// Appends a `Summary.Value` for every number in `value`.
fn collect(path: &str, value: &Value, summary: &mut Vec<u8>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(name, _)| *name != "step" && *name != "steps") {
                collect(&format!("{path}/{name}"), value, summary);
            }
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(f64::NAN) as f32;
            // Field 2, 32 bits.
            let scalar = [&bytes(1, path.as_bytes())[..], &[2 << 3 | 5], &number.to_le_bytes()].concat();
            summary.extend(bytes(1, &scalar));
        }
        _ => {}
    }
}

fn now() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The field `wall_time` of an event: field 1, 64 bits.
fn time() -> Vec<u8> {
    [&[1 << 3 | 1][..], &now().as_secs_f64().to_le_bytes()].concat()
}

/// A field of an integer.
fn varint(field: u8, value: u64) -> Vec<u8> {
    let mut bytes = vec![field << 3];
    push_varint(&mut bytes, value);
    bytes
}

/// A field of bytes, text or a message.
fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 2];
    push_varint(&mut bytes, content.len() as u64);
    bytes.extend(content);
    bytes
}

fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// The masked CRC-32C of a TFRecord.
fn checksum(data: &[u8]) -> [u8; 4] {
    crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8).to_le_bytes()
}

fn crc32c(data: &[u8]) -> u32 {
    let shift = |crc: u32| (0..8).fold(crc, |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 });
    !data.iter().fold(!0, |crc, byte| shift(crc ^ u32::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_checksum_is_crc_32c() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        // The length of the first record of every file that TensorFlow writes: 24 bytes.
        assert_eq!(checksum(&24u64.to_le_bytes()), [0xA3, 0x7F, 0x4B, 0x22]);
    }

    #[test]
    fn every_number_is_a_scalar_under_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(dir.path()).unwrap();
        let event =
            json!({ "step": 300, "stems": { "vocals": { "usdr": 1.5, "csdr": null } }, "best": true });
        events.append("validation", &event).unwrap();
        let path = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        let file = std::fs::read(path).unwrap();
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        assert_eq!(&file[12..12 + length][9..], b"\x1a\x0dbrain.Event:2");
        let second = &file[16 + length..];
        let length = u64::from_le_bytes(second[..8].try_into().unwrap()) as usize;
        assert_eq!(second.len(), 16 + length);
        // Step 300; a summary of one value: its tag, and 1.5 in 32 bits.
        let expected =
            b"\x10\xac\x02\x2a\x25\x0a\x23\x0a\x1cvalidation/stems/vocals/usdr\x15\x00\x00\xc0\x3f";
        assert_eq!(&second[12..12 + length][9..], expected);
        assert!(!file.windows(4).any(|window| window == b"csdr" || window == b"best"));
    }
}
