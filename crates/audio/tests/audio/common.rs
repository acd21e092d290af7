//! Signals, files and measurements that the tests share.

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};

use unbraid_audio::{AudioError, AudioReader, ReadOptions, Stereo};

/// The signal of the fixtures: a rising and a falling sweep. Its autocorrelation has a single peak.
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

/// Reads a whole file at once.
pub(crate) fn read_all(path: &Path, rate: u32) -> Result<Stereo, AudioError> {
    AudioReader::open(path, rate, ReadOptions::COMPLETE)?.read(usize::MAX)
}

/// Reads all of a file in memory.
pub(crate) fn read_bytes(bytes: &[u8], rate: u32) -> Result<Stereo, AudioError> {
    let source = Box::new(std::io::Cursor::new(bytes.to_vec()));
    AudioReader::from_source(source, None, rate, ReadOptions::COMPLETE)?.read(usize::MAX)
}

/// The shift of `b` against `a`, within ±1500 samples, with the largest correlation.
pub(crate) fn lag(a: &[f32], b: &[f32]) -> i64 {
    let correlation = |lag: i64| {
        let (a, b) = if lag < 0 { (&a[lag.unsigned_abs() as usize..], b) } else { (a, &b[lag as usize..]) };
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
    };
    (-1500..=1500).max_by(|&a, &b| correlation(a).total_cmp(&correlation(b))).unwrap()
}

/// The signal-to-noise ratio of `estimate` in dB.
pub(crate) fn snr(reference: &[f32], estimate: &[f32]) -> f64 {
    let wide = |samples: &[f32]| samples.iter().copied().map(f64::from).collect::<Vec<f64>>();
    unbraid_base::snr_db(wide(reference), wide(estimate))
}

/// A wav file from its parts. `tag` is 1 for PCM and 3 for float.
pub(crate) fn wav(tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    wav_declaring(tag, channels, rate, bits, data.len() as u32, data)
}

/// A wav file whose header announces `declared` bytes of audio.
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

/// The data of a wav with interleaved 32-bit floats.
pub(crate) fn float_data(block: &Stereo) -> Vec<u8> {
    block[0].iter().zip(&block[1]).flat_map(|(l, r)| [l.to_le_bytes(), r.to_le_bytes()].concat()).collect()
}
