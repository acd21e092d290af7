//! Encodes and decodes with ffmpeg, where it is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use unbraid_audio::Stereo;

/// Encodes `seconds` of tones and noise with the arguments for the output. `None`, with a message, without ffmpeg or
/// without the encoder.
pub(crate) fn encode(folder: &Path, name: &str, seconds: f64, arguments: &str) -> Option<PathBuf> {
    let path = folder.join(name);
    let source = format!(
        "aevalsrc=0.3*sin(2*PI*(200*t+90*t*t))+0.1*(random(0)-0.5)|0.3*sin(2*PI*659*t)+0.1*(random(1)-0.5)\
         :s=44100:d={seconds}"
    );
    let run = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", &source])
        .args(arguments.split_whitespace())
        .arg(&path)
        .output();
    match run {
        Ok(output) if output.status.success() => Some(path),
        Ok(output) => {
            println!("skipped {name}: {}", String::from_utf8_lossy(&output.stderr).trim());
            None
        }
        Err(error) => {
            println!("skipped {name}: ffmpeg: {error}");
            None
        }
    }
}

/// What ffmpeg decodes, at the file's own rate. Mono is copied to both channels.
pub(crate) fn decode(path: &Path, channels: usize) -> Stereo {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-f", "f32le", "-"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let samples: Vec<f32> =
        output.stdout.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    let channel = |index: usize| samples.iter().skip(index).step_by(channels).copied().collect();
    [channel(0), channel(channels - 1)]
}
