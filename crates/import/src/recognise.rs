//! From a checkpoint and its configuration to a network of this program.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::checkpoint::Checkpoint;
use crate::error::ImportError;
use crate::fit::{check_settings, check_tensors};
use crate::layout;
use crate::lora::{self, Weight};
use crate::roformer::{self, ANCHOR, Kind, Parameter, Roformer};
use crate::settings::Settings;

/// A network that was recognised in a checkpoint, whose tensors all fit.
#[derive(Debug)]
pub struct Recognised {
    /// The sizes.
    pub network: Roformer,
    /// The configuration of a weights file, as JSON: an object with the field `family`.
    pub config: Value,
    /// Names of the stems.
    pub stems: Vec<String>,
    /// Sample rate in Hz.
    pub sample_rate: usize,
    /// Samples of a segment in training. `None`: the configuration does not say it.
    pub segment: Option<usize>,
    /// Part of a segment that the next one overlaps. `None`: the configuration does not say it.
    pub overlap: Option<f64>,
    /// Number of pairs of LoRA matrices that are merged.
    pub lora: usize,
    /// The part of the names before those of the network.
    pub prefix: String,
    /// Whether the weights are a moving average.
    pub averaged: bool,
    /// What was changed or left out, for people.
    pub notes: Vec<String>,
    weights: BTreeMap<String, Weight>,
    parameters: BTreeMap<String, Parameter>,
}

impl Recognised {
    /// Recognises the network. `name` becomes its name. `extra` holds LoRA matrices of a second file. With `average`,
    /// a moving average of the weights is preferred to the weights.
    ///
    /// # Errors
    /// [`ImportError`] if the network is of another kind, the configuration contradicts it, or a tensor does not fit.
    pub fn new(
        checkpoint: Checkpoint,
        extra: Option<Checkpoint>,
        settings: &Settings,
        name: &str,
        average: bool,
    ) -> Result<Self, ImportError> {
        let mut notes = Vec::new();
        let names = checkpoint.tensors.keys().map(String::as_str);
        let Some(prefix) = layout::prefix(names.clone(), ANCHOR, average).map(str::to_owned) else {
            return Err(roformer::other_network(names));
        };
        let averaged =
            layout::is_average(&prefix) || checkpoint.place.iter().any(|key| layout::is_average(key));
        let mut left_out = Vec::new();
        let mut tensors = BTreeMap::new();
        for (name, tensor) in checkpoint.tensors {
            match name.strip_prefix(&prefix) {
                Some(own) => drop(tensors.insert(simple(own), tensor)),
                None => left_out.push(name),
            }
        }
        for (name, tensor) in extra.into_iter().flat_map(|extra| extra.tensors) {
            let own = without_adapter_prefix(name.strip_prefix(&prefix).unwrap_or(&name));
            if !lora::is_matrix(own) {
                return Err(ImportError::Lora(format!("the file of LoRA weights also holds {name}")));
            }
            tensors.insert(simple(own), tensor);
        }
        if !left_out.is_empty() {
            notes.push(format!("{} other tensors are left out: {}", left_out.len(), shortened(&left_out)));
        }
        if !checkpoint.others.is_empty() {
            notes.push(format!("not needed and left out: {}", shortened(&checkpoint.others)));
        }
        let objects = checkpoint.objects.into_iter();
        let objects: BTreeMap<_, _> =
            objects.filter_map(|(name, class)| Some((simple(name.strip_prefix(&prefix)?), class))).collect();

        let (weights, lora) = lora::attach(tensors, Some(settings))?;
        let network = Roformer::recognise(&weights)?;
        let channels = check_settings(&network, settings)?;
        check_tensors(&network, &weights, &objects)?;
        let stems = stems(&network, settings, &mut notes)?;
        let sample_rate = settings.natural("audio.sample_rate")?.unwrap_or_else(|| {
            notes.push("the configuration names no sample rate; 44100 Hz is taken".into());
            44_100
        });
        let config = config(&network, settings, name, &stems, sample_rate, channels)?;
        let segment = match settings.natural("inference.chunk_size")? {
            Some(samples) => Some(samples),
            None => settings.natural("audio.chunk_size")?,
        };
        let pieces = settings.natural("inference.num_overlap")?.filter(|pieces| *pieces > 0);
        let parameters =
            network.parameters().into_iter().map(|parameter| (parameter.ours.clone(), parameter)).collect();
        Ok(Self {
            config,
            stems,
            sample_rate,
            segment: segment.filter(|samples| *samples > 0),
            overlap: pieces.map(|pieces| 1.0 - 1.0 / pieces as f64),
            lora,
            prefix,
            averaged,
            notes,
            weights,
            parameters,
            network,
        })
    }

    /// The parameters of the network, by the names of this program.
    pub fn parameters(&self) -> &BTreeMap<String, Parameter> {
        &self.parameters
    }

    /// Compares the parameters with those of the network that was built from the configuration.
    ///
    /// # Errors
    /// [`ImportError::Tensors`] that names all that differ.
    pub fn compare(&self, built: &BTreeMap<String, Vec<usize>>) -> Result<(), ImportError> {
        let mut faults = Vec::new();
        for (ours, shape) in built {
            match self.parameters.get(ours) {
                None => faults.push(format!("the network needs {ours}, which has no counterpart")),
                Some(own) if own.our_shape() != *shape => {
                    let shape: Vec<_> =
                        if own.transposed { shape.iter().rev().collect() } else { shape.iter().collect() };
                    faults.push(format!("{} is {:?}, not {shape:?}", own.theirs, own.shape));
                }
                Some(_) => {}
            }
        }
        let unused = self.parameters.iter().filter(|(ours, _)| !built.contains_key(*ours));
        faults.extend(unused.map(|(_, own)| format!("{} is unexpected ({:?})", own.theirs, own.shape)));
        if faults.is_empty() { Ok(()) } else { Err(ImportError::Tensors(faults)) }
    }

    /// Number of parameters by the type of their elements in the checkpoint.
    pub fn types(&self) -> BTreeMap<&'static str, usize> {
        let mut types = BTreeMap::new();
        for parameter in self.parameters.values() {
            let tensor = &self.weights[&parameter.theirs].tensor;
            *types.entry(tensor.dtype().name()).or_default() += tensor.length();
        }
        types
    }

    /// The values of a parameter of [`Recognised::parameters`], in row-major order of this program's shape, with the
    /// changes of LoRA. All values are finite.
    ///
    /// # Errors
    /// [`ImportError`] if the file cannot be read, or a value is not finite, or too large for `f16` if that is set.
    ///
    /// # Panics
    /// If there is no such parameter.
    pub fn values(&self, ours: &str, f16: bool) -> Result<Vec<f32>, ImportError> {
        const MOST_F16: f32 = 65_504.0;
        let parameter = &self.parameters[ours];
        let weight = &self.weights[&parameter.theirs];
        let values = weight.values()?;
        let fault = |fault| Err(ImportError::Value { name: weight.name.clone(), fault });
        if !values.iter().all(|value| value.is_finite()) {
            return fault("is not finite in 32 bits");
        }
        if f16 && values.iter().any(|value| value.abs() > MOST_F16) {
            return fault("is too large for 16 bits");
        }
        let &[rows, columns] = &parameter.shape[..] else { return Ok(values) };
        let mut transposed = Vec::with_capacity(values.len());
        for column in 0..columns {
            transposed.extend((0..rows).map(|row| values[row * columns + column]));
        }
        Ok(transposed)
    }
}

/// A name without the parts that wrappers of modules add.
fn simple(name: &str) -> String {
    name.replace("_orig_mod.", "").replace(".branch.", ".")
}

/// Names in an adapter file of PEFT begin with this prefix.
fn without_adapter_prefix(name: &str) -> &str {
    name.strip_prefix("base_model.model.").unwrap_or(name)
}

fn shortened(names: &[String]) -> String {
    const MOST: usize = 8;
    let shown = names.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The names of the stems, as file names can be.
fn stems(
    network: &Roformer,
    settings: &Settings,
    notes: &mut Vec<String>,
) -> Result<Vec<String>, ImportError> {
    let all = settings.texts("training.instruments")?;
    let target = settings.text("training.target_instrument")?.map(|target| vec![target.to_owned()]);
    let Some(named) = target.or(all) else {
        return Err(ImportError::Setting("lacks `training.instruments`, the names of the stems".into()));
    };
    if named.len() != network.stems {
        return Err(ImportError::Contradictions(vec![format!(
            "it names {} stems ({}), the tensors show {}",
            named.len(),
            named.join(", "),
            network.stems
        )]));
    }
    let plain = |name: &String| {
        let plain = plain_name(name);
        if plain != *name {
            notes.push(format!("stem {name:?} becomes {plain}"));
        }
        plain
    };
    Ok(named.iter().map(plain).collect())
}

/// A name with only the characters that names of this program may have.
pub fn plain_name(name: &str) -> String {
    const MOST: usize = 64;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let plain: String = name.chars().map(|c| if allowed(c) { c } else { '_' }).take(MOST).collect();
    if plain.is_empty() { "unnamed".into() } else { plain }
}

/// The configuration of a weights file.
fn config(
    network: &Roformer,
    settings: &Settings,
    name: &str,
    stems: &[String],
    sample_rate: usize,
    channels: usize,
) -> Result<Value, ImportError> {
    let refuse = |reason: String| Err(ImportError::Setting(reason));
    let n_fft = settings.natural("model.stft_n_fft")?.unwrap_or(2048);
    let window = settings.natural("model.stft_win_length")?.unwrap_or(n_fft);
    if window != n_fft {
        return refuse(format!("has a window of {window} samples in an STFT of {n_fft}; they must be equal"));
    }
    if settings.flag("model.use_pope")? == Some(true) {
        return refuse("asks for PoPE positions (`model.use_pope`), which this program does not have".into());
    }
    for (number, least) in [
        ("model.linear_transformer_depth", 0),
        ("model.num_residual_streams", 1),
        ("model.num_residual_fracs", 1),
    ] {
        if settings.natural(number)?.is_some_and(|value| value > least) {
            return refuse(format!("has a `{number}` above {least}, which this program does not have"));
        }
    }
    if let Some(bins) = settings.natural("model.dim_freqs_in")?
        && bins != n_fft / 2 + 1
    {
        return refuse(format!("has {bins} bins (`model.dim_freqs_in`) in an STFT of {n_fft}"));
    }
    let bands = match network.kind {
        Kind::MelBand => {
            let rate = settings.natural("model.sample_rate")?.unwrap_or(44_100);
            if rate != sample_rate {
                return refuse(format!("has two sample rates: {rate} for the bands and {sample_rate}"));
            }
            json!(network.band_inputs.len())
        }
        Kind::BandSplit => {
            json!(network.band_inputs.iter().map(|inputs| inputs / 2 / channels).collect::<Vec<_>>())
        }
    };
    Ok(json!({
        "family": network.kind.family(),
        "name": name,
        "stems": stems,
        "sample_rate": sample_rate,
        "n_fft": n_fft,
        "hop_length": settings.natural("model.stft_hop_length")?.unwrap_or(512),
        "bands": bands,
        "dim": network.dim,
        "depth": network.depth,
        "time_depth": network.time_depth,
        "frequency_depth": network.frequency_depth,
        "num_heads": network.num_heads,
        "head_width": network.head_width,
        "mask_depth": network.mask_depth,
        "mask_expansion": network.mask_expansion.unwrap_or(4),
        "stereo": channels == 2,
        "zero_dc": settings.flag("model.zero_dc")?.unwrap_or(true),
        "skip_connection": settings.flag("model.skip_connection")?.unwrap_or(false),
    }))
}
