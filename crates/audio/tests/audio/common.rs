//! Signals, files and measures that the tests share.

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};

use unbraid_audio::{AudioError, AudioReader, Stereo};

/// The signal of the fixtures, a rising and a falling sweep: it correlates with itself at one shift only.
pub(crate) fn sweeps(rate: u32, frames: usize) -> Stereo {
    let at = |f: fn(f64) -> f64| (0..frames).map(|n| f(n as f64 / f64::from(rate)) as f32).collect();
    [
        at(|t| 0.5 * (TAU * (200.0 * t + 3000.0 * t * t)).sin()),
        at(|t| 0.4 * (TAU * (3000.0 * t - 2000.0 * t * t)).sin()),
    ]
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A whole file, in one piece.
pub(crate) fn read_all(path: &Path, rate: u32) -> Result<Stereo, AudioError> {
    AudioReader::open(path, rate)?.read(usize::MAX)
}

/// The same from bytes.
pub(crate) fn read_bytes(bytes: &[u8], rate: u32) -> Result<Stereo, AudioError> {
    let source = Box::new(std::io::Cursor::new(bytes.to_vec()));
    AudioReader::from_source(source, None, rate)?.read(usize::MAX)
}

/// The shift of `b` against `a`, within ±1500 samples, at which the two correlate most.
pub(crate) fn lag(a: &[f32], b: &[f32]) -> i64 {
    let correlation = |lag: i64| {
        let (a, b) = if lag < 0 { (&a[lag.unsigned_abs() as usize..], b) } else { (a, &b[lag as usize..]) };
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
    };
    (-1500..=1500).max_by(|&a, &b| correlation(a).total_cmp(&correlation(b))).unwrap()
}

/// Signal over error in dB.
pub(crate) fn snr(reference: &[f32], estimate: &[f32]) -> f64 {
    assert_eq!(reference.len(), estimate.len());
    let energy = |x: f64| x * x;
    let signal: f64 = reference.iter().map(|&r| energy(f64::from(r))).sum();
    let error: f64 = reference.iter().zip(estimate).map(|(&r, &e)| energy(f64::from(r) - f64::from(e))).sum();
    10.0 * (signal / error).log10()
}

/// A wav file from its parts; `tag` 1 is PCM, 3 is float.
pub(crate) fn wav(tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    wav_declaring(tag, channels, rate, bits, data.len() as u32, data)
}

/// A wav file whose header promises `declared` bytes of audio.
pub(crate) fn wav_declaring(
    tag: u16,
    channels: u16,
    rate: u32,
    bits: u16,
    declared: u32,
    data: &[u8],
) -> Vec<u8> {
    let frame = channels.wrapping_mul(bits / 8);
    let mut bytes = Vec::from(*b"RIFF");
    bytes.extend(declared.wrapping_add(36).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0");
    bytes.extend(tag.to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend(rate.wrapping_mul(u32::from(frame)).to_le_bytes());
    bytes.extend(frame.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(declared.to_le_bytes());
    bytes.extend(data);
    bytes
}

/// Interleaved 32-bit floats as a wav's data.
pub(crate) fn float_data(block: &Stereo) -> Vec<u8> {
    block[0].iter().zip(&block[1]).flat_map(|(l, r)| [l.to_le_bytes(), r.to_le_bytes()].concat()).collect()
}
