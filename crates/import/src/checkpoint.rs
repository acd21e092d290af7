//! A checkpoint: tensors by name, whatever the file's format.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::rc::Rc;

use safetensors::tensor::{Dtype as StDtype, Metadata};

use crate::archive::{self, Entry};
use crate::dtype::Dtype;
use crate::error::{ImportError, damaged};
use crate::layout::{self, Found, Item};
use crate::legacy;
use crate::pickle;
use crate::source::{Input, Source};
use crate::tensor::Tensor;

/// Maximum number of bytes of the header of a `.safetensors`.
const MAX_HEADER: u64 = 16 << 20;

/// How a file stores tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// PyTorch since version 1.6: a zip archive.
    Zip,
    /// PyTorch before version 1.6.
    Legacy,
    /// `.safetensors`.
    Safetensors,
}

impl Format {
    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zip => "PyTorch (zip archive)",
            Self::Legacy => "PyTorch (before 1.6)",
            Self::Safetensors => "safetensors",
        }
    }
}

/// The tensors of a checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    /// How the file stores them.
    pub format: Format,
    /// The keys of the dicts around the tensors, outermost first. Empty if the tensors are the whole.
    pub place: Vec<String>,
    /// The tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// Python objects among the tensors: their classes by name.
    pub objects: BTreeMap<String, String>,
    /// Keys of what else the checkpoint holds, such as the state of an optimiser.
    pub others: Vec<String>,
}

impl Checkpoint {
    /// Reads the description of the tensors, not their values. With `average`, a moving average of the weights is
    /// preferred to the weights.
    ///
    /// # Errors
    /// [`ImportError`] if the file is not a checkpoint, or holds no tensors by name.
    pub fn open(path: &Path, average: bool) -> Result<Self, ImportError> {
        if path.is_dir() {
            return Err(ImportError::OtherFile("it is a folder".into()));
        }
        Self::read(Box::new(File::open(path)?), average)
    }

    /// Like [`Checkpoint::open`], from an input.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`].
    pub fn read(input: Box<dyn Input>, average: bool) -> Result<Self, ImportError> {
        let source = Rc::new(Source::new(input)?);
        let head = source.read(0, source.length().min(512))?;
        if head.starts_with(b"PK\x03\x04") {
            return zip(&source, average);
        }
        if head.starts_with(&legacy::MAGIC) {
            let (object, storages) = legacy::read(&source)?;
            let stored = |key: &str| storages.get(key).copied();
            return resolve(Format::Legacy, &source, layout::find(&object, average)?, stored);
        }
        if head.get(8) == Some(&b'{') {
            return safetensors(&source);
        }
        Err(ImportError::OtherFile(other(&head).into()))
    }
}

fn zip(source: &Rc<Source>, average: bool) -> Result<Checkpoint, ImportError> {
    let entries = archive::entries(source)?;
    let mut prefixes = entries.keys().filter_map(|name| name.strip_suffix("data.pkl"));
    let own = |prefix: &&str| prefix.is_empty() || prefix.ends_with('/') && prefix.matches('/').count() == 1;
    let Some(prefix) = prefixes.find(own) else {
        return Err(ImportError::OtherFile("it is a zip archive without the file data.pkl".into()));
    };
    let named = |name: &str| entries.get(&format!("{prefix}{name}")).copied();
    if named("constants.pkl").is_some() {
        return Err(ImportError::Unsupported("the file is a TorchScript program, not a checkpoint".into()));
    }
    if let Some(order) = named("byteorder") {
        let order = source.read(order.offset, order.length.min(16))?;
        match order.trim_ascii() {
            b"little" => {}
            b"big" => return Err(ImportError::Unsupported(legacy::BIG_ENDIAN.into())),
            _ => return damaged("its byte order is unknown"),
        }
    }
    let Some(data) = named("data.pkl") else { return damaged("its zip archive lacks data.pkl") };
    let object = pickle::load(source.stream(data.offset, data.length), data.length)?;
    // PyTorch can be told to write no valid checksums. Those of the pickle and the storages then are all wrong.
    let has_checksums = {
        let mut hasher = crc32fast::Hasher::new();
        let mut rest = data.length;
        while rest > 0 {
            let length = rest.min(1 << 16);
            hasher.update(&source.read(data.offset + data.length - rest, length)?);
            rest -= length;
        }
        data.crc == Some(hasher.finalize())
    };
    let stored = |key: &str| {
        let entry = named(&format!("data/{key}"))?;
        Some(Entry { crc: entry.crc.filter(|_| has_checksums), ..entry })
    };
    resolve(Format::Zip, source, layout::find(&object, average)?, stored)
}

/// The tensors of the dict, with their places in the file.
fn resolve(
    format: Format,
    source: &Rc<Source>,
    found: Found,
    stored: impl Fn(&str) -> Option<Entry>,
) -> Result<Checkpoint, ImportError> {
    let Found { place, items, others } = found;
    let mut checkpoint =
        Checkpoint { format, place, others, tensors: BTreeMap::new(), objects: BTreeMap::new() };
    for (name, item) in items {
        match item {
            Item::Object(class) => drop(checkpoint.objects.insert(name, class)),
            Item::Tensor(view) => {
                let key = &view.storage.key;
                let Some(entry) = stored(key) else {
                    return damaged(format!("it lacks storage {key}, the elements of tensor {name}"));
                };
                let tensor = Tensor::of_view(&name, &view, source, entry)?;
                checkpoint.tensors.insert(name, tensor);
            }
        }
    }
    Ok(checkpoint)
}

fn safetensors(source: &Rc<Source>) -> Result<Checkpoint, ImportError> {
    let length: [u8; 8] = source.read(0, 8)?.try_into().expect("eight bytes");
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER {
        return Err(ImportError::Limit(format!("a header of {length} bytes")));
    }
    let header: Metadata = serde_json::from_slice(&source.read(8, length)?)
        .map_err(|error| ImportError::Damaged(format!("its header: {error}")))?;
    let start = 8 + length;
    if start + header.data_len() as u64 != source.length() {
        return damaged(format!(
            "its header announces {} bytes of tensors, and the file has {}",
            header.data_len(),
            source.length() - start
        ));
    }
    let (mut tensors, mut objects) = (BTreeMap::new(), BTreeMap::new());
    for (name, info) in header.tensors() {
        match dtype(info.dtype) {
            Some(dtype) => {
                let start = start + info.data_offsets.0 as u64;
                tensors.insert(name, Tensor::contiguous(source, dtype, info.shape.clone(), start));
            }
            None => drop(objects.insert(name, format!("the type {:?}", info.dtype))),
        }
    }
    if header.metadata().as_ref().is_some_and(|metadata| metadata.contains_key("unbraid")) {
        return Err(ImportError::OtherFile("it is a weights file of Unbraid already".into()));
    }
    if tensors.is_empty() {
        return Err(ImportError::NoTensors("none".into()));
    }
    Ok(Checkpoint { format: Format::Safetensors, place: Vec::new(), tensors, objects, others: Vec::new() })
}

fn dtype(dtype: StDtype) -> Option<Dtype> {
    Some(match dtype {
        StDtype::F64 => Dtype::F64,
        StDtype::F32 => Dtype::F32,
        StDtype::F16 => Dtype::F16,
        StDtype::BF16 => Dtype::Bf16,
        StDtype::I64 => Dtype::I64,
        StDtype::I32 => Dtype::I32,
        StDtype::I16 => Dtype::I16,
        StDtype::I8 => Dtype::I8,
        StDtype::U8 => Dtype::U8,
        StDtype::BOOL => Dtype::Bool,
        _ => return None,
    })
}

/// What a file is, from its first bytes.
fn other(head: &[u8]) -> &'static str {
    let text = head.trim_ascii_start();
    let has = |start: &[u8]| text.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start));
    match head {
        [] => "it is empty",
        _ if has(b"<!doctype") || has(b"<html") => "it is a web page; the download went wrong",
        _ if has(b"version https://git-lfs") => "it is a pointer of Git LFS; the file itself is elsewhere",
        [0x1f, 0x8b, ..] => "it is compressed with gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "it is compressed with zstd",
        [b'7', b'z', 0xbc, 0xaf, ..] => "it is a 7z archive",
        [b'G', b'G', b'U', b'F', ..] => "it is a GGUF file",
        [0x08, 0x03..=0x0b, 0x12, ..] => "it looks like an ONNX model",
        [0x80, 2..=5, ..] => "it is a pickle that PyTorch did not write",
        _ if head.get(257..262) == Some(b"ustar") => "it is a tar archive",
        _ => "its first bytes are unknown",
    }
}
