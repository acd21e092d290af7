//! Files that PyTorch wrote (`fixtures/make.py`).

use std::path::{Path, PathBuf};

use unbraid_import::{Checkpoint, Dtype, Format, Recognised, Settings};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Whole tensors and views, all types, in both formats.
#[test]
fn tensors_of_pytorch_have_their_values() {
    let all: Vec<f32> = (0_u8..24).map(f32::from).collect();
    let transposed: Vec<f32> = (0..24).map(|n| all[n % 4 * 6 + n / 4]).collect();
    let reversed: Vec<f32> = all.iter().rev().copied().collect();
    for (name, format) in [("values.ckpt", Format::Zip), ("values-legacy.ckpt", Format::Legacy)] {
        let checkpoint = Checkpoint::open(&fixture(name), true).unwrap();
        assert_eq!(checkpoint.format, format);
        assert_eq!(checkpoint.place, ["model_state_dict"]);
        let expected: [(&str, Dtype, &[usize], &[f32]); 12] = [
            ("whole", Dtype::F32, &[4, 6], &all),
            ("transposed", Dtype::F32, &[6, 4], &transposed),
            ("part", Dtype::F32, &[2, 3], &[8.0, 9.0, 10.0, 14.0, 15.0, 16.0]),
            ("reversed", Dtype::F32, &[24], &reversed),
            ("scalar", Dtype::F32, &[], &[7.5]),
            ("empty", Dtype::F32, &[0, 3], &[]),
            ("half", Dtype::F16, &[2], &[0.5, -2.0]),
            ("brain", Dtype::Bf16, &[2], &[0.5, -2.0]),
            ("double", Dtype::F64, &[2], &[0.5, -2.0]),
            ("long", Dtype::I64, &[2], &[1.0, -2.0]),
            ("flag", Dtype::Bool, &[2], &[1.0, 0.0]),
            ("parameter", Dtype::F32, &[1], &[3.0]),
        ];
        assert_eq!(checkpoint.tensors.len(), expected.len());
        for (name, dtype, shape, values) in expected {
            let tensor = &checkpoint.tensors[name];
            assert_eq!((tensor.dtype(), tensor.shape()), (dtype, shape), "{name}");
            assert_eq!(tensor.values().unwrap(), values, "{name}");
        }
        // Only the new format tells where a storage of an unknown type ends.
        let complex = (format == Format::Zip).then_some("torch.ComplexFloatStorage");
        assert_eq!(checkpoint.objects.get("complex").map(String::as_str), complex);
        let others = ["epoch", "loss", "best", "device", "dtype", "size", "arguments", "history"];
        assert_eq!(checkpoint.others[..8], others);
        assert_eq!(checkpoint.others[8..], ["optimizer_state_dict"]);
    }
}

#[test]
fn a_network_of_pytorch_is_recognised() {
    let settings = Settings::load(&fixture("network.yaml")).unwrap();
    let checkpoint = Checkpoint::open(&fixture("network.ckpt"), true).unwrap();
    let recognised = Recognised::new(checkpoint, None, &settings, "network", true).unwrap();
    assert_eq!(recognised.config["family"], "bs_roformer");
    assert_eq!(recognised.config["bands"], serde_json::json!([17, 48, 64]));
    assert_eq!(recognised.config["dim"], 4);
    assert_eq!(recognised.stems, ["vocals", "other"]);
    assert_eq!((recognised.segment, recognised.overlap), (Some(2048), Some(0.5)));
    assert_eq!(recognised.types().keys().copied().collect::<Vec<_>>(), ["f16"]);
    assert!(recognised.notes.is_empty(), "{:?}", recognised.notes);
    for ours in recognised.parameters().keys() {
        recognised.values(ours, true).unwrap();
    }
}
