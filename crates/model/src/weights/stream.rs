//! Writes a weights file one tensor at a time.

use std::io::{BufWriter, Write};
use std::path::Path;

use burn::tensor::{Device, f16};
use safetensors::Dtype;
use serde_json::{Map, Value, json};
use unbraid_base::file::WholeFile;
use unbraid_ops::Precision;

use super::{LENGTH, METADATA_KEY, Provenance, Reason, WeightsError, description};
use crate::execution::Execution;
use crate::family::ModelConfig;
use crate::tensors::named_shapes;

/// Writes the network of `config` to `path`, completely or not at all, and asks `values` for the values of each
/// parameter, in row-major order. Only one parameter is in memory at a time.
///
/// # Errors
/// That of `values`. [`WeightsError`] if a value is not finite in `precision` or the file cannot be written.
///
/// # Panics
/// If the configuration is not valid, or `values` returns another number of values than the shape has.
pub fn save_tensors<E: From<WeightsError>>(
    path: &Path,
    config: &ModelConfig,
    provenance: &Provenance,
    precision: Precision,
    mut values: impl FnMut(&str, &[usize]) -> Result<Vec<f32>, E>,
) -> Result<(), E> {
    let failed = |reason| WeightsError { path: Some(path.to_owned()), reason };
    let io = |error| failed(Reason::Io(error));
    // The parameters are lazy, so the network needs no memory.
    let shapes = named_shapes(&config.init(&Device::flex()));
    let description = description(config.clone(), Execution::default(), provenance).map_err(failed)?;
    let (dtype, width) = match precision {
        Precision::F32 => (Dtype::F32, 4),
        Precision::F16 => (Dtype::F16, 2),
    };
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!({ METADATA_KEY: description }));
    let mut end = 0;
    for (name, shape) in &shapes {
        let start = end;
        end += width * shape.iter().product::<usize>();
        header.insert(
            name.clone(),
            json!({ "dtype": format!("{dtype:?}"), "shape": shape, "data_offsets": [start, end] }),
        );
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // The tensors begin at a multiple of eight bytes, as the format recommends.
    header.resize(header.len().next_multiple_of(LENGTH), b' ');

    let mut file = BufWriter::new(WholeFile::create(path).map_err(io)?);
    file.write_all(&(header.len() as u64).to_le_bytes()).map_err(io)?;
    file.write_all(&header).map_err(io)?;
    for (name, shape) in &shapes {
        let values = values(name, shape)?;
        assert_eq!(values.len(), shape.iter().product::<usize>(), "the values of {name}");
        for value in values {
            let stored = f16::from_f32(value);
            let is_finite = if precision == Precision::F16 { stored.is_finite() } else { value.is_finite() };
            if !is_finite {
                return Err(failed(Reason::NotFinite(name.clone())).into());
            }
            match precision {
                Precision::F32 => file.write_all(&value.to_le_bytes()),
                Precision::F16 => file.write_all(&stored.to_le_bytes()),
            }
            .map_err(io)?;
        }
    }
    let file = file.into_inner().map_err(|error| io(error.into_error()))?;
    file.commit().map_err(io)?;
    Ok(())
}
