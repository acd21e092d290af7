//! Files that ffmpeg writes are read to the same samples that ffmpeg reads from them.
//!
//! Without ffmpeg these tests are skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use unbraid_audio::{AudioReader, ReadOptions, Stereo, read_segment};

use crate::common::*;

/// Two seconds that differ between the channels: tones that glide, over noise.
const SIGNAL: &str = "aevalsrc=0.3*sin(2*PI*(200+300*t)*t)+0.1*sin(2*PI*2500*t)+0.02*(random(0)-0.5)\
                      |0.3*sin(2*PI*(900-200*t)*t)+0.02*(random(1)-0.5):d=2:s=";

fn run(arguments: &[&str]) -> Option<Vec<u8>> {
    let output =
        Command::new("ffmpeg").args(["-hide_banner", "-loglevel", "error", "-y"]).args(arguments).output();
    match output {
        Ok(output) if output.status.success() => Some(output.stdout),
        Ok(output) => {
            println!("skipped: ffmpeg {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            None
        }
        Err(error) => {
            println!("skipped: ffmpeg does not start: {error}");
            None
        }
    }
}

/// Makes a file of two seconds with ffmpeg. `None` if ffmpeg or the encoder is missing.
fn make(folder: &TempDir, name: &str, rate: u32, arguments: &str) -> Option<PathBuf> {
    let path = folder.path().join(name);
    let signal = format!("{SIGNAL}{rate}");
    let mut all = vec!["-f", "lavfi", "-i", &signal];
    all.extend(arguments.split_whitespace());
    all.push(path.to_str().unwrap());
    run(&all).map(|_| path)
}

/// What ffmpeg decodes. Mono is on both channels.
fn reference(path: &Path, decoder: &[&str]) -> Option<Stereo> {
    let mut arguments = decoder.to_vec();
    arguments.extend(["-i", path.to_str().unwrap(), "-map", "0:a:0", "-f", "f32le", "-ac", "2"]);
    // The default mixes mono to both channels at −3 dB.
    arguments.extend(["-af", "pan=stereo|c0=c0|c1=c1", "-"]);
    let mono = [decoder, &["-i", path.to_str().unwrap(), "-map", "0:a:0", "-f", "f32le", "-"]].concat();
    let mono = run(&mono)?;
    let bytes = match AudioReader::open(path, 48_000, ReadOptions::ANY_LENGTH) {
        Ok(reader) if reader.source().channels == 1 => {
            mono.chunks_exact(4).flat_map(|s| [s, s].concat()).collect()
        }
        _ => {
            arguments.retain(|argument| !argument.starts_with("pan=") && *argument != "-af");
            run(&arguments)?
        }
    };
    let sample = |at: &[u8]| f32::from_le_bytes(at.try_into().unwrap());
    Some([0, 4].map(|from| bytes.chunks_exact(8).map(|frame| sample(&frame[from..from + 4])).collect()))
}

/// Compares the whole file and some segments with ffmpeg. Returns the SNR in dB.
///
/// `frames`: the expected length. 0: that of ffmpeg. `early`: frames at the beginning that only ffmpeg outputs.
fn compare(path: &Path, rate: u32, frames: usize, early: usize) -> Option<f64> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let decoder: &[&str] =
        if name.contains("opus") { &["-c:a", "libopus", "-request_sample_fmt", "flt"] } else { &[] };
    let expected = reference(path, decoder)?;
    let got = read_all(path, rate).unwrap();
    let (all, ours) = (expected[0].len(), got[0].len());
    println!("{name}: {ours} frames, ffmpeg has {all}");
    assert_eq!(ours, if frames == 0 { all } else { frames }, "{name}: frames");
    // Ffmpeg ignores the end of an edit list and outputs the padding of the last packet.
    assert!((ours + early..ours + early + 4608).contains(&all), "{name}: ffmpeg has {all} frames");
    let expected = expected.map(|channel| channel[early..early + ours].to_vec());
    let least = (0..2).map(|c| snr(&expected[c], &got[c])).fold(f64::INFINITY, f64::min);
    let info = AudioReader::open(path, rate, ReadOptions::COMPLETE).unwrap();
    println!("{name}: {}, {} frames, {least:.1} dB", info.source().format, got[0].len());
    assert_eq!(info.frames(), Some(got[0].len() as u64), "{name}: the stated length");
    for start in [0, 1, 5_000, got[0].len() / 2, got[0].len() - 700] {
        let segment = read_segment(path, start as u64, 1_000, rate).unwrap();
        let end = got[0].len().min(start + 1_000);
        assert!((0..2).all(|c| segment[c] == got[c][start..end]), "{name} from {start}");
    }
    Some(least)
}

#[test]
fn mp4_files_equal_ffmpegs_decoding() {
    let folder = tempfile::tempdir().unwrap();
    let aac = "-c:a aac -b:a 128k -aac_pns 0";
    let fragments = "-frag_duration 500000 -movflags +frag_keyframe+empty_moov";
    let cases = [
        ("plain.m4a", 44_100, aac.to_owned(), 80.0),
        ("mono.m4a", 22_050, format!("-ac 1 {aac}"), 80.0),
        ("front.m4a", 48_000, format!("{aac} -movflags +faststart"), 80.0),
        ("fragments.m4a", 44_100, format!("{aac} {fragments}"), 80.0),
        ("default_base.mp4", 48_000, format!("{aac} {fragments}+default_base_moof"), 80.0),
        ("dash.mp4", 48_000, format!("{aac} {fragments}+dash+global_sidx"), 80.0),
        ("delayed_moov.mp4", 44_100, format!("{aac} {fragments}+delay_moov"), 80.0),
        ("quicktime.mov", 44_100, aac.to_owned(), 80.0),
        ("opus.mp4", 48_000, "-c:a libopus -b:a 96k".to_owned(), 80.0),
        ("mp3.mp4", 44_100, "-c:a libmp3lame -b:a 128k".to_owned(), 80.0),
        ("alac.m4a", 44_100, "-c:a alac".to_owned(), f64::INFINITY),
        ("alac24.m4a", 96_000, "-c:a alac -sample_fmt s32p".to_owned(), f64::INFINITY),
        ("alac.mov", 44_100, format!("-c:a alac {fragments}"), f64::INFINITY),
        ("flac.mp4", 44_100, "-c:a flac -strict -2".to_owned(), f64::INFINITY),
    ];
    for (name, rate, arguments, least) in cases {
        // Without an edit list, the encoder's delay is part of the song.
        let unstated = arguments.contains("aac")
            && arguments.contains("empty_moov")
            && !arguments.contains("delay_moov");
        // Ffmpeg does not apply the edit list of this file.
        let early = if name == "delayed_moov.mp4" { 1024 } else { 0 };
        let frames = 2 * rate as usize + if unstated { 1024 } else { 0 };
        let Some(path) = make(&folder, name, rate, &arguments) else { continue };
        if let Some(snr) = compare(&path, rate, frames, early) {
            assert!(snr >= least, "{name}: {snr} dB");
        }
    }
}

/// ADTS states no delay: all packets are the song. The other formats state their exact length.
#[test]
fn adts_and_matroska_equal_ffmpegs_decoding() {
    let folder = tempfile::tempdir().unwrap();
    let aac = "-c:a aac -b:a 128k -aac_pns 0";
    let cases = [
        ("stream.aac", 44_100, aac, 88 * 1024, 0, 80.0),
        ("mono.aac", 32_000, "-ac 1 -c:a aac -b:a 64k -aac_pns 0", 64 * 1024, 0, 80.0),
        ("opus.webm", 48_000, "-c:a libopus -b:a 128k", 96_000, 0, 80.0),
        ("vorbis.webm", 44_100, "-c:a libvorbis -q:a 5", 0, 0, 80.0),
        ("flac.mka", 44_100, "-c:a flac", 88_200, 0, f64::INFINITY),
        ("aac.mkv", 44_100, aac, 0, 0, 80.0),
        ("mp3.mka", 44_100, "-c:a libmp3lame -b:a 128k", 0, 0, 80.0),
    ];
    for (name, rate, arguments, frames, early, least) in cases {
        let Some(path) = make(&folder, name, rate, arguments) else { continue };
        if let Some(snr) = compare(&path, rate, frames, early) {
            assert!(snr >= least, "{name}: {snr} dB");
        }
    }
}

#[test]
fn opus_of_every_mode_equals_libopus() {
    let folder = tempfile::tempdir().unwrap();
    for (application, rates) in [("voip", [8, 16, 32]), ("audio", [24, 64, 160]), ("lowdelay", [32, 64, 128])]
    {
        for (duration, channels) in
            [(2.5, 2), (5.0, 1), (10.0, 2), (20.0, 1), (20.0, 2), (40.0, 2), (60.0, 1)]
        {
            for rate in rates {
                let arguments = format!(
                    "-ac {channels} -c:a libopus -b:a {rate}k -frame_duration {duration} -application {application}"
                );
                let name = format!("{application}_{rate}_{duration}_{channels}.opus");
                let Some(path) = make(&folder, &name, 48_000, &arguments) else { continue };
                if let Some(snr) = compare(&path, 48_000, 96_000, 0) {
                    assert!(snr >= 80.0, "{name}: {snr} dB");
                }
            }
        }
    }
}
