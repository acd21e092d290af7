//! One file that holds a network: its weights, its configuration, and their provenance.
//!
//! The file is a plain `.safetensors` of f32 tensors (f16 is read too), named by their path in the network. Its
//! metadata has one key, [`METADATA_KEY`], whose value is JSON: `{format, config, execution, provenance}`. There is
//! only one key because the metadata of the format is unordered, and the same network should give the same bytes.
//! `execution` holds the chunk sizes that separation should use. It is optional.
//!
//! A file is untrusted. Sizes are bounded before they are read. Every tensor is compared with what the file's
//! configuration demands before the network is allocated.

#[cfg(not(target_family = "wasm"))]
pub mod stream;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, TensorData};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{MAX_PARAMETERS, ModelConfigError};
use crate::execution::Execution;
use crate::family::{ModelConfig, Network};
use crate::migrate::{ChunkSizes, upgrade_config, upgrade_parameter_name};
use crate::plain_words::plain_words;
use crate::separator::SeparatorOptions;
use crate::tensors::{named_shapes, with_tensors};

/// The metadata key of a weights file of this project.
pub const METADATA_KEY: &str = "unbraid";

/// Version of the metadata's layout and of the tensors' names and meaning. Format 1 is read too.
const FORMAT: u32 = 2;

/// Maximum number of bytes of a header. The names and shapes of the largest network take less.
const MAX_HEADER: usize = 8 << 20;

/// Bytes of the number that precedes the header: its length.
const LENGTH: usize = 8;

/// The origin of weights. The program reads only [`Provenance::segment_seconds`] and [`Provenance::overlap`]. The rest
/// is for people.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Provenance {
    /// Version of the program that wrote the file.
    pub tool: String,
    /// Day of writing, `YYYY-MM-DD`.
    pub date: String,
    /// The training data.
    pub data: String,
    /// Optimiser steps taken.
    pub steps: u64,
    /// Seed of the training run.
    pub seed: u64,
    /// Length of a training segment in seconds. 0: unknown.
    pub segment_seconds: f64,
    /// Part of a segment that the next one should overlap. 0: unknown.
    #[serde(skip_serializing_if = "is_unknown")]
    pub overlap: f64,
    /// Validation scores in dB, by metric and stem, such as `uSDR vocals`.
    pub scores: BTreeMap<String, f64>,
    /// Further remarks.
    pub notes: String,
}

/// An unknown overlap is left out, so that earlier versions can read the file.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde demands")]
fn is_unknown(overlap: &f64) -> bool {
    *overlap == 0.0
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u32,
    config: ModelConfig,
    #[serde(default)]
    execution: ChunkSizes,
    provenance: Provenance,
}

/// The content of a weights file.
#[derive(Debug)]
pub struct Loaded {
    /// The network on the given device, with the chunk sizes that the file recommends.
    pub model: Network,
    /// Its configuration.
    pub config: ModelConfig,
    /// The origin of its weights.
    pub provenance: Provenance,
}

impl Loaded {
    /// The best length of a segment in seconds: that of training, or 6 if the file does not contain it.
    ///
    /// Attention degrades on sequences longer than those of training: a demo network that was trained on segments of
    /// 1 s lost 0.6 dB of uSDR on segments of 6 s.
    pub fn segment_seconds(&self) -> f64 {
        const DEFAULT: f64 = 6.0;
        const LONGEST: f64 = 60.0;
        let least = self.model.least_samples() as f64 / f64::from(self.config.sample_rate);
        let trained = self.provenance.segment_seconds;
        if trained > 0.0 && trained <= LONGEST { trained.max(least) } else { DEFAULT }
    }

    /// The best overlap of segments: that of the file, or the usual one.
    pub fn overlap(&self) -> f32 {
        let overlap = self.provenance.overlap as f32;
        let is_usable = overlap > 0.0 && overlap <= SeparatorOptions::MOST_OVERLAP;
        if is_usable { overlap } else { SeparatorOptions::DEFAULT_OVERLAP }
    }
}

/// The reason why a weights file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", source_name(.path))]
pub struct WeightsError {
    /// The file. `None`: the bytes are in memory.
    pub path: Option<PathBuf>,
    /// The reason.
    pub reason: Reason,
}

fn source_name(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or_else(|| "weights".to_owned(), |path| format!("weights file {}", path.display()))
}

/// The reason why a weights file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The file cannot be opened, read, written or renamed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file is not a safetensors file, or its length is wrong.
    #[error("not a complete .safetensors file: {0}")]
    Format(String),
    /// A later version of this program wrote the file.
    #[error("a later version of Unbraid wrote it, in format {format}; this version reads 1 to {FORMAT}")]
    LaterFormat {
        /// The format of the file.
        format: u64,
    },
    /// A safetensors file of another program, or a description that this version does not know.
    #[error("not a weights file that this version of Unbraid can use: {0}")]
    Description(String),
    /// The configuration in the file is invalid.
    #[error(transparent)]
    Config(#[from] ModelConfigError),
    /// The tensors do not match the configuration.
    #[error("its tensors do not match its configuration: {0}")]
    Tensors(String),
    /// The network holds NaN or infinity.
    #[error("tensor {0} holds a value that is not finite")]
    NotFinite(String),
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
}

/// Writes `model` with the chunk sizes of its execution to `path`, completely or not at all: an existing file is
/// replaced only by a complete one.
///
/// # Errors
/// [`WeightsError`] if weights are not finite or the file cannot be written.
#[cfg(not(target_family = "wasm"))]
pub fn save(path: &Path, model: &Network, provenance: &Provenance) -> Result<(), WeightsError> {
    let written =
        to_bytes(model, provenance).and_then(|bytes| Ok(unbraid_base::file::write_whole(path, &bytes)?));
    written.map_err(|reason| WeightsError { path: Some(path.to_owned()), reason })
}

/// Reads a weights file. The network is not allocated before the file has passed all checks of its header.
///
/// # Errors
/// [`WeightsError`] with the file's name and the reason.
pub fn load(path: &Path, device: &Device) -> Result<Loaded, WeightsError> {
    let loaded = File::open(path).map_err(Reason::from).and_then(|file| {
        let length = file.metadata()?.len();
        read(file, length, device)
    });
    loaded.map_err(|reason| WeightsError { path: Some(path.to_owned()), reason })
}

/// Like [`load`], from the bytes of a file.
///
/// # Errors
/// Those of [`load`].
pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Loaded, WeightsError> {
    read(bytes, bytes.len() as u64, device).map_err(|reason| WeightsError { path: None, reason })
}

#[cfg(not(target_family = "wasm"))]
fn to_bytes(model: &Network, provenance: &Provenance) -> Result<Vec<u8>, Reason> {
    use crate::tensors::named_tensors;
    use safetensors::tensor::TensorView;

    let tensors = named_tensors(model).map_err(|error| Reason::Device(error.to_string()))?;
    let mut views = Vec::with_capacity(tensors.len());
    for (name, data) in &tensors {
        let values = data.as_slice::<f32>().map_err(|error| Reason::Device(format!("{name}: {error:?}")))?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err(Reason::NotFinite(name.clone()));
        }
        let view = TensorView::new(Dtype::F32, data.shape().to_vec(), data.as_bytes());
        views.push((name, view.map_err(|error| Reason::Format(error.to_string()))?));
    }
    let description = description(model.config(), model.execution(), provenance)?;
    let metadata = std::collections::HashMap::from([(METADATA_KEY.to_owned(), description)]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| Reason::Format(error.to_string()))
}

/// The text of the metadata.
#[cfg(not(target_family = "wasm"))]
fn description(config: ModelConfig, execution: Execution, provenance: &Provenance) -> Result<String, Reason> {
    let Execution { tsa_chunk_size, fsa_chunk_size, .. } = execution;
    let execution = ChunkSizes { tsa_chunk_size, fsa_chunk_size };
    let description = Description { format: FORMAT, config, execution, provenance: provenance.clone() };
    serde_json::to_string(&description).map_err(|error| Reason::Description(error.to_string()))
}

/// Reads a weights file of `length` bytes from `source`.
fn read(mut source: impl Read, length: u64, device: &Device) -> Result<Loaded, Reason> {
    let header_length = read_header_length(&mut source, length)?;
    let data_length = length - (LENGTH + header_length) as u64;
    let header: Metadata = serde_json::from_slice(&read_exactly(&mut source, header_length)?)
        .map_err(|error| Reason::Format(format!("header: {error}")))?;
    if header.data_len() as u64 != data_length {
        return Err(Reason::Format(format!(
            "the header announces {} bytes of tensors, but the file has {data_length}",
            header.data_len()
        )));
    }
    let (Description { config, execution, provenance, .. }, rename) = describe(&header)?;
    let ChunkSizes { tsa_chunk_size, fsa_chunk_size } = execution;
    // The parameters are lazy: the network has names and shapes, but needs no memory until it gets its weights.
    let model = config.init(device).with_execution(Execution {
        tsa_chunk_size,
        fsa_chunk_size,
        ..Execution::default()
    });
    check_tensors(&header, rename, &named_shapes(&model))?;

    let mut tensors = BTreeMap::new();
    for name in header.offset_keys() {
        let info = header.info(&name).expect("a name of this header");
        let (start, end) = info.data_offsets;
        let data = TensorData::from_bytes_vec(
            read_exactly(&mut source, end - start)?,
            info.shape.clone(),
            burn_dtype(info.dtype).expect("checked"),
        )
        .convert::<f32>();
        let values = data.as_slice::<f32>().map_err(|error| Reason::Format(format!("{name}: {error:?}")))?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err(Reason::NotFinite(name));
        }
        tensors.insert(rename(&name), data);
    }
    let model = with_tensors(model, tensors).map_err(|error| Reason::Tensors(error.to_string()))?;
    Ok(Loaded { model, config, provenance })
}

fn read_header_length(source: &mut impl Read, length: u64) -> Result<usize, Reason> {
    let most = LENGTH + MAX_HEADER + 4 * MAX_PARAMETERS;
    if length > most as u64 {
        return Err(Reason::Format(format!("{length} bytes are more than the largest network's {most}")));
    }
    if length < LENGTH as u64 {
        return Err(Reason::Format(format!("{length} bytes are too few")));
    }
    let mut bytes = [0; LENGTH];
    source.read_exact(&mut bytes)?;
    let header = u64::from_le_bytes(bytes);
    if header > MAX_HEADER as u64 || header > length - LENGTH as u64 {
        return Err(Reason::Format(format!("its first bytes announce a header of {header} bytes")));
    }
    Ok(header as usize)
}

/// Reads `length` bytes. `length` is known to be no larger than the file.
fn read_exactly(source: &mut impl Read, length: usize) -> Result<Vec<u8>, Reason> {
    let mut bytes = vec![0; length];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The present name of a parameter, from its name in the file.
type Rename = fn(&str) -> String;

/// The description in the header, upgraded to the present format.
fn describe(header: &Metadata) -> Result<(Description, Rename), Reason> {
    let text = header.metadata().as_ref().and_then(|metadata| metadata.get(METADATA_KEY));
    let text = text.ok_or_else(|| Reason::Description(format!("its metadata has no `{METADATA_KEY}`")))?;
    let broken = |error: serde_json::Error| Reason::Description(plain_words(&error.to_string()));
    let mut value: Value = serde_json::from_str(text).map_err(broken)?;
    // The version comes first: the layout of a later version is unknown.
    let format = value.get("format").and_then(Value::as_u64);
    let rename: Rename = match (format, value.as_object_mut()) {
        (Some(1), Some(fields)) => {
            if let Some(execution) = fields.get_mut("config").and_then(upgrade_config) {
                fields.insert("execution".to_owned(), execution);
            }
            upgrade_parameter_name
        }
        (Some(format), _) if format == u64::from(FORMAT) => str::to_owned,
        (Some(format), _) if format > u64::from(FORMAT) => return Err(Reason::LaterFormat { format }),
        (Some(format), _) => {
            let reason = format!("it is of format {format}, but this version reads 1 to {FORMAT}");
            return Err(Reason::Description(reason));
        }
        (None, _) => return Err(Reason::Description("it has no format number".to_owned())),
    };
    // From the text where possible, because a `Value` keeps the last of two equal keys without an error.
    let description: Description =
        if format == Some(1) { serde_json::from_value(value) } else { serde_json::from_str(text) }
            .map_err(broken)?;
    description.config.validate()?;
    Ok((description, rename))
}

/// Compares every tensor's name, type and shape with the network's. The byte ranges need no check here:
/// parsing the header has verified that they match type and shape and follow each other without gaps.
fn check_tensors(
    header: &Metadata,
    rename: Rename,
    expected: &BTreeMap<String, Vec<usize>>,
) -> Result<(), Reason> {
    let tensors = header.tensors();
    let found: BTreeMap<String, &TensorInfo> =
        tensors.iter().map(|(name, &info)| (rename(name), info)).collect();
    if found.len() != tensors.len() {
        return Err(Reason::Tensors("two tensors map to the same parameter".to_owned()));
    }
    for (name, shape) in expected {
        let info = found.get(name).ok_or_else(|| Reason::Tensors(format!("{name} is missing")))?;
        if info.shape != *shape {
            return Err(Reason::Tensors(format!("{name} is {:?}, not {shape:?}", info.shape)));
        }
        if burn_dtype(info.dtype).is_none() {
            return Err(Reason::Tensors(format!("{name} is of type {:?}, not F32 or F16", info.dtype)));
        }
    }
    match found.keys().find(|name| !expected.contains_key(*name)) {
        Some(name) => Err(Reason::Tensors(format!("{name:?} is not a parameter of the network"))),
        None => Ok(()),
    }
}

fn burn_dtype(dtype: Dtype) -> Option<DType> {
    match dtype {
        Dtype::F32 => Some(DType::F32),
        Dtype::F16 => Some(DType::F16),
        _ => None,
    }
}
