//! `unbraid import`: a checkpoint of PyTorch becomes a weights file that separates as PyTorch does.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Output;

use common::{program, read, stderr_text, temporary, tree};
use unbraid_audio::{AudioWriter, Format, Stereo};
use unbraid_base::snr_db;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../import/tests/fixtures").join(name)
}

/// `unbraid import` of the checkpoint of a small BS-RoFormer.
fn import(folder: &Path, flags: &str) -> Output {
    let mut command = program(folder, "import");
    command.arg(fixture("network.ckpt")).arg("--config").arg(fixture("network.yaml"));
    command.args(flags.split_whitespace()).output().unwrap()
}

fn stdout_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The noise of `make.py`.
fn noise() -> Stereo {
    let sample = |n: usize, side: usize| ((n * 7919 + n * n * (31 + side)) % 2001) as f32 - 1000.0;
    [0, 1].map(|side| (0..2048).map(|n| sample(n, side) / 4000.0).collect())
}

#[test]
fn an_imported_network_separates_as_in_pytorch() {
    let (_guard, folder) = temporary();
    let output = import(&folder, "--out model.safetensors");
    assert!(output.status.success(), "{}", stderr_text(&output));
    let text = stdout_text(&output);
    for words in
        ["BS-RoFormer", "3 bands", "vocals, other", "8000 Hz", "0.26 s, overlap 50 %", "licence:     unknown"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let mut song = AudioWriter::create(&folder.join("noise.wav"), Format::Wav32f, 8000).unwrap();
    song.write(&noise()).unwrap();
    song.finish().unwrap();
    let separated =
        program(&folder, "separate noise.wav --model model.safetensors --format wav32f --device cpu");
    let output = { separated }.output().unwrap();
    assert!(output.status.success(), "{}", stderr_text(&output));

    let expected = std::fs::read(fixture("network.f32")).unwrap();
    let expected =
        expected.chunks_exact(4).map(|bytes| f64::from(f32::from_le_bytes(bytes.try_into().unwrap())));
    let expected: Vec<f64> = expected.collect();
    for (stem, expected) in ["vocals", "other"].iter().zip(expected.chunks_exact(4096)) {
        let (stereo, rate) = read(&folder.join(format!("separated/noise/{stem}.wav")));
        assert_eq!(rate, 8000);
        let found = stereo.iter().flatten().map(|sample| f64::from(*sample));
        let snr = snr_db(expected.iter().copied(), found);
        assert!(snr > 90.0, "{stem}: {snr:.1} dB");
    }
}

#[test]
fn precision_halves_the_file_and_an_existing_file_is_kept() {
    let (_guard, folder) = temporary();
    let bytes = |name: &str| std::fs::metadata(folder.join(name)).unwrap().len();
    assert!(import(&folder, "--out whole.safetensors").status.success());
    assert!(import(&folder, "--out half.safetensors --precision f16").status.success());
    let (whole, half) = (bytes("whole.safetensors"), bytes("half.safetensors"));
    assert!(half < whole && whole < 2 * half, "{half} and {whole} bytes");
    let refused = import(&folder, "--out whole.safetensors --precision f16");
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr_text(&refused).contains("--force"), "{}", stderr_text(&refused));
    assert_eq!(bytes("whole.safetensors"), whole);
    assert!(import(&folder, "--out whole.safetensors --precision f16 --force").status.success());
    assert_eq!(bytes("whole.safetensors"), half);
}

#[test]
fn a_list_and_a_dry_run_write_nothing() {
    let (_guard, folder) = temporary();
    let output = import(&folder, "--dry-run");
    assert!(output.status.success(), "{}", stderr_text(&output));
    assert!(stdout_text(&output).contains("nothing is written"));
    let output = import(&folder, "--list");
    assert!(output.status.success(), "{}", stderr_text(&output));
    assert!(
        stdout_text(&output).contains("f16   [4]              final_norm.gamma"),
        "{}",
        stdout_text(&output)
    );
    assert_eq!(tree(&folder), Vec::<String>::new());
}

#[test]
fn what_does_not_fit_is_named_with_advice_and_nothing_is_written() {
    let (_guard, folder) = temporary();
    let yaml = std::fs::read_to_string(fixture("network.yaml")).unwrap();
    std::fs::write(folder.join("other.yaml"), yaml.replace("depth: 2\n  stereo", "depth: 9\n  stereo"))
        .unwrap();
    let whole = std::fs::read(fixture("network.ckpt")).unwrap();
    std::fs::write(folder.join("half.ckpt"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(folder.join("page.ckpt"), "<html>404</html>").unwrap();
    // A bit of the last tensor's values.
    let mut damaged = whole.clone();
    let last = damaged.windows(4).rposition(|window| window == b"PK\x03\x04").unwrap();
    damaged[last - 5000] ^= 0x10;
    std::fs::write(folder.join("damaged.ckpt"), damaged).unwrap();
    let before = tree(&folder);
    let config = fixture("network.yaml").display().to_string();
    let checkpoint = fixture("network.ckpt").display().to_string();
    for (checkpoint, config, words) in [
        (checkpoint.as_str(), "other.yaml", "`model.depth` is 9, the tensors show 2"),
        ("half.ckpt", config.as_str(), "incomplete download"),
        ("page.ckpt", config.as_str(), "web page"),
        ("damaged.ckpt", config.as_str(), "damaged"),
        ("missing.ckpt", config.as_str(), "missing.ckpt"),
    ] {
        let arguments = format!("import {checkpoint} --config {config} --out model.safetensors");
        let output = program(&folder, &arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{checkpoint}");
        let text = stderr_text(&output);
        assert!(text.contains(words), "{checkpoint}: {text}");
        assert!(checkpoint == "missing.ckpt" || text.contains("help: "), "{text}");
        assert_eq!(tree(&folder), before, "{checkpoint}");
    }
}
