//! Lossy files have exactly the song's length, without a shift, for our reader and for ffmpeg.

use std::path::Path;
use std::process::Command;

use unbraid_audio::{AudioWriter, Format, Stereo};

use crate::common::*;

/// ffmpeg's decoding at the file's own rate. `None` if ffmpeg is not installed.
fn ffmpeg(path: &Path) -> Option<Stereo> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(path).args(["-f", "f32le", "-ac", "2", "-"]);
    let Ok(output) = command.output() else {
        eprintln!("skipped: ffmpeg is not installed");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sample = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let frames = output.stdout.chunks_exact(8);
    Some([0, 4].map(|from| frames.clone().map(|frame| sample(&frame[from..])).collect()))
}

fn write(path: &Path, format: Format, rate: u32, song: &Stereo) {
    let mut writer = AudioWriter::create(path, format, rate).unwrap();
    let frames = song[0].len();
    for start in (0..frames).step_by(10_000) {
        let block = song.each_ref().map(|channel| channel[start..frames.min(start + 10_000)].to_vec());
        writer.write(&block).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), 0);
}

/// Lengths around a frame of mp3 and a packet of Opus, an empty song and a longer one.
const LENGTHS: [usize; 9] = [0, 1, 100, 960, 1_151, 1_152, 1_153, 44_100, 150_001];

#[test]
fn mp3_keeps_the_length_and_the_sound() {
    let folder = tempfile::tempdir().unwrap();
    for rate in [32_000, 44_100, 48_000] {
        for frames in LENGTHS {
            let path = folder.path().join(format!("{rate}-{frames}.mp3"));
            let song = sweeps(rate, frames);
            write(&path, Format::Mp3, rate, &song);
            let decodings = [(frames > 0).then(|| read_all(&path, rate).unwrap()), ffmpeg(&path)];
            for decoded in decodings.into_iter().flatten() {
                assert_eq!(decoded[0].len(), frames, "{rate} Hz");
                for (decoded, song) in decoded.iter().zip(&song).filter(|_| frames >= 44_100) {
                    assert!(snr(song, decoded) > 40.0, "{frames} at {rate} Hz: {}", snr(song, decoded));
                }
            }
        }
    }
}

#[test]
fn silence_takes_less_of_an_mp3() {
    let folder = tempfile::tempdir().unwrap();
    let size = |name: &str, song: &Stereo| {
        let path = folder.path().join(name);
        write(&path, Format::Mp3, 44_100, song);
        std::fs::metadata(&path).unwrap().len()
    };
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let noise = [0, 1].map(|_| (0..100_000).map(|_| noise()).collect());
    let silence = [vec![0.0; 100_000], vec![0.0; 100_000]];
    assert!(5 * size("silence", &silence) < size("noise", &noise));
}

#[test]
fn opus_keeps_the_length_and_the_sound() {
    let folder = tempfile::tempdir().unwrap();
    for rate in [44_100, 48_000, 96_000] {
        for frames in LENGTHS {
            let path = folder.path().join(format!("{rate}-{frames}.opus"));
            let song = sweeps(rate, frames);
            write(&path, Format::Opus, rate, &song);
            let Some(decoded) = ffmpeg(&path) else { return };
            let expected = (frames as f64 * 48_000.0 / f64::from(rate)).round() as usize;
            assert_eq!(decoded[0].len(), expected, "{frames} frames at {rate} Hz");
            // The longer songs reach frequencies above 20 kHz, which Opus does not hold.
            let song = sweeps(48_000, expected);
            for (decoded, song) in decoded.iter().zip(&song).filter(|_| frames == 44_100) {
                assert!(snr(song, decoded) > 30.0, "{frames} at {rate} Hz: {}", snr(song, decoded));
            }
        }
    }
}
