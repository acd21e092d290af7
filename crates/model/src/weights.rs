//! One file that holds a network: its weights, its configuration, and where they come from.
//!
//! The file is a plain `.safetensors` of f32 tensors (f16 is read too), named by their place in [`Tfswa`]. Its
//! metadata has one key, [`METADATA_KEY`], whose value is JSON: format version, configuration, provenance. One
//! key, because the format's metadata has no order, and the same network should give the same bytes.
//!
//! A file is untrusted. Sizes are bounded before they are read, and every tensor is held against what the
//! file's own configuration demands before the network is allocated.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, TensorData};
use safetensors::tensor::{Dtype, Metadata, TensorView};
use serde::{Deserialize, Serialize};
#[cfg(not(target_family = "wasm"))]
use unbraid_base::file;

use crate::config::{ConfigError, MAX_PARAMETERS, ModelConfig};
use crate::network::Tfswa;
use crate::tensors::{named_shapes, named_tensors, with_tensors};

/// The metadata key of a weights file of this project.
pub const METADATA_KEY: &str = "unbraid";

/// Version of the metadata's layout and of the tensors' meaning.
const FORMAT: u32 = 1;

/// Most bytes of a header: the largest network's names and shapes take less.
const MAX_HEADER: usize = 8 << 20;

/// Bytes of the header's length, before it.
const LENGTH: usize = 8;

/// Where weights come from. For people, but for [`Provenance::segment_seconds`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Provenance {
    /// Version of the program that wrote them.
    pub tool: String,
    /// Day of writing, `YYYY-MM-DD`.
    pub date: String,
    /// The data trained on.
    pub data: String,
    /// Optimiser steps taken.
    pub steps: u64,
    /// Seed of the training run.
    pub seed: u64,
    /// Length of a training segment; 0 where it is not known.
    pub segment_seconds: f64,
    /// Validation scores, each under the name of its metric and stem, such as `uSDR vocals` (dB).
    pub scores: BTreeMap<String, f64>,
    /// Anything else worth knowing.
    pub notes: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u32,
    config: ModelConfig,
    provenance: Provenance,
}

/// A weights file, read.
#[derive(Debug)]
pub struct Loaded {
    /// The network, on the device asked for.
    pub model: Tfswa,
    /// Its configuration.
    pub config: ModelConfig,
    /// Where its weights come from.
    pub provenance: Provenance,
}

impl Loaded {
    /// Seconds that songs are best cut into: what the network was trained on, 6 where the file does not say.
    ///
    /// Attention does worse over sequences longer than it has seen: trained on segments of 1 s, the demo's network
    /// lost 0.6 dB of uSDR on segments of 6 s.
    pub fn segment_seconds(&self) -> f64 {
        const USUAL: f64 = 6.0;
        const LONGEST: f64 = 60.0;
        let least = self.model.least_samples() as f64 / f64::from(self.config.sample_rate);
        let trained = self.provenance.segment_seconds;
        if trained > 0.0 && trained <= LONGEST { trained.max(least) } else { USUAL }
    }
}

/// Why a weights file cannot be read or written, and which.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", source_name(.path))]
pub struct WeightsError {
    /// The file; `None` for bytes in memory.
    pub path: Option<PathBuf>,
    /// What is wrong with it.
    pub reason: Reason,
}

fn source_name(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or_else(|| "weights".to_owned(), |path| format!("weights file {}", path.display()))
}

/// What is wrong with a weights file.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The system's word on opening, reading, writing or renaming.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Not a safetensors file, or one cut short or grown.
    #[error("not a whole .safetensors file: {0}")]
    Format(String),
    /// A safetensors file of someone else's, or of a later version of ours.
    #[error("not a weights file this version of Unbraid can use: {0}")]
    Description(String),
    /// Its configuration is not acceptable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its tensors are not those its configuration demands.
    #[error("its tensors are not those of its own configuration: {0}")]
    Tensors(String),
    /// The network to be saved or loaded holds NaN or infinity.
    #[error("tensor {0} holds a value that is not finite; the training that made it went wrong")]
    NotFinite(String),
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
}

/// Writes `model` to `path`, whole or not at all: an existing file is replaced only by a complete one.
///
/// # Errors
/// [`WeightsError`] if weights are not finite or the file cannot be written.
#[cfg(not(target_family = "wasm"))]
pub fn save(path: &Path, model: &Tfswa, provenance: &Provenance) -> Result<(), WeightsError> {
    let written = to_bytes(model, provenance).and_then(|bytes| Ok(file::write_whole(path, &bytes)?));
    written.map_err(|reason| WeightsError { path: Some(path.to_owned()), reason })
}

/// Reads a weights file. Nothing of the network is allocated until the file has proved to fit itself.
///
/// # Errors
/// [`WeightsError`] with the file's name and what is wrong with it.
pub fn load(path: &Path, device: &Device) -> Result<Loaded, WeightsError> {
    let loaded = File::open(path).map_err(Reason::from).and_then(|file| {
        let length = file.metadata()?.len();
        read(file, length, device)
    });
    loaded.map_err(|reason| WeightsError { path: Some(path.to_owned()), reason })
}

/// The same from a file already in memory, as a web page has it.
///
/// # Errors
/// As [`load`].
pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Loaded, WeightsError> {
    read(bytes, bytes.len() as u64, device).map_err(|reason| WeightsError { path: None, reason })
}

#[cfg(not(target_family = "wasm"))]
fn to_bytes(model: &Tfswa, provenance: &Provenance) -> Result<Vec<u8>, Reason> {
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
    let description =
        Description { format: FORMAT, config: model.config().clone(), provenance: provenance.clone() };
    let description =
        serde_json::to_string(&description).map_err(|error| Reason::Description(error.to_string()))?;
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), description)]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| Reason::Format(error.to_string()))
}

/// Reads a weights file of `length` bytes from `source`.
fn read(mut source: impl Read, length: u64, device: &Device) -> Result<Loaded, Reason> {
    let header_length = read_header_length(&mut source, length)?;
    let data_length = length - (LENGTH + header_length) as u64;
    let header: Metadata = serde_json::from_slice(&read_exactly(&mut source, header_length)?)
        .map_err(|error| Reason::Format(format!("header: {error}")))?;
    if header.data_len() as u64 != data_length {
        return Err(Reason::Format(format!(
            "the header speaks of {} bytes of tensors, the file has {data_length}",
            header.data_len()
        )));
    }
    let Description { config, provenance, .. } = describe(&header)?;
    // Lazy: the network has names and shapes now, and no memory until weights are put in.
    let model = config.init(device);
    check_tensors(&header, &named_shapes(&model))?;

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
        tensors.insert(name, data);
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
        return Err(Reason::Format(format!("{length} bytes are too few to be one")));
    }
    let mut bytes = [0; LENGTH];
    source.read_exact(&mut bytes)?;
    let header = u64::from_le_bytes(bytes);
    if header > MAX_HEADER as u64 || header > length - LENGTH as u64 {
        return Err(Reason::Format(format!("its first bytes announce a header of {header} bytes")));
    }
    Ok(header as usize)
}

/// `length` bytes, for a `length` already held against the file's own.
fn read_exactly(source: &mut impl Read, length: usize) -> Result<Vec<u8>, Reason> {
    let mut bytes = vec![0; length];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn describe(header: &Metadata) -> Result<Description, Reason> {
    let text = header.metadata().as_ref().and_then(|metadata| metadata.get(METADATA_KEY));
    let text = text.ok_or_else(|| Reason::Description(format!("its metadata has no `{METADATA_KEY}`")))?;

    // The version first: a later layout need not parse as this one.
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let broken = |error: serde_json::Error| Reason::Description(error.to_string());
    let Version { format } = serde_json::from_str(text).map_err(broken)?;
    if format != FORMAT {
        return Err(Reason::Description(format!("it is of format {format}, this version reads {FORMAT}")));
    }
    let description: Description = serde_json::from_str(text).map_err(broken)?;
    description.config.validate()?;
    Ok(description)
}

/// Holds every tensor's name, type and shape against the network's. Extents follow from these: the header's
/// own check ties them to type and shape, end to end, without gaps.
fn check_tensors(header: &Metadata, expected: &BTreeMap<String, Vec<usize>>) -> Result<(), Reason> {
    let found = header.tensors();
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
        Some(name) => Err(Reason::Tensors(format!("{name:?} is none of its own"))),
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
