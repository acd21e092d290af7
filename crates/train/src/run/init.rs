//! The initial weights of a run: random, or from a weights file as far as it fits.

use crate::error::TrainError;
use crate::settings::config::TrainConfig;
use crate::step::parameters::{ParameterLayout, pack};
use burn::tensor::Device;
use std::collections::HashMap;
use std::path::Path;
use unbraid_model::{ModelConfig, weights};

/// Names of parameters that a message lists.
const MOST_NAMES: usize = 12;

/// The parameters of a weights file that fit a network.
pub(crate) struct Initial {
    /// Index of the first element in the vector of parameters, and the values.
    parts: Vec<(usize, Vec<f32>)>,
    /// What fits and what does not, one sentence each.
    pub(crate) messages: Vec<String>,
}

impl Initial {
    /// Reads the file `config.init`. `None` without this setting.
    ///
    /// # Errors
    /// If the file cannot be read, or none of its parameters fits.
    pub(crate) fn read(
        config: &TrainConfig,
        network: &ModelConfig,
        layout: &ParameterLayout,
    ) -> Result<Option<Self>, TrainError> {
        let Some(path) = &config.init else { return Ok(None) };
        let loaded = weights::load(path, &Device::flex())?;
        let values = pack(&loaded.model).into_data_as::<f32>();
        let values = values.as_slice::<f32>().map_err(|error| TrainError::Device(format!("{error:?}")))?;
        let source = ParameterLayout::of(&loaded.model);
        let source: HashMap<&str, (usize, &[usize])> = source
            .places()
            .map(|(start, entry)| (entry.name.as_str(), (start, entry.shape.as_slice())))
            .collect();
        let (mut parts, mut fresh, mut taken) = (Vec::new(), Vec::new(), 0);
        for (start, entry) in layout.places() {
            match source.get(entry.name.as_str()) {
                Some(&(from, shape)) if shape == entry.shape => {
                    let length: usize = shape.iter().product();
                    parts.push((start, values[from..from + length].to_vec()));
                    taken += length;
                }
                Some((_, shape)) => {
                    fresh.push(format!("{} ({shape:?} in the file, {:?} here)", entry.name, entry.shape));
                }
                None => fresh.push(format!("{} (not in the file)", entry.name)),
            }
        }
        if parts.is_empty() {
            return Err(TrainError::NothingFits {
                path: path.clone(),
                theirs: loaded.config.name.clone(),
                ours: network.name.clone(),
            });
        }
        let total = parts.len() + fresh.len();
        let mut messages = vec![format!(
            "initial weights from {}: {} of {total} tensors, {taken} of {} parameters",
            path.display(),
            parts.len(),
            layout.parameters(),
        )];
        if !fresh.is_empty() {
            messages.push(format!("left at their random initial values: {}", list(&fresh)));
        }
        messages.extend(other_meaning(path, &loaded.config, network));
        Ok(Some(Self { parts, messages }))
    }

    /// The vector `fresh [p]` with the parameters of the file.
    pub(crate) fn over(self, mut fresh: Vec<f32>) -> Vec<f32> {
        for (start, values) in self.parts {
            fresh[start..start + values.len()].copy_from_slice(&values);
        }
        fresh
    }
}

/// Differences that give parameters of equal shape another meaning.
fn other_meaning(path: &Path, theirs: &ModelConfig, ours: &ModelConfig) -> Option<String> {
    let mut differences = Vec::new();
    if theirs.stems != ours.stems {
        differences.push(format!(
            "its stems are {}, and the run's are {}",
            theirs.stems.join(", "),
            ours.stems.join(", ")
        ));
    }
    let transform = |c: &ModelConfig| (c.sample_rate, c.n_fft, c.hop_length);
    if transform(theirs) != transform(ours) {
        let words = |c: &ModelConfig| format!("{} Hz, {}/{} samples", c.sample_rate, c.n_fft, c.hop_length);
        differences.push(format!("its transform is {}, and the run's is {}", words(theirs), words(ours)));
    }
    (!differences.is_empty()).then(|| format!("{}: {}", path.display(), differences.join("; ")))
}

fn list(names: &[String]) -> String {
    let shown = names[..names.len().min(MOST_NAMES)].join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
