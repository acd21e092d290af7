//! Every layout of a checkpoint gives the same network.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

mod common;

use common::{
    Floats, Pickle, archive, assert_values, bs_roformer, entries, legacy, mel_band_roformer, nested, open,
    plain, recognise, renamed, settings, state_dict, yaml,
};
use unbraid_import::{Dtype, Format, ImportError, Kind, Recognised, Settings};

/// The tensors with other values.
fn other(tensors: &[Floats]) -> Vec<Floats> {
    let changed = |tensor: &Floats| {
        let values = tensor.values.iter().map(|value| value + 1.0).collect();
        Floats { values, ..tensor.clone() }
    };
    let positions = |tensor: &Floats| tensor.name.ends_with("freqs");
    tensors.iter().map(|tensor| if positions(tensor) { tensor.clone() } else { changed(tensor) }).collect()
}

#[test]
fn plain_state_dicts_in_both_formats() {
    let tensors = bs_roformer();
    for (bytes, format) in [(plain(&tensors), Format::Zip), (legacy(&tensors), Format::Legacy)] {
        assert_eq!(open(&bytes).unwrap().format, format);
        let recognised = recognise(&bytes, false).unwrap();
        assert_values(&recognised, &tensors);
        assert_eq!(recognised.network.kind, Kind::BandSplit);
        assert!(!recognised.averaged);
    }
}

#[test]
fn the_configuration_of_the_network_is_complete() {
    let recognised = recognise(&plain(&bs_roformer()), false).unwrap();
    let expected = serde_json::json!({
        "family": "bs_roformer", "name": "small", "stems": ["vocals"], "sample_rate": 8000, "n_fft": 16,
        "hop_length": 4, "bands": [2, 3, 4], "dim": 8, "depth": 2, "time_depth": 1, "frequency_depth": 1,
        "num_heads": 2, "head_width": 4, "mask_depth": 2, "mask_expansion": 2, "stereo": true, "zero_dc": true,
        "skip_connection": false,
    });
    assert_eq!(recognised.config, expected);
    assert_eq!((recognised.segment, recognised.overlap), (Some(4000), Some(0.75)));
    let recognised = recognise(&plain(&mel_band_roformer()), true).unwrap();
    assert_values(&recognised, &mel_band_roformer());
    assert_eq!(recognised.config["family"], "mel_band_roformer");
    assert_eq!(recognised.config["bands"], 3);
}

#[test]
fn dicts_of_training_programs() {
    let tensors = bs_roformer();
    for key in ["state_dict", "model", "model_state_dict", "state", "ema", "ema_state_dict"] {
        let bytes = nested(&[(key, &tensors)]);
        let checkpoint = open(&bytes).unwrap();
        assert_eq!(checkpoint.place, [key]);
        assert_eq!(checkpoint.others, ["epoch", "optimizer"]);
        let recognised = recognise(&bytes, false).unwrap();
        assert_values(&recognised, &tensors);
        assert_eq!(recognised.averaged, key.starts_with("ema"), "{key}");
    }
}

#[test]
fn a_moving_average_is_preferred_unless_asked_otherwise() {
    let (tensors, average) = (bs_roformer(), other(&bs_roformer()));
    let bytes = nested(&[("model", &tensors), ("ema", &average)]);
    assert_values(&recognise(&bytes, false).unwrap(), &average);
    let without = |bytes: &[u8]| {
        let input = Box::new(std::io::Cursor::new(bytes.to_vec()));
        let checkpoint = unbraid_import::Checkpoint::read(input, false).unwrap();
        Recognised::new(checkpoint, None, &settings(false), "small", false).unwrap()
    };
    assert_values(&without(&bytes), &tensors);
    // The same within one dict, by prefixes of the names.
    let mut both = renamed(&tensors, |name| format!("online_model.{name}"));
    both.extend(renamed(&average, |name| format!("ema_model.{name}")));
    let recognised = recognise(&plain(&both), false).unwrap();
    assert_values(&recognised, &renamed(&average, |name| format!("ema_model.{name}")));
    assert!(recognised.averaged && recognised.prefix == "ema_model.");
    assert_values(&without(&plain(&both)), &tensors);
}

#[test]
fn prefixes_of_wrappers() {
    let tensors = mel_band_roformer();
    for prefix in ["module.", "model.", "model.module.", "_orig_mod.", "net.", "base_model.model."] {
        let mut wrapped = renamed(&tensors, |name| format!("{prefix}{name}"));
        let recognised = recognise(&plain(&wrapped), true).unwrap();
        assert_values(&recognised, &wrapped);
        assert_eq!(recognised.prefix, prefix);
        // Lightning stores the buffers of losses beside the network.
        wrapped.push(Floats::new("loss.window", &[3]));
        let recognised = recognise(&plain(&wrapped), true).unwrap();
        assert!(recognised.notes.iter().any(|note| note.contains("loss.window")), "{:?}", recognised.notes);
    }
    let compiled = renamed(&tensors, |name| name.replace("layers.0.1.", "layers.0.1._orig_mod."));
    assert_values(&recognise(&plain(&compiled), true).unwrap(), &tensors);
}

#[test]
fn the_place_of_a_linear_transformer_may_be_empty() {
    let tensors = mel_band_roformer();
    let shift = |name: &str| {
        let parts: Vec<_> = name.splitn(4, '.').collect();
        match parts[..] {
            ["layers", layer, place, rest] => {
                format!("layers.{layer}.{}.{rest}", place.parse::<usize>().unwrap() + 1)
            }
            _ => name.to_owned(),
        }
    };
    let shifted = renamed(&tensors, shift);
    assert_values(&recognise(&plain(&shifted), true).unwrap(), &shifted);
}

/// `safetensors` with the same tensors, two of them in other types.
#[test]
fn safetensors_are_read_too() {
    let tensors = bs_roformer();
    let bytes: Vec<_> = tensors.iter().map(Floats::bytes).collect();
    let views = tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, tensor.shape.clone(), bytes);
        (tensor.name.clone(), view.unwrap())
    });
    let file = safetensors::serialize(views, None).unwrap();
    assert_eq!(open(&file).unwrap().format, Format::Safetensors);
    assert_values(&recognise(&file, false).unwrap(), &tensors);
    assert!(open(&file[..file.len() - 1]).is_err());
}

/// Replaces a tensor by a view.
fn with_view(
    tensors: &[Floats],
    name: &str,
    view: impl Fn(Pickle) -> Pickle,
    storages: &[Vec<u8>],
) -> Vec<u8> {
    let rest: Vec<_> = tensors.iter().filter(|tensor| tensor.name != name).cloned().collect();
    let pickle = state_dict(Pickle::new(), &rest, 0);
    let pickle = view(pickle.raw(b"(").text(name)).raw(b"u").end();
    let mut entries = entries(pickle, &rest);
    for (index, storage) in storages.iter().enumerate() {
        entries.push((format!("archive/data/extra{index}"), storage.clone()));
    }
    archive(&entries)
}

#[test]
fn views_types_and_shared_storages() {
    let tensors = bs_roformer();
    let name = "layers.1.1.layers.0.1.net.1.weight";
    let whole = tensors.iter().find(|tensor| tensor.name == name).unwrap();
    // The transpose of a stored matrix, in each type of floats.
    let transposed: Vec<f32> = (0..256).map(|n| whole.values[n % 32 * 8 + n / 32]).collect();
    let f16 = transposed.iter().flat_map(|value| half::f16::from_f32(*value).to_le_bytes()).collect();
    let bf16 = transposed.iter().flat_map(|value| half::bf16::from_f32(*value).to_le_bytes()).collect();
    let f32 = transposed.iter().flat_map(|value| value.to_le_bytes()).collect();
    let f64 = transposed.iter().flat_map(|value| f64::from(*value).to_le_bytes()).collect::<Vec<u8>>();
    for (class, dtype, bytes) in [
        ("HalfStorage", Dtype::F16, f16),
        ("BFloat16Storage", Dtype::Bf16, bf16),
        ("FloatStorage", Dtype::F32, f32),
        ("DoubleStorage", Dtype::F64, f64),
    ] {
        let view = |pickle: Pickle| pickle.view((class, "extra0", 256), 0, &[32, 8], &[1, 32]);
        let file = with_view(&tensors, name, view, &[bytes]);
        assert_eq!(open(&file).unwrap().tensors[name].dtype(), dtype);
        assert_values(&recognise(&file, false).unwrap(), &tensors);
    }
    // A part of a storage that another tensor shares.
    let name = "final_norm.gamma";
    let whole = tensors.iter().find(|tensor| tensor.name == name).unwrap();
    let mut storage = vec![9.0_f32; 3];
    storage.extend(&whole.values);
    storage.push(8.0);
    let storage = storage.iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = |pickle: Pickle| {
        let pickle = pickle.view(("FloatStorage", "extra0", 12), 3, &[8], &[1]);
        pickle.text("num_batches_tracked").view(("FloatStorage", "extra0", 12), 0, &[], &[])
    };
    assert_values(&recognise(&with_view(&tensors, name, view, &[storage]), false).unwrap(), &tensors);
}

/// What LoRA adds: `2 · B A` with r = 1 and alpha = 2.
fn changed(tensors: &[Floats], name: &str, a: &Floats, b: &Floats) -> Vec<Floats> {
    let mut tensors = tensors.to_vec();
    let weight = tensors.iter_mut().find(|tensor| tensor.name == name).unwrap();
    let columns = weight.shape[1];
    for (n, value) in weight.values.iter_mut().enumerate() {
        *value += 2.0 * b.values[n / columns] * a.values[n % columns];
    }
    tensors
}

#[test]
fn lora_is_merged() {
    let tensors = bs_roformer();
    let layer = "layers.0.0.layers.0.0.to_qkv";
    let (a, b) = (Floats::new("a", &[1, 8]), Floats::new("b", &[24, 1]));
    let expected = changed(&tensors, &format!("{layer}.weight"), &a, &b);
    let lora = Settings::parse(&format!("{}lora:\n  r: 1\n  lora_alpha: 2\n", yaml(false))).unwrap();
    for (name_a, name_b, wrap) in [
        (".lora_A", ".lora_B", false),
        (".lora_A.weight", ".lora_B.weight", true),
        (".lora_A.default.weight", ".lora_B.default.weight", true),
    ] {
        let rename = |name: &str| match name.strip_prefix(layer) {
            Some(rest) if wrap => format!("base_model.model.{layer}.base_layer{rest}"),
            _ if wrap => format!("base_model.model.{name}"),
            _ => name.to_owned(),
        };
        let mut all = renamed(&tensors, rename);
        all.push(Floats { name: rename(layer).replace(".base_layer", "") + name_a, ..a.clone() });
        all.push(Floats { name: rename(layer).replace(".base_layer", "") + name_b, ..b.clone() });
        let merged = Recognised::new(open(&plain(&all)).unwrap(), None, &lora, "small", true).unwrap();
        assert_eq!(merged.lora, 1);
        assert_values(&merged, &expected);
    }
    // In a separate file.
    let own = [
        Floats { name: format!("base_model.model.{layer}.lora_A.weight"), ..a.clone() },
        Floats { name: format!("base_model.model.{layer}.lora_B.weight"), ..b.clone() },
    ];
    let extra = || Some(open(&plain(&own)).unwrap());
    let base = || open(&plain(&tensors)).unwrap();
    assert_values(&Recognised::new(base(), extra(), &lora, "small", true).unwrap(), &expected);
    let refused = |checkpoint, extra, settings: &Settings| {
        Recognised::new(checkpoint, extra, settings, "small", true).unwrap_err().to_string()
    };
    assert!(refused(base(), extra(), &settings(false)).contains("lora_alpha"));
    let other_rank = Settings::parse(&format!("{}lora:\n  r: 2\n  lora_alpha: 2\n", yaml(false))).unwrap();
    assert!(refused(base(), extra(), &other_rank).contains("do not fit"));
    let whole = Some(open(&plain(&tensors)).unwrap());
    assert!(refused(base(), whole, &lora).contains("also holds band_split"));
    let half = [own[0].clone()];
    assert!(refused(base(), Some(open(&plain(&half)).unwrap()), &lora).contains("one matrix"));
}

/// loralib's layers of merged matrices change some groups of the rows.
#[test]
fn lora_of_some_groups_of_rows() {
    let tensors = bs_roformer();
    let layer = "layers.0.0.layers.0.0.to_qkv";
    let (a, b) = (Floats::new("a", &[2, 8]), Floats::new("b", &[16, 1]));
    let mut expected = tensors.clone();
    let weight = expected.iter_mut().find(|tensor| tensor.name == format!("{layer}.weight")).unwrap();
    for (group, start) in [0, 16].into_iter().enumerate() {
        for n in 0..64 {
            weight.values[start * 8 + n] += 2.0 * b.values[group * 8 + n / 8] * a.values[group * 8 + n % 8];
        }
    }
    let mut all = tensors.clone();
    all.push(Floats { name: format!("{layer}.lora_A"), ..a });
    all.push(Floats { name: format!("{layer}.lora_B"), ..b });
    let lora = "lora: { r: 1, lora_alpha: 2, enable_lora: [True, False, True] }\n";
    let settings = Settings::parse(&(yaml(false) + lora)).unwrap();
    let merged = Recognised::new(open(&plain(&all)).unwrap(), None, &settings, "small", true).unwrap();
    assert_values(&merged, &expected);
}

fn faults(bytes: &[u8]) -> Vec<String> {
    match recognise(bytes, false) {
        Err(ImportError::Tensors(faults)) => faults,
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_tensors_that_do_not_fit_are_named_at_once() {
    let mut tensors = bs_roformer();
    tensors.retain(|tensor| tensor.name != "layers.1.0.layers.0.1.net.1.bias");
    let wrong = tensors.iter_mut().find(|tensor| tensor.name == "final_norm.gamma").unwrap();
    *wrong = Floats::new("final_norm.gamma", &[2, 4]);
    tensors.push(Floats::new("layers.1.0.extra", &[3]));
    let positions = tensors.iter_mut().find(|tensor| tensor.name.ends_with("freqs")).unwrap();
    positions.values[1] = 0.02;
    let faults = faults(&plain(&tensors)).join("\n");
    for expected in [
        "layers.1.0.layers.0.1.net.1.bias is missing ([32])",
        "final_norm.gamma is [2, 4], not [8]",
        "layers.1.0.extra is unexpected ([3])",
        "rotary_embed.freqs holds learned positions",
    ] {
        assert!(faults.contains(expected), "{expected}: {faults}");
    }
    assert_eq!(faults.lines().count(), 4, "{faults}");
}

#[test]
fn contradictions_between_configuration_and_tensors_are_named() {
    let bytes = plain(&bs_roformer());
    let refused = |from: &str, to: &str| {
        assert!(yaml(false).contains(from), "{from}");
        let settings = Settings::parse(&yaml(false).replacen(from, to, 1)).unwrap();
        Recognised::new(open(&bytes).unwrap(), None, &settings, "small", true).unwrap_err().to_string()
    };
    for (from, to, words) in [
        ("depth: 2", "depth: 12", "`model.depth` is 12, the tensors show 2"),
        ("heads: 2", "heads: 8", "`model.heads` is 8"),
        ("- 3\n", "- 30\n", "freqs_per_bands"),
        ("dim_head", "num_bands: 3\n  dim_head", "a Mel-Band RoFormer"),
        ("target_instrument: vocals", "target_instrument: null", "names 2 stems (vocals, other)"),
        ("stft_win_length: 16", "stft_win_length: 8", "window of 8 samples"),
        ("dim_head", "use_pope: true\n  dim_head", "PoPE"),
        ("dim_head", "linear_transformer_depth: 1\n  dim_head", "linear_transformer_depth"),
        ("depth: 2", "depth: two", "`model.depth` is \"two\""),
    ] {
        let error = refused(from, to);
        assert!(error.contains(words), "{error}");
    }
    let several = yaml(false).replace("depth: 2", "depth: 3").replace("heads: 2", "heads: 3");
    let several = Settings::parse(&several).unwrap();
    let error = Recognised::new(open(&bytes).unwrap(), None, &several, "small", true).unwrap_err();
    assert!(matches!(&error, ImportError::Contradictions(list) if list.len() >= 2), "{error}");
}

#[test]
fn other_networks_are_named() {
    for (tensor, network) in [
        ("crosstransformer.layers.0.norm1.weight", "HTDemucs"),
        ("sep_net.dp_modules.0.norm.weight", "SCNet"),
        ("unknown.weight", "unknown.weight"),
    ] {
        let error = recognise(&plain(&[Floats::new(tensor, &[2])]), false).unwrap_err().to_string();
        assert!(error.contains(network), "{error}");
    }
    let mut tensors = bs_roformer();
    tensors.push(Floats::new("layers.1.0.layers.0.0.to_value_residual_mix.weight", &[2, 8]));
    assert!(recognise(&plain(&tensors), false).unwrap_err().to_string().contains("value residuals"));
}

#[test]
fn stems_become_names_of_files() {
    let text = yaml(false).replace("target_instrument: vocals", "target_instrument: 'Lead Vocals'");
    let settings = Settings::parse(&text).unwrap();
    let recognised =
        Recognised::new(open(&plain(&bs_roformer())).unwrap(), None, &settings, "small", true).unwrap();
    assert_eq!(recognised.stems, ["Lead_Vocals"]);
    assert!(recognised.notes.iter().any(|note| note.contains("Lead_Vocals")));
}
