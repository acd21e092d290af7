//! The models in the program: `--model`, and `unbraid models`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::Args;
use serde::Serialize;
use unbraid_model::weights::{self, Loaded, Provenance, Reason};
use unbraid_ops::device::{self, Choice};

use crate::advice::advised;
use crate::output::{notice, print};

/// A model in the program.
struct BuiltIn {
    name: &'static str,
    about: &'static str,
    weights: &'static [u8],
}

/// The name of the model that is used if none is named.
const DEFAULT: &str = "default";

const BUILT_IN: [BuiltIn; 1] = [BuiltIn {
    name: DEFAULT,
    about: "a demonstration, trained for ten minutes on synthetic songs; its quality on real music is low",
    weights: include_bytes!("../../../web/models/default.safetensors"),
}];

#[derive(Debug, Args)]
pub(crate) struct ModelArgument {
    /// Model: the name of a built-in model, which `unbraid models` lists, or a weights file: the model.safetensors of a
    /// run's folder, or a file of `unbraid import`
    #[arg(long, value_name = "NAME|FILE", default_value = DEFAULT)]
    model: PathBuf,
}

impl ModelArgument {
    /// Loads the model and prints its name if it is built in.
    pub(crate) fn load(&self, device: &Device) -> anyhow::Result<Loaded> {
        load(&self.model, device)
    }
}

/// Loads the model with this name or file, and prints its name if it is built in.
pub(crate) fn load(model: &Path, device: &Device) -> anyhow::Result<Loaded> {
    if let Some(built_in) = BUILT_IN.iter().find(|built_in| model.as_os_str() == built_in.name) {
        notice(format_args!("model: {} ({})", built_in.name, built_in.about));
        return Ok(weights::from_bytes(built_in.weights, device)?);
    }
    weights::load(model, device).map_err(|error| match error.reason {
        Reason::Io(_) if !model.exists() => {
            let shown = model.display();
            let advice = "`unbraid models` lists the built-in models. `unbraid train` writes the \
                  model.safetensors of a run's folder.";
            advised(format_args!("{shown} is neither a built-in model nor a file"), advice)
        }
        _ => error.into(),
    })
}

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Entry {
    name: &'static str,
    /// Whether `separate` uses it if no model is named.
    default: bool,
    about: &'static str,
    network: String,
    bytes: usize,
    parameters: usize,
    stems: Vec<String>,
    sample_rate: u32,
    segment_seconds: f64,
    /// Validation scores in dB. Empty if the weights file has none.
    scores: BTreeMap<String, f64>,
    provenance: Provenance,
}

impl Entry {
    fn of(built_in: &BuiltIn, device: &Device) -> anyhow::Result<Self> {
        let loaded = weights::from_bytes(built_in.weights, device)?;
        Ok(Self {
            name: built_in.name,
            default: built_in.name == DEFAULT,
            about: built_in.about,
            bytes: built_in.weights.len(),
            parameters: loaded.config.parameters(),
            sample_rate: loaded.config.sample_rate,
            segment_seconds: loaded.segment_seconds(),
            network: loaded.config.name,
            stems: loaded.config.stems,
            scores: loaded.provenance.scores.clone(),
            provenance: loaded.provenance,
        })
    }

    fn lines(&self) -> String {
        let default = if self.default { " (used without `--model`)" } else { "" };
        let Provenance { tool, date, data, steps, seed, notes, .. } = &self.provenance;
        let scores: Vec<_> =
            self.scores.iter().map(|(name, score)| format!("{name} {score:.2} dB")).collect();
        let scores =
            if scores.is_empty() { "none in the weights file".to_owned() } else { scores.join(", ") };
        [
            format!("{}{default}: {}", self.name, self.about),
            format!("  network:    {}, {} parameters", self.network, self.parameters),
            format!("  size:       {:.1} MB", self.bytes as f64 / 1e6),
            format!("  stems:      {}", self.stems.join(", ")),
            format!("  music:      {} Hz, segments of {} s", self.sample_rate, self.segment_seconds),
            format!("  scores:     {scores}"),
            format!("  provenance: {tool}, {date}, {steps} steps on {data}, seed {seed}; {notes}"),
        ]
        .join("\n")
    }
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let (device, _) = device::select(Choice::Cpu)?;
        let entries = BUILT_IN.iter().map(|built_in| Entry::of(built_in, &device));
        let entries = entries.collect::<anyhow::Result<Vec<_>>>()?;
        if self.json {
            print(serde_json::to_string_pretty(&entries)?)
        } else {
            print(entries.iter().map(Entry::lines).collect::<Vec<_>>().join("\n"))
        }
    }
}
