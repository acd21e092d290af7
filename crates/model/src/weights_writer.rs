//! Writes a weights file one tensor at a time.

use std::io::{BufWriter, Write};
use std::path::Path;

use burn::tensor::{Device, f16};
use safetensors::Dtype;
use serde_json::{Map, Value, json};
use unbraid_base::file::WholeFile;
use unbraid_ops::Precision;

use crate::execution::Execution;
use crate::family::ModelConfig;
use crate::tensors::named_shapes;
use crate::weights::{LENGTH, METADATA_KEY, Provenance, Reason, WeightsError, description};

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use burn::tensor::TensorData;

    use super::*;
    use crate::separator::SeparatorOptions;
    use crate::tensors::named_tensors;
    use crate::weights::load;

    fn network() -> (ModelConfig, BTreeMap<String, TensorData>) {
        let device = Device::flex();
        device.seed(1);
        let config = ModelConfig::standard("tfswa_unet_tiny").expect("a standard network");
        let tensors = named_tensors(&config.init(&device)).expect("the CPU does not fail");
        (config, tensors)
    }

    fn values(tensors: &BTreeMap<String, TensorData>, name: &str) -> Vec<f32> {
        tensors[name].try_to_vec_as::<f32>().expect("f32")
    }

    #[test]
    fn tensors_are_loaded_as_they_were_given() {
        let (config, tensors) = network();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let provenance = Provenance { overlap: 0.5, segment_seconds: 2.0, ..Provenance::default() };
        let mut sizes = Vec::new();
        for precision in [Precision::F32, Precision::F16] {
            let path = folder.path().join("model.safetensors");
            save_tensors::<WeightsError>(&path, &config, &provenance, precision, |name, _| {
                Ok(values(&tensors, name))
            })
            .expect("a writable folder");
            sizes.push(std::fs::metadata(&path).expect("a file").len());
            let loaded = load(&path, &Device::flex()).expect("a complete file");
            assert_eq!(loaded.provenance, provenance);
            assert_eq!((loaded.overlap(), loaded.segment_seconds()), (0.5, 2.0));
            let found = named_tensors(&loaded.model).expect("the CPU does not fail");
            for name in tensors.keys() {
                let stored = |value: &f32| match precision {
                    Precision::F32 => *value,
                    Precision::F16 => f16::from_f32(*value).to_f32(),
                };
                let expected: Vec<f32> = values(&tensors, name).iter().map(stored).collect();
                assert_eq!(values(&found, name), expected, "{name}");
            }
        }
        assert!(sizes[1] < sizes[0] && sizes[0] < 2 * sizes[1], "{sizes:?}");
    }

    #[test]
    fn an_unusable_overlap_is_replaced_by_the_usual_one() {
        let (config, tensors) = network();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("model.safetensors");
        for overlap in [-0.5, 0.9, 1e9] {
            let provenance = Provenance { overlap, ..Provenance::default() };
            save_tensors::<WeightsError>(&path, &config, &provenance, Precision::F32, |name, _| {
                Ok(values(&tensors, name))
            })
            .expect("a writable folder");
            let loaded = load(&path, &Device::flex()).expect("a complete file");
            assert_eq!(loaded.overlap(), SeparatorOptions::DEFAULT_OVERLAP, "{overlap}");
        }
    }

    #[test]
    fn values_that_are_not_finite_leave_no_file() {
        let (config, tensors) = network();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("model.safetensors");
        let last = tensors.keys().last().expect("parameters").clone();
        for (precision, bad) in [(Precision::F32, f32::NAN), (Precision::F16, 1e6)] {
            let written = save_tensors(&path, &config, &Provenance::default(), precision, |name, _| {
                let mut values = values(&tensors, name);
                if name == last {
                    values[0] = bad;
                }
                Ok::<_, WeightsError>(values)
            });
            let reason = written.expect_err("a value is not finite").reason;
            assert!(matches!(&reason, Reason::NotFinite(name) if *name == last), "{reason}");
            assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
        }
    }
}
