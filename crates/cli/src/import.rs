//! `unbraid import`: converts a checkpoint of another program to a weights file.

use std::path::{Path, PathBuf};

use anyhow::Context;
use burn::tensor::Device;
use clap::{Args, ValueEnum};
use time::OffsetDateTime;
use unbraid_base::counted;
use unbraid_import::{Checkpoint, ImportError, Kind, Recognised, Settings, plain_name};
use unbraid_model::weights::stream::save_tensors;
use unbraid_model::weights::{Provenance, WeightsError};
use unbraid_model::{ModelConfig, Precision, SeparatorOptions, named_shapes};

use crate::advice::advised;
use crate::output::{notice, print, printable};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The checkpoint: a file that PyTorch wrote (.ckpt, .pt, .pth, .th), or a .safetensors of another program
    checkpoint: PathBuf,
    /// The YAML file that was published with the checkpoint. It names the stems, the STFT and the segments
    #[arg(long, value_name = "YAML", required_unless_present = "list")]
    config: Option<PathBuf>,
    /// The weights file to write
    #[arg(long, value_name = "FILE", required_unless_present_any = ["list", "dry_run"])]
    out: Option<PathBuf>,
    /// A file of LoRA weights to merge into the checkpoint
    #[arg(long, value_name = "FILE")]
    lora: Option<PathBuf>,
    /// Floats of the weights file. f16 halves its size; separation computes in f32 in any case
    #[arg(long, default_value = "f32")]
    precision: Floats,
    /// Take the weights of the last step, even if the checkpoint has a moving average of them (EMA)
    #[arg(long)]
    no_average: bool,
    /// Print all tensors and stop
    #[arg(long)]
    list: bool,
    /// Recognise and check everything, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Replace an existing weights file
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Floats {
    F32,
    F16,
}

impl Arguments {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let average = !self.no_average;
        let checkpoint = open(&self.checkpoint, average)?;
        if self.list {
            return list(&checkpoint);
        }
        if let Some(out) = self.out.as_deref().filter(|out| out.exists() && !self.force && !self.dry_run) {
            return Err(advised(format_args!("{} exists", out.display()), "`--force` replaces it."));
        }
        let config = self.config.as_deref().context("there is no `--config`")?;
        let settings = Settings::load(config).with_context(|| config.display().to_string())?;
        let lora = self.lora.as_deref().map(|path| open(path, average)).transpose()?;
        let name = plain_name(&self.checkpoint.file_stem().unwrap_or_default().to_string_lossy());
        let about = About::of(&checkpoint);
        let recognised = Recognised::new(checkpoint, lora, &settings, &name, average)
            .with_context(|| self.checkpoint.display().to_string())?;
        let model: ModelConfig = serde_json::from_value(recognised.config.clone())
            .context("this version of Unbraid does not have the network")?;
        model.validate()?;
        recognised.compare(&named_shapes(&model.init(&Device::flex())))?;
        print(describe(&about, &recognised, &model))?;

        let f16 = self.precision == Floats::F16;
        let Some(out) = self.out.as_deref().filter(|_| !self.dry_run) else {
            for ours in recognised.parameters().keys() {
                recognised.values(ours, f16)?;
            }
            return print("all tensors fit; nothing is written");
        };
        let precision = if f16 { Precision::F16 } else { Precision::F32 };
        let provenance = self.provenance(&recognised);
        save_tensors(out, &model, &provenance, precision, |ours, _| {
            Ok::<_, Failure>(recognised.values(ours, f16)?)
        })
        .map_err(|failure| match failure {
            Failure::Read(error) => anyhow::Error::from(error).context(self.checkpoint.display().to_string()),
            Failure::Write(error) => error.into(),
        })?;
        let bytes = std::fs::metadata(out)?.len();
        notice(format_args!("wrote {} ({:.1} MB)", out.display(), bytes as f64 / 1e6));
        Ok(())
    }

    fn provenance(&self, recognised: &Recognised) -> Provenance {
        let file = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut notes = format!("imported from {}; licence unknown", file(&self.checkpoint));
        if let Some(lora) = &self.lora {
            notes += &format!("; LoRA weights of {} merged", file(lora));
        }
        Provenance {
            tool: concat!("unbraid ", env!("CARGO_PKG_VERSION")).into(),
            date: OffsetDateTime::now_utc().date().to_string(),
            data: "unknown".into(),
            segment_seconds: seconds(recognised).unwrap_or(0.0),
            overlap: overlap(recognised).unwrap_or(0.0),
            notes,
            ..Provenance::default()
        }
    }
}

/// Why a file is not written.
enum Failure {
    Read(ImportError),
    Write(WeightsError),
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        Self::Read(error)
    }
}

impl From<WeightsError> for Failure {
    fn from(error: WeightsError) -> Self {
        Self::Write(error)
    }
}

fn open(path: &Path, average: bool) -> anyhow::Result<Checkpoint> {
    Checkpoint::open(path, average).with_context(|| path.display().to_string())
}

/// All tensors, a line each, and what else the checkpoint holds.
fn list(checkpoint: &Checkpoint) -> anyhow::Result<()> {
    let mut lines = vec![About::of(checkpoint).0];
    for (name, tensor) in &checkpoint.tensors {
        lines.push(format!("{:5} {:16} {name}", tensor.dtype().name(), format!("{:?}", tensor.shape())));
    }
    for (name, class) in &checkpoint.objects {
        lines.push(format!("not read: {name} ({class})"));
    }
    if !checkpoint.others.is_empty() {
        lines.push(format!("beside them: {}", checkpoint.others.join(", ")));
    }
    print(printable(&lines.join("\n")))
}

/// The checkpoint in a few words.
struct About(String);

impl About {
    fn of(checkpoint: &Checkpoint) -> Self {
        let place = match checkpoint.place.join(" → ") {
            place if place.is_empty() => String::new(),
            place => format!(" in {place}"),
        };
        let count = counted(checkpoint.tensors.len() as u64, "tensor");
        Self(format!("checkpoint:  {}, {count}{place}", checkpoint.format.name()))
    }
}

/// What was recognised.
fn describe(about: &About, recognised: &Recognised, model: &ModelConfig) -> String {
    let network = &recognised.network;
    let kind = match network.kind {
        Kind::BandSplit => "BS-RoFormer",
        Kind::MelBand => "Mel-Band RoFormer",
    };
    let types: Vec<_> = recognised.types().into_keys().collect();
    let prefix = match recognised.prefix.as_str() {
        "" => String::new(),
        prefix => format!(", names after {prefix}"),
    };
    let average = if recognised.averaged { ", a moving average" } else { "" };
    let mut lines = vec![
        format!("{}{prefix}{average}", about.0),
        format!(
            "network:     {kind} ({}), {} × {} channels, {} heads of {}, {} bands",
            network.kind.family(),
            network.depth,
            network.dim,
            network.num_heads,
            network.head_width,
            network.band_inputs.len()
        ),
        format!("parameters:  {} ({})", model.parameters(), types.join(", ")),
        format!("stems:       {}", recognised.stems.join(", ")),
        format!("music:       {} Hz, STFT {} by {}", model.sample_rate, model.n_fft, model.hop_length),
    ];
    let segment = seconds(recognised).map_or_else(|| "unknown".into(), |seconds| format!("{seconds:.2} s"));
    let share = overlap(recognised);
    let overlap = share.map_or_else(|| "unknown".into(), |share| format!("{:.0} %", 100.0 * share));
    lines.push(format!("segments:    {segment}, overlap {overlap}"));
    if recognised.lora > 0 {
        lines.push(format!("LoRA:        {} pairs of matrices are merged", recognised.lora));
    }
    lines.push("licence:     unknown; the checkpoint does not state one".into());
    lines.extend(recognised.notes.iter().map(|note| format!("note:        {note}")));
    printable(&lines.join("\n"))
}

fn seconds(recognised: &Recognised) -> Option<f64> {
    recognised.segment.map(|samples| samples as f64 / recognised.sample_rate as f64)
}

/// The overlap, as far as separation can have it.
fn overlap(recognised: &Recognised) -> Option<f64> {
    recognised.overlap.map(|share| share.min(f64::from(SeparatorOptions::MOST_OVERLAP)))
}
