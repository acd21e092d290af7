//! Weights files: a saved network loads unchanged, files of format 1 load, and every damaged file is refused.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use burn::tensor::{DType, Device, TensorData};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use unbraid_model::family::tfswa::TfswaConfig;
use unbraid_model::weights::{self, METADATA_KEY, Provenance, Reason};
use unbraid_model::{
    Execution, FamilyConfig, ModelConfig, Network, SegmentModel, named_shapes, named_tensors, with_tensors,
};

fn model() -> Network {
    let device = Device::flex();
    device.seed(1);
    let tiny = ModelConfig::standard("tfswa_unet_tiny").expect("a standard network");
    let own = tiny.family.tfswa().expect("a TFSWA network");
    let family = FamilyConfig::TfswaUnet(TfswaConfig {
        dims: vec![8, 8],
        depths: vec![1, 1],
        num_heads: 2,
        window_size: [2, 3],
        ..own.clone()
    });
    let execution = Execution { tsa_chunk_size: 5, fsa_chunk_size: 0, ..Execution::default() };
    ModelConfig { n_fft: 256, hop_length: 64, family, ..tiny }.init(&device).with_execution(execution)
}

fn provenance() -> Provenance {
    Provenance {
        tool: "0.1.0".into(),
        date: "2026-01-02".into(),
        data: "invented".into(),
        steps: 12,
        seed: 3,
        segment_seconds: 1.5,
        overlap: 0.0,
        scores: BTreeMap::from([("uSDR vocals".into(), 4.25)]),
        notes: "a \"quoted\" note".into(),
    }
}

fn saved(folder: &Path) -> Vec<u8> {
    let path = folder.join("whole.safetensors");
    weights::save(&path, &model(), &provenance()).expect("saved");
    fs::read(path).expect("read")
}

/// A file with its tensors and its metadata changed by `change`.
fn rebuilt(
    bytes: &[u8],
    change: impl FnOnce(&mut BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>, &mut HashMap<String, String>),
) -> Vec<u8> {
    let file = SafeTensors::deserialize(bytes).expect("whole");
    let (_, header) = SafeTensors::read_metadata(bytes).expect("whole");
    let mut metadata = header.metadata().clone().expect("metadata");
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        tensors.insert(name.to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec()));
    }
    change(&mut tensors, &mut metadata);
    let views = tensors.iter().map(|(name, (dtype, shape, data))| {
        (name, TensorView::new(*dtype, shape.clone(), data).expect("sizes agree"))
    });
    safetensors::serialize(views.collect::<Vec<_>>(), Some(metadata)).expect("serialised")
}

fn refusal(bytes: &[u8]) -> Reason {
    weights::from_bytes(bytes, &Device::flex()).expect_err("must be refused").reason
}

#[test]
fn a_saved_network_is_loaded_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let model = model();
    weights::save(&path, &model, &provenance()).unwrap();
    let loaded = weights::load(&path, &Device::flex()).unwrap();
    assert_eq!(loaded.config, model.config());
    assert_eq!(loaded.model.config(), model.config());
    assert_eq!(loaded.model.execution(), model.execution());
    assert_eq!(loaded.provenance, provenance());
    assert_eq!(named_tensors(&loaded.model).unwrap(), named_tensors(&model).unwrap());

    let first = fs::read(&path).unwrap();
    weights::save(&path, &loaded.model, &loaded.provenance).unwrap();
    assert_eq!(fs::read(&path).unwrap(), first, "the same network gives the same bytes");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left over");
}

#[test]
fn chunk_sizes_are_optional_and_no_part_of_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = rebuilt(&saved(folder.path()), |_, metadata| {
        let text = metadata.get_mut(METADATA_KEY).unwrap();
        let execution = r#""execution":{"tsa_chunk_size":5,"fsa_chunk_size":0},"#;
        assert!(text.contains(execution), "{text}");
        *text = text.replace(execution, "");
    });
    let loaded = weights::from_bytes(&bytes, &Device::flex()).unwrap();
    assert_eq!(loaded.model.execution(), Execution::default());
    assert_eq!(loaded.config, model().config());
}

/// The file as an earlier version wrote it: no family, chunk sizes in the configuration, `stem` for the patch
/// embedding.
fn format_1(bytes: &[u8]) -> Vec<u8> {
    rebuilt(bytes, |tensors, metadata| {
        *tensors = std::mem::take(tensors)
            .into_iter()
            .map(|(name, tensor)| (name.replace("patch_embed.", "stem."), tensor))
            .collect();
        let text = metadata.get_mut(METADATA_KEY).expect("a description");
        for (from, to) in [
            ("\"format\":2", "\"format\":1"),
            ("\"family\":\"tfswa_unet\",", ""),
            (",\"execution\":{\"tsa_chunk_size\":5,\"fsa_chunk_size\":0}", ""),
            (
                "\"positional\":\"rotary\"",
                "\"positional\":\"rotary\",\"tsa_chunk_size\":5,\"fsa_chunk_size\":0",
            ),
        ] {
            assert!(text.contains(from), "{text}");
            *text = text.replacen(from, to, 1);
        }
    })
}

#[test]
fn format_1_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = format_1(&saved(folder.path()));
    let loaded = weights::from_bytes(&bytes, &Device::flex()).unwrap();
    assert_eq!((loaded.config, loaded.provenance), (model().config(), provenance()));
    assert_eq!(loaded.model.execution(), model().execution());
    assert_eq!(named_tensors(&loaded.model).unwrap(), named_tensors(&model()).unwrap());

    // A name of each format for the same parameter.
    let twice = rebuilt(&bytes, |tensors, _| {
        let bias = tensors["stem.0.bias"].clone();
        tensors.insert("patch_embed.0.bias".into(), bias);
    });
    assert!(matches!(refusal(&twice), Reason::Tensors(_)));
    // The names of format 1 in a file of format 2.
    let mixed = rebuilt(&saved(folder.path()), |tensors, _| {
        let bias = tensors.remove("patch_embed.0.bias").unwrap();
        tensors.insert("stem.0.bias".into(), bias);
    });
    assert!(matches!(refusal(&mixed), Reason::Tensors(_)));
}

/// The file that ships is of format 1. Its tensors arrive unchanged, and its stems are those that the version before
/// format 2 computed for the same noise.
#[test]
fn the_built_in_model_separates_as_before_format_2() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/models/default.safetensors");
    let bytes = fs::read(path).unwrap();
    let loaded = weights::from_bytes(&bytes, &Device::flex()).unwrap();
    assert_eq!(loaded.config, ModelConfig::standard("tfswa_unet_tiny").unwrap());
    let parameters = |network: &Network| -> usize {
        named_shapes(network).values().map(|shape| shape.iter().product::<usize>()).sum()
    };
    assert_eq!(parameters(&loaded.model), loaded.config.parameters());

    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors = named_tensors(&loaded.model).unwrap();
    for (name, view) in file.iter() {
        let data = tensors.remove(&name.replace("stem.", "patch_embed.")).expect(name);
        assert!(data.as_bytes() == view.data(), "{name}");
    }
    assert!(tensors.is_empty(), "{tensors:?}");

    let noise = |seed: u32| -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..44_100).map(|_| next()).collect()
    };
    let stems = pollster::block_on(loaded.model.run(vec![[noise(1), noise(2)]])).unwrap().remove(0);
    // Energies of left and right, and samples 0, 1000, 20,000 and 44,099 on the left.
    let expected: [([f64; 2], [f32; 4]); 4] = [
        ([1_911.387_628, 1_906.791_421], [-0.101_901_53, 0.194_180_73, 0.056_442_84, 0.088_053_62]),
        ([4.512_673_777, 4.764_486_152], [0.000_579_301_5, -0.000_143_785_46, 0.003_404_295, -0.007_641_019]),
        ([1_400.199_874, 1_383.021_57], [-0.087_752_85, 0.009_972_086, -0.130_747_91, -0.199_360_62]),
        ([25.463_910_03, 24.987_539_81], [-0.023_617_415, -0.007_358_31, 0.039_313_756, 0.003_819_379_3]),
    ];
    for (stem, (energies, samples)) in stems.iter().zip(expected) {
        for (channel, expected) in stem.iter().zip(energies) {
            let energy: f64 = channel.iter().map(|&x| f64::from(x).powi(2)).sum();
            assert!((energy / expected - 1.0).abs() < 1e-5, "{energy}, not {expected}");
        }
        for (index, expected) in [0, 1000, 20_000, 44_099].into_iter().zip(samples) {
            // Another CPU may round differently. The largest stem has samples up to 1.
            assert!((stem[0][index] - expected).abs() < 2e-6, "{}, not {expected}", stem[0][index]);
        }
    }
}

/// A file is untrusted. Impossible lengths are ignored.
#[test]
fn the_segment_length_of_training_is_the_default() {
    let mut loaded =
        weights::from_bytes(&saved(tempfile::tempdir().unwrap().path()), &Device::flex()).unwrap();
    assert_eq!(loaded.segment_seconds(), 1.5);
    for unusable in [0.0, -1.0, 1e9, f64::NAN, f64::INFINITY] {
        loaded.provenance.segment_seconds = unusable;
        assert_eq!(loaded.segment_seconds(), 6.0, "{unusable}");
    }
    loaded.provenance.segment_seconds = 1e-9;
    let samples = loaded.segment_seconds() * f64::from(loaded.config.sample_rate);
    assert!((samples - loaded.model.least_samples() as f64).abs() < 1e-6, "{samples}");
}

#[test]
fn half_precision_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = rebuilt(&saved(folder.path()), |tensors, _| {
        for (dtype, shape, data) in tensors.values_mut() {
            let half =
                TensorData::from_bytes_vec(data.clone(), shape.clone(), DType::F32).convert_dtype(DType::F16);
            (*dtype, *data) = (Dtype::F16, half.as_bytes().to_vec());
        }
    });
    let loaded = weights::from_bytes(&bytes, &Device::flex()).unwrap();
    for ((name, half), (_, full)) in
        named_tensors(&loaded.model).unwrap().iter().zip(named_tensors(&model()).unwrap())
    {
        assert_eq!(half.dtype(), DType::F32);
        for (half, full) in half.as_slice::<f32>().unwrap().iter().zip(full.as_slice::<f32>().unwrap()) {
            assert!((half - full).abs() <= full.abs() / 2048.0 + 3e-8, "{name}: {half} {full}");
        }
    }
}

#[test]
fn a_failed_save_keeps_the_existing_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    fs::write(&path, b"before").unwrap();
    let mut tensors = named_tensors(&model()).unwrap();
    tensors.insert("norm.gamma".into(), TensorData::new(vec![f32::NAN; 8], [8]));
    let broken = with_tensors(model(), tensors).unwrap();
    let error = weights::save(&path, &broken, &provenance()).unwrap_err();
    assert!(matches!(&error.reason, Reason::NotFinite(name) if name == "norm.gamma"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"before");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let nowhere = folder.path().join("no such folder").join("model.safetensors");
    let error = weights::save(&nowhere, &model(), &provenance()).unwrap_err();
    assert!(error.to_string().contains("no such folder"), "{error}");
    // A folder has the file's name: the rename fails, and the temporary file is removed.
    let occupied = folder.path().join("occupied");
    fs::create_dir_all(occupied.join("inside")).unwrap();
    weights::save(&occupied, &model(), &provenance()).unwrap_err();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn incomplete_files_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = saved(folder.path());
    let path = folder.path().join("broken.safetensors");
    let lengths = (0..2000).step_by(61).chain([7, 8, 9, bytes.len() / 2, bytes.len() - 1]);
    for length in lengths {
        fs::write(&path, &bytes[..length]).unwrap();
        let error = weights::load(&path, &Device::flex()).unwrap_err();
        assert!(matches!(error.reason, Reason::Format(_)), "{length} bytes: {error}");
        assert!(error.to_string().contains("broken.safetensors"), "{error}");
    }
    assert!(matches!(refusal(&[&bytes[..], &[0]].concat()), Reason::Format(_)));
    assert!(matches!(refusal(b"These are the lyrics of a song, not weights."), Reason::Format(_)));
    assert!(matches!(weights::load(folder.path(), &Device::flex()).unwrap_err().reason, Reason::Io(_)));
    let missing = weights::load(&folder.path().join("missing"), &Device::flex()).unwrap_err();
    assert!(matches!(missing.reason, Reason::Io(_)) && missing.to_string().contains("missing"));

    for header in [u64::MAX, 1 << 40, 9 << 20, bytes.len() as u64 - 7] {
        let contradictory = [&header.to_le_bytes(), &bytes[8..]].concat();
        assert!(matches!(refusal(&contradictory), Reason::Format(_)));
    }
}

/// A file's tensors, by name.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

#[test]
fn contradictory_headers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = saved(folder.path());
    let edit = |from: &str, to: &str| {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header = String::from_utf8(bytes[8..8 + length].to_vec()).unwrap();
        assert!(header.contains(from), "{header}");
        let header = header.replacen(from, to, 1);
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[8 + length..]].concat()
    };
    for (from, to) in [
        ("\"shape\":[8]", "\"shape\":[9]"),
        ("\"shape\":[8]", "\"shape\":[18446744073709551615,8]"),
        ("\"data_offsets\":[0,", "\"data_offsets\":[4,"),
        ("\"data_offsets\":[0,", "\"data_offsets\":[18446744073709551615,"),
        ("\"dtype\":\"F32\"", "\"dtype\":\"F64\""),
        ("\"dtype\":\"F32\"", "\"dtype\":\"F128\""),
    ] {
        assert!(matches!(refusal(&edit(from, to)), Reason::Format(_)), "{from} → {to}");
    }
}

#[test]
fn tensors_must_match_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = saved(folder.path());
    let refused = |change: fn(&mut Tensors), word: &str| {
        let reason = refusal(&rebuilt(&bytes, |tensors, _| change(tensors)));
        assert!(matches!(reason, Reason::Tensors(_)) && reason.to_string().contains(word), "{reason}");
    };
    refused(|t| drop(t.remove("norm.beta")), "norm.beta is missing");
    refused(|t| drop(t.insert("extra".into(), (Dtype::F32, vec![1], vec![0; 4]))), "extra");
    refused(|t| t.get_mut("norm.beta").unwrap().1 = vec![2, 4], "norm.beta");
    refused(|t| t.get_mut("norm.beta").unwrap().0 = Dtype::I32, "norm.beta");
    let reason = refusal(&rebuilt(&bytes, |tensors, _| {
        tensors.get_mut("norm.beta").unwrap().2[..4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    }));
    assert!(matches!(&reason, Reason::NotFinite(name) if name == "norm.beta"), "{reason}");
}

#[test]
fn descriptions_must_be_known_and_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = saved(folder.path());
    let described = |from: &str, to: &str| {
        refusal(&rebuilt(&bytes, |_, metadata| {
            let text = metadata.get_mut(METADATA_KEY).unwrap();
            assert!(text.contains(from), "{text}");
            *text = text.replacen(from, to, 1);
        }))
    };
    assert!(matches!(described("\"format\":2", "\"format\":3"), Reason::LaterFormat { format: 3 }));
    assert!(matches!(described("\"format\":2", "\"format\":0"), Reason::Description(_)));
    for (key, twice) in [
        ("\"format\":2", "\"format\":2,\"format\":2"),
        ("\"n_fft\":256", "\"n_fft\":256,\"n_fft\":256"),
        ("\"dims\":[8,8]", "\"dims\":[8,8],\"dims\":[8,8]"),
    ] {
        let reason = described(key, twice).to_string();
        assert!(reason.contains("duplicate field"), "{reason}");
    }
    let reason = described("\"n_fft\":256", "\"n_fft\":\"x\"").to_string();
    assert!(reason.contains("expected an integer"), "{reason}");
    assert!(matches!(described("\"hop_length\"", "\"hop\""), Reason::Description(_)));
    assert!(matches!(described("{", "["), Reason::Description(_)));
    assert!(matches!(described("\"n_fft\":256", "\"n_fft\":257"), Reason::Config(_)));
    // Every field is within its bounds, but the network is too large. It is refused before anything is allocated.
    assert!(matches!(
        described("\"dims\":[8,8],\"depths\":[1,1]", "\"dims\":[1024,1024],\"depths\":[32,32]"),
        Reason::Config(_)
    ));
    // Within all bounds, but the file holds another network.
    assert!(matches!(described("\"dims\":[8,8]", "\"dims\":[8,256]"), Reason::Tensors(_)));
    assert!(matches!(refusal(&rebuilt(&bytes, |_, metadata| metadata.clear())), Reason::Description(_)));
}

/// A header with one wrong byte gives an error or a network, never a panic.
#[test]
fn damaged_headers_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = saved(folder.path());
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut state = 12345u64;
    for _ in 0..1500 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut damaged = bytes.clone();
        damaged[(state >> 33) as usize % (8 + header)] ^= (state >> 20) as u8 | 1;
        let _ = weights::from_bytes(&damaged, &Device::flex());
    }
}
