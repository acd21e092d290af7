//! Checks what the program writes: formats, levels, tags, silence, and its own description.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use unbraid_audio::{AudioReader, AudioWriter, Format, ReadOptions, Stereo, Tags, WriteOptions};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unbraid"));
    command.args(arguments);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Separates `song` into `folder/NAME/song` with the demonstration model.
fn separate(folder: &Path, name: &str, flags: &str) -> Output {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/models/default.safetensors");
    let mut command =
        program(&["separate", "song.wav", "--json", "--device", "cpu", "--out", name, "--model"]);
    command.arg(model).args(flags.split_whitespace()).current_dir(folder).output().unwrap()
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["songs"][0].clone()
}

/// The stems of a report, in its order.
fn stems(folder: &Path, report: &Value) -> Vec<Stereo> {
    let paths = report["stems"].as_array().unwrap().iter().map(|path| folder.join(path.as_str().unwrap()));
    paths.map(|path| read(&path)).collect()
}

fn read(path: &Path) -> Stereo {
    AudioReader::open(path, 44_100, ReadOptions::COMPLETE).unwrap().read(usize::MAX).unwrap()
}

/// Beats of a decaying tone.
fn wave(frames: usize, gain: f32) -> Vec<f32> {
    let sample = |n: usize| {
        let beat = (n % 11_025) as f32;
        gain * (-beat / 3000.0).exp() * (n as f32 * 0.03).sin()
    };
    (0..frames).map(sample).collect()
}

fn song(folder: &Path, samples: &Stereo) -> PathBuf {
    let path = folder.join("song.wav");
    let mut writer = AudioWriter::create(&path, Format::Wav32f, 44_100).unwrap();
    writer.write(samples).unwrap();
    writer.finish().unwrap();
    path
}

#[test]
fn stems_are_clipped_rescaled_or_kept() {
    let folder = tempfile::tempdir().unwrap();
    song(folder.path(), &[wave(88_200, 4.0), wave(88_200, 3.0)]);
    let kept = report(&separate(folder.path(), "kept", "--format wav32f"));
    assert!(kept.get("gain_db").is_none());
    let originals = stems(folder.path(), &kept);
    let peak = originals.iter().flatten().flatten().fold(0.0f32, |peak, x| peak.max(x.abs()));
    assert!(peak > 1.5, "the song is loud: {peak}");

    let rescaled = report(&separate(folder.path(), "rescaled", "--format flac --clip rescale"));
    let gain = rescaled["gain_db"].as_f64().unwrap();
    assert!((gain + 20.0 * f64::from(peak).log10()).abs() < 1e-3, "{gain} dB for a peak of {peak}");
    assert_eq!(rescaled["clipped"], serde_json::json!([0, 0, 0, 0]));
    for (stem, original) in stems(folder.path(), &rescaled).iter().zip(&originals) {
        for (x, y) in stem.iter().flatten().zip(original.iter().flatten()) {
            assert!((x - y / peak).abs() < 3e-7, "every stem has the same factor");
        }
    }

    for (name, flags) in [("flac16", "--format flac16"), ("floats", "--format wav32f --clip clip")] {
        let clipped = report(&separate(folder.path(), name, flags));
        let counts = clipped["clipped"].as_array().unwrap();
        assert!(counts.iter().any(|count| count.as_u64().unwrap() > 0), "{flags}");
        let stems = stems(folder.path(), &clipped);
        assert!(stems.iter().flatten().flatten().all(|x| x.abs() <= 1.0), "{flags}");
    }

    let refused = separate(folder.path(), "refused", "--clip none");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("wav16 cannot hold samples beyond full scale"));
    assert!(!folder.path().join("refused").exists());
    let hidden = std::fs::read_dir(folder.path().join("rescaled")).unwrap().count();
    assert_eq!(hidden, 1, "only the song's folder is left");
}

#[test]
fn a_silent_channel_has_silent_stems() {
    let folder = tempfile::tempdir().unwrap();
    song(folder.path(), &[wave(88_200, 0.5), vec![0.0; 88_200]]);
    let stems_of = |name| stems(folder.path(), &report(&separate(folder.path(), name, "--format wav32f")));
    for stem in stems_of("left") {
        assert!(stem[0].iter().any(|&x| x != 0.0));
        assert_eq!(stem[1], vec![0.0; 88_200]);
    }
    song(folder.path(), &[vec![0.0; 30_000], vec![0.0; 30_000]]);
    for stem in stems_of("silent") {
        assert_eq!(stem, [vec![0.0; 30_000], vec![0.0; 30_000]]);
    }
}

#[test]
fn stems_have_the_songs_tags_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = song(folder.path(), &[wave(60_000, 0.5), wave(60_000, 0.4)]);
    let bytes = std::fs::read(&path).unwrap();
    // An ID3v2.3 tag with a title.
    let frame = [b"TIT2\0\0\0\x08\0\0\0".as_slice(), b"Polka 1"].concat();
    let tag = [b"ID3\x03\0\0\0\0\0\x12".as_slice(), &frame].concat();
    let chunk = [b"id3 ", &(tag.len() as u32).to_le_bytes()[..], &tag].concat();
    let mut tagged = [&bytes[..], &chunk].concat();
    let size = (tagged.len() - 8) as u32;
    tagged[4..8].copy_from_slice(&size.to_le_bytes());
    std::fs::write(&path, tagged).unwrap();

    for (name, format) in Format::ALL {
        let report = report(&separate(folder.path(), name, &format!("--format {name}")));
        let vocals = folder.path().join(name).join("song/vocals").with_extension(format.extension());
        assert!(report["stems"].to_string().contains(&format!("vocals.{}", format.extension())), "{report}");
        // The same tags, written by themselves, give the same bytes.
        let expected = folder.path().join("expected");
        let tags = Tags::read(&path).0.for_stem("vocals");
        assert!(!tags.is_empty());
        let mut writer =
            AudioWriter::with_options(&expected, &WriteOptions { tags, ..WriteOptions::new(format, 44_100) })
                .unwrap();
        writer.write(&Stereo::default()).unwrap();
        writer.finish().unwrap();
        let title = b"Polka 1 (vocals)";
        for file in [&vocals, &expected] {
            let bytes = std::fs::read(file).unwrap();
            assert!(bytes.windows(title.len()).any(|part| part == title), "{name}: {}", file.display());
        }
        let plain = separate(folder.path(), &format!("plain-{name}"), &format!("--no-tags --format {name}"));
        assert!(plain.status.success(), "{}", text(&plain.stderr));
        let plain =
            folder.path().join(format!("plain-{name}/song/vocals")).with_extension(format.extension());
        let bytes = std::fs::read(plain).unwrap();
        assert!(!bytes.windows(5).any(|part| part == b"Polka"), "{name}");
    }
}

#[test]
fn the_version_names_the_commit() {
    let output = program(&["--version"]).output().unwrap();
    let version = text(&output.stdout);
    let own = env!("CARGO_PKG_VERSION");
    let git =
        Command::new("git").args(["rev-parse", "HEAD"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    match git.ok().filter(|git| git.status.success()) {
        Some(commit) => {
            let short = &text(&commit.stdout)[..8];
            assert!(version.starts_with(&format!("unbraid {own} ({short}")), "{version}");
        }
        None => assert_eq!(version.trim(), format!("unbraid {own}")),
    }
}

#[test]
fn completions_and_manual_pages_describe_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = program(&["completions", shell]).output().unwrap();
        let script = text(&output.stdout);
        for word in ["separate", "two-stems", "completions"] {
            assert!(output.status.success() && script.contains(word), "{shell}: {word}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("share/man1");
    let output = program(&["man"]).arg(&pages).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    for page in ["unbraid.1", "unbraid-separate.1", "unbraid-train.1", "unbraid-data-synth.1"] {
        let page = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(page.contains(".TH") && page.contains("SYNOPSIS"), "{page}");
    }
    let separate = std::fs::read_to_string(pages.join("unbraid-separate.1")).unwrap();
    assert!(separate.contains("two\\-stems"));
    let printed = program(&["man"]).output().unwrap();
    assert_eq!(printed.stdout, std::fs::read(pages.join("unbraid.1")).unwrap());
}

#[test]
fn the_doctor_reports_devices_and_findings() {
    let output = program(&["doctor", "--json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["devices"].as_array().unwrap().last().unwrap()["device"], "cpu");
    assert!(report["findings"].is_array());
}
