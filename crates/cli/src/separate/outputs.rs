//! The stems that are written for each song.

use anyhow::{Context, ensure};
use unbraid_model::ModelConfig;

/// A stem that is written.
#[derive(Debug, Clone)]
pub(super) struct Output {
    pub(super) name: String,
    /// Index of the stem in the network's output.
    pub(super) stem: usize,
    /// Whether the file holds the mixture minus the stem.
    pub(super) rest: bool,
}

/// `stems` (all if there are none), or the stem `two_stems` and the rest.
pub(super) fn choose(
    config: &ModelConfig,
    stems: &[String],
    two_stems: Option<&String>,
) -> anyhow::Result<Vec<Output>> {
    let stem = |name: &String| {
        let found = config.stems.iter().position(|stem| stem == name);
        found.with_context(|| format!("the model has no stem '{name}'; it has {}", config.stems.join(", ")))
    };
    if let Some(name) = two_stems {
        let stem = stem(name)?;
        let rest = Output { name: format!("no_{name}"), stem, rest: true };
        return Ok(vec![Output { name: name.clone(), stem, rest: false }, rest]);
    }
    let names = if stems.is_empty() { &config.stems } else { stems };
    let mut outputs: Vec<Output> = Vec::new();
    for name in names {
        ensure!(outputs.iter().all(|output| output.name != *name), "--stems names '{name}' twice");
        outputs.push(Output { name: name.clone(), stem: stem(name)?, rest: false });
    }
    Ok(outputs)
}
