//! A model with random weights that is small enough for a software adapter.
//!
//! It separates nothing, but its two stems differ from the song and from each other. It takes a tenth of the
//! computation of the page's own model.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value, json};

pub(crate) const STEMS: [&str; 2] = ["left_over", "right_over"];

const CHANNELS: usize = 8;
const SUBBANDS: usize = 64;
const N_FFT: usize = 2048;

/// Seconds of a segment. Neighbouring segments overlap by a quarter.
pub(crate) const SEGMENT: f64 = 1.0;

/// Writes the weights file.
pub(crate) fn write(path: &Path) -> Result<()> {
    Ok(fs::write(path, bytes(|_| ()))?)
}

/// The bytes of the file, after `change` edited its header.
pub(crate) fn bytes(change: impl FnOnce(&mut Map<String, Value>)) -> Vec<u8> {
    let config = json!({
        "name": "invented", "stems": STEMS, "sample_rate": 44100, "n_fft": N_FFT, "hop_length": N_FFT / 4,
        "subbands": SUBBANDS, "dims": [CHANNELS], "depths": [1], "num_heads": 2, "window_size": [8, 8],
        "mlp_ratio": 2, "positional": "rotary", "tsa_chunk_size": 0, "fsa_chunk_size": 0,
    });
    let provenance = json!({ "tool": "the page's tests", "segment_seconds": SEGMENT });
    let description = json!({ "format": 1, "config": config, "provenance": provenance }).to_string();
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!({ "unbraid": description }));
    let mut data = Vec::new();
    let mut state = 1u32;
    for (name, shape) in tensors() {
        let start = data.len();
        let spread = 1.0 / (shape[0] as f32).sqrt();
        for _ in 0..shape.iter().product() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
            // Scales of normalisations are 1; all other weights are noise around zero.
            let value = if name.ends_with("gamma") { 1.0 } else { spread * noise };
            data.extend(value.to_le_bytes());
        }
        header.insert(name, json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] }));
    }
    change(&mut header);
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

/// Names and shapes of the parameters of a network with one resolution, as in `crates/model`.
fn tensors() -> Vec<(String, Vec<usize>)> {
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize]| tensors.push((name, shape.to_vec()));
    // Three features of two channels of each sub-band of three neighbouring bins.
    let patch = 3 * 3 * 2 * SUBBANDS;
    for frame in 0..3 {
        add(format!("stem.{frame}.weight"), &[patch, CHANNELS]);
        add(format!("stem.{frame}.bias"), &[CHANNELS]);
    }
    add("frequency".into(), &[N_FFT / 2 / SUBBANDS, CHANNELS]);
    for layer in ["time", "frequency", "window"] {
        let layer = format!("bottleneck.blocks.0.{layer}");
        for norm in ["norm_attention", "norm_mlp"] {
            add(format!("{layer}.{norm}.gamma"), &[CHANNELS]);
            add(format!("{layer}.{norm}.beta"), &[CHANNELS]);
        }
        let maps = [("qkv", 1, 3), ("projection", 1, 1), ("expand", 1, 2), ("contract", 2, 1)];
        for (map, inputs, outputs) in maps {
            add(format!("{layer}.{map}.weight"), &[inputs * CHANNELS, outputs * CHANNELS]);
            add(format!("{layer}.{map}.bias"), &[outputs * CHANNELS]);
        }
    }
    add("bottleneck.blocks.0.window.position_bias".into(), &[2, 15 * 15]);
    add("norm.gamma".into(), &[CHANNELS]);
    add("norm.beta".into(), &[CHANNELS]);
    let masks = 2 * STEMS.len() * 2 * SUBBANDS;
    add("head.weight".into(), &[CHANNELS, masks]);
    add("head.bias".into(), &[masks]);
    tensors
}
