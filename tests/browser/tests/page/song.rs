//! Songs for the tests, and their native stems.

use std::f64::consts::TAU;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::world::World;

pub(crate) const RATE: u32 = 44_100;

/// Planar stereo of one stem: the left channel, then the right channel.
pub(crate) type Stem = Vec<f32>;

/// Writes a song of some seconds: a beat, a bass, a chord, a gliding tone and noise, with unequal channels.
///
/// Every stem has content of about the same level, because the rounding of the others would dominate the error of a
/// nearly silent stem.
pub(crate) fn write(path: &Path, seconds: f64) -> Result<()> {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec)?;
    let mut state = 1u32;
    for index in 0..(seconds * f64::from(RATE)) as u32 {
        let time = f64::from(index) / f64::from(RATE);
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = f64::from(state >> 8) / f64::from(1 << 24) - 0.5;
        let beat = (time * 2.0).fract();
        let drum = noise * (-12.0 * beat).exp();
        let bass = (TAU * 55.0 * time).sin();
        let voice = (TAU * (220.0 + 40.0 * (TAU * 0.3 * time).sin()) * time).sin();
        let chord: f64 = [330.0, 415.8, 494.3].iter().map(|hertz| (hertz * time).fract() - 0.5).sum();
        for (bass_gain, voice_gain, chord_gain) in [(0.2, 0.16, 0.14), (0.24, 0.1, 0.18)] {
            let value = drum + bass_gain * bass + voice_gain * voice + chord_gain * chord + 0.02 * noise;
            writer.write_sample((value * 32_767.0).round() as i16)?;
        }
    }
    Ok(writer.finalize()?)
}

/// The page's model.
pub(crate) fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/models/default.safetensors")
}

/// The native program's result for a song.
pub(crate) struct Native {
    pub(crate) stems: Vec<Stem>,
    /// Seconds of audio per second of computation.
    pub(crate) speed: f64,
}

/// Separates a song with the native program on the CPU. Its stems are in the order of `names`.
pub(crate) fn separate_natively(
    world: &World,
    song: &Path,
    model: &Path,
    names: &[String],
) -> Result<Native> {
    let out = world.folder.path().join("native");
    let mut command = Command::new(&world.program);
    command.arg("separate").arg(song).arg("--model").arg(model).arg("--out").arg(&out);
    let output = command.args(["--format", "wav32f", "--device", "cpu", "--force", "--json"]).output()?;
    ensure!(output.status.success(), "the native program: {}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let seconds = |name: &str| report["songs"][0][name].as_f64().with_context(|| format!("no {name}"));
    let folder = out.join(song.file_stem().context("a song with a name")?);
    let stems: Result<_> = names.iter().map(|name| read(&folder.join(name).with_extension("wav"))).collect();
    Ok(Native { stems: stems?, speed: seconds("audio_seconds")? / seconds("wall_seconds")? })
}

/// Reads a stereo wav file.
pub(crate) fn read(path: &Path) -> Result<Stem> {
    decode(&fs::read(path).with_context(|| path.display().to_string())?)
}

/// Decodes the bytes of a stereo wav file.
pub(crate) fn decode(bytes: &[u8]) -> Result<Stem> {
    let mut reader = hound::WavReader::new(bytes)?;
    let spec = reader.spec();
    ensure!(spec.channels == 2 && spec.sample_rate == RATE, "{spec:?}");
    let samples: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().collect::<Result<_, _>>()?,
        hound::SampleFormat::Int => {
            let scale = 2f32.powi(1 - i32::from(spec.bits_per_sample));
            reader
                .samples::<i32>()
                .map(|sample| Ok(sample? as f32 * scale))
                .collect::<Result<_, hound::Error>>()?
        }
    };
    let channel = |channel: usize| samples.iter().skip(channel).step_by(2).copied();
    Ok(channel(0).chain(channel(1)).collect())
}

/// Little-endian 32-bit floats in base64, as the tests' scripts give them.
pub(crate) fn floats(value: &Value) -> Result<Stem> {
    let bytes = STANDARD.decode(value.as_str().context("no text")?)?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// The signal-to-noise ratio of `got` against `expected`, in dB.
///
/// # Errors
/// If the lengths differ, or `expected` is silent.
pub(crate) fn snr_db(expected: &[f32], got: &[f32]) -> Result<f64> {
    ensure!(expected.len() == got.len(), "{} samples, not {}", got.len(), expected.len());
    ensure!(expected.iter().any(|sample| *sample != 0.0), "the stem is silent");
    let wide = |samples: &[f32]| samples.iter().map(|sample| f64::from(*sample)).collect::<Vec<_>>();
    Ok(unbraid_base::snr_db(wide(expected), wide(got)))
}
