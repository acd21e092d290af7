//! The format of PyTorch before 1.6: pickles one after the other, then the storages.
//!
//! In this order: a magic number, the version of the format, facts about the system, the object, and the keys of the
//! storages. Each storage is a number of elements (8 bytes) and the elements. The object knows their type.

use std::collections::{BTreeMap, HashMap};

use crate::archive::Entry;
use crate::dtype::Dtype;
use crate::error::{ImportError, damaged};
use crate::pickle::{self, Pickled, Value};
use crate::source::Source;

/// The first pickle of a file: protocol 2, the magic number, stop.
pub(crate) const MAGIC: [u8; 15] =
    [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];

/// The version of the format.
const VERSION: i64 = 1001;

/// The object, and the elements of its storages by key.
pub(crate) fn read(source: &Source) -> Result<(Pickled, BTreeMap<String, Entry>), ImportError> {
    let mut at = MAGIC.len() as u64;
    let mut next = || {
        let left = source.length() - at;
        let pickled = pickle::load(source.stream(at, left), left)?;
        at += pickled.length;
        Ok::<_, ImportError>(pickled)
    };
    let version = next()?;
    if !matches!(version.value(version.root), Value::Int(VERSION)) {
        return Err(ImportError::Unsupported(
            "the checkpoint has an unknown version of the legacy format".into(),
        ));
    }
    check_byte_order(&next()?)?;
    let object = next()?;
    let keys = next()?;
    let storages = storages(source, &object, &keys, at)?;
    Ok((object, storages))
}

fn check_byte_order(system: &Pickled) -> Result<(), ImportError> {
    let Value::Dict(entries) = system.value(system.root) else {
        return damaged("its facts about the system are not a dict");
    };
    let little = entries.iter().any(|(key, value)| {
        system.text(*key) == Some("little_endian") && matches!(system.value(*value), Value::Bool(true))
    });
    if little { Ok(()) } else { Err(ImportError::Unsupported(BIG_ENDIAN.into())) }
}

/// The refusal of big-endian files.
pub(crate) const BIG_ENDIAN: &str =
    "the checkpoint was written on a big-endian machine, which is not supported";

/// The ranges of the elements, in the order of the keys.
fn storages(
    source: &Source,
    object: &Pickled,
    keys: &Pickled,
    mut at: u64,
) -> Result<BTreeMap<String, Entry>, ImportError> {
    let types: HashMap<&str, Dtype> = object
        .values()
        .iter()
        .filter_map(|value| match value {
            Value::Storage(storage) => Some((&*storage.key, storage.dtype)),
            _ => None,
        })
        .collect();
    let Value::List(in_order) = keys.value(keys.root) else {
        return damaged("the keys of its storages are not a list");
    };
    let mut entries = BTreeMap::new();
    for key in in_order {
        let Some(key) = keys.text(*key) else { return damaged("the key of a storage is not a text") };
        let Some(dtype) = types.get(key) else {
            return Err(ImportError::Unsupported(format!(
                "storage {key} of the checkpoint has an unknown type"
            )));
        };
        let count: [u8; 8] = source.read(at, 8)?.try_into().expect("eight bytes");
        let length = u64::from_le_bytes(count).checked_mul(dtype.bytes());
        let offset = at + 8;
        at = match length.and_then(|length| offset.checked_add(length)) {
            Some(end) if end <= source.length() => end,
            _ => return damaged(format!("storage {key} ends beyond the file")),
        };
        if entries.insert(key.to_owned(), Entry { offset, length: at - offset, crc: None }).is_some() {
            return damaged(format!("it has two storages {key}"));
        }
    }
    Ok(entries)
}
