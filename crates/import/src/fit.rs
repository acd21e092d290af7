//! Whether configuration, tensors and network fit each other.

use std::collections::{BTreeMap, HashSet};

use crate::error::ImportError;
use crate::lora::Weight;
use crate::roformer::{Kind, Parameter, Roformer};
use crate::settings::Settings;

/// Compares the settings with the sizes of the tensors. Returns the number of audio channels.
pub(crate) fn check_settings(network: &Roformer, settings: &Settings) -> Result<usize, ImportError> {
    let mut contradictions = Vec::new();
    let mut compare = |name: &str, expected: &[usize]| {
        let found = settings.natural(name)?;
        if let Some(found) = found
            && !expected.contains(&found)
        {
            let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
            contradictions.push(format!("`{name}` is {found}, the tensors show {}", expected.join(" or ")));
        }
        Ok::<_, ImportError>(())
    };
    compare("model.dim", &[network.dim])?;
    compare("model.depth", &[network.depth])?;
    compare("model.time_transformer_depth", &[network.time_depth])?;
    compare("model.freq_transformer_depth", &[network.frequency_depth])?;
    compare("model.heads", &[network.num_heads])?;
    compare("model.dim_head", &[network.head_width])?;
    compare("model.num_stems", &[network.stems])?;
    // Versions of the mel-band network differ in whether they count the last map.
    compare("model.mask_estimator_depth", &[network.mask_depth, network.mask_depth.saturating_sub(1)])?;
    if let Some(expansion) = network.mask_expansion {
        compare("model.mlp_expansion_factor", &[expansion])?;
    }
    let channels = if settings.flag("model.stereo")? == Some(true) { 2 } else { 1 };
    match network.kind {
        Kind::MelBand => compare("model.num_bands", &[network.band_inputs.len()])?,
        Kind::BandSplit => {
            let shown: Vec<_> = network.band_inputs.iter().map(|inputs| inputs / 2 / channels).collect();
            if let Some(bins) = settings.naturals("model.freqs_per_bands")?
                && bins != shown
            {
                contradictions
                    .push(format!("`model.freqs_per_bands` is {bins:?}, the tensors show {shown:?}"));
            }
        }
    }
    let own = match network.kind {
        Kind::MelBand => ("model.freqs_per_bands", "a BS-RoFormer", "a Mel-Band RoFormer"),
        Kind::BandSplit => ("model.num_bands", "a Mel-Band RoFormer", "a BS-RoFormer"),
    };
    if settings.has(own.0) {
        contradictions.push(format!("`{}` describes {}, the tensors show {}", own.0, own.1, own.2));
    }
    if contradictions.is_empty() { Ok(channels) } else { Err(ImportError::Contradictions(contradictions)) }
}

/// Compares the tensors with the network: all names, all shapes, and what must have one value in every network.
pub(crate) fn check_tensors(
    network: &Roformer,
    weights: &BTreeMap<String, Weight>,
    objects: &BTreeMap<String, String>,
) -> Result<(), ImportError> {
    let mut faults = Vec::new();
    let parameters = network.parameters();
    for Parameter { theirs, shape, .. } in &parameters {
        match (weights.get(theirs), objects.get(theirs)) {
            (Some(weight), _) if weight.tensor.shape() != shape => {
                faults.push(format!("{} is {:?}, not {shape:?}", weight.name, weight.tensor.shape()));
            }
            (Some(weight), _) if !weight.tensor.dtype().is_float() => {
                faults.push(format!(
                    "{} is of type {}, not a float",
                    weight.name,
                    weight.tensor.dtype().name()
                ));
            }
            (Some(_), _) => {}
            (None, Some(class)) => faults.push(format!("{theirs} is a Python object of {class}")),
            (None, None) => faults.push(format!("{theirs} is missing ({shape:?})")),
        }
    }
    let known: HashSet<_> = parameters.iter().map(|own| own.theirs.as_str()).collect();
    for (name, weight) in weights.iter().filter(|(name, _)| !known.contains(name.as_str())) {
        if name.ends_with(".rotary_embed.freqs") {
            check_positions(weight, network.head_width, &mut faults)?;
        } else if !DERIVED.iter().any(|derived| name.ends_with(derived)) {
            faults.push(format!("{} is unexpected ({:?})", weight.name, weight.tensor.shape()));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(ImportError::Tensors(faults)) }
}

/// Tensors that some versions store, and that this program computes from the configuration.
const DERIVED: [&str; 9] = [
    "num_batches_tracked",
    "rotary_embed.dummy",
    "rotary_embed.cached_freqs",
    "rotary_embed.cached_scales",
    "rotary_embed.scale",
    "freq_indices",
    "freqs_per_band",
    "num_freqs_per_band",
    "num_bands_per_freq",
];

/// The frequencies of rotary positions must be the usual ones, because this program computes them.
fn check_positions(weight: &Weight, head_width: usize, faults: &mut Vec<String>) -> Result<(), ImportError> {
    if weight.tensor.length() != head_width / 2 {
        let shape = weight.tensor.shape();
        faults.push(format!("{} is {shape:?}, not [{}]", weight.name, head_width / 2));
        return Ok(());
    }
    // 16-bit floats of PyTorch have a relative error of up to 2⁻⁸, and the smallest frequency is 10⁻⁴.
    let tolerance = if weight.tensor.dtype().bytes() == 2 { 1.0 / 256.0 } else { 1e-3 };
    let values = weight.values()?;
    let are_usual = values.iter().enumerate().all(|(index, value)| {
        let expected = 10_000_f64.powf(-2.0 * index as f64 / head_width as f64);
        (f64::from(*value) - expected).abs() <= tolerance * expected
    });
    if !are_usual {
        faults.push(format!("{} holds learned positions, not 10000^(-2i/{head_width})", weight.name));
    }
    Ok(())
}
