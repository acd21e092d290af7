//! A written file holds the given samples, or there is no file.

use std::path::Path;

use unbraid_audio::{AudioWriter, Format, Problem, Spool, Stereo, WriteOptions};

use crate::common::*;

/// The formats that lose nothing but rounding.
fn lossless() -> impl Iterator<Item = (&'static str, Format)> {
    Format::ALL.into_iter().filter(|(_, format)| !matches!(format, Format::Mp3 | Format::Opus))
}

fn write(path: &Path, format: Format, rate: u32, blocks: &[Stereo]) -> u64 {
    let mut writer = AudioWriter::create(path, format, rate).unwrap();
    for block in blocks {
        writer.write(block).unwrap();
    }
    writer.finish().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn every_format_preserves_the_samples() {
    let folder = tempfile::tempdir().unwrap();
    // Lengths below, at and above the block of a flac, and lengths shorter than its predictors.
    for frames in [1, 2, 31, 33, 4_095, 4_096, 4_097, 20_000] {
        let signal = sweeps(44_100, frames);
        for (name, format) in lossless() {
            let path = folder.path().join(name).with_extension(format.extension());
            let cut = frames / 3;
            let blocks = [
                signal.each_ref().map(|channel| channel[..cut].to_vec()),
                Stereo::default(),
                signal.each_ref().map(|channel| channel[cut..].to_vec()),
            ];
            assert_eq!(write(&path, format, 44_100, &blocks), 0, "nothing clips");
            if format.extension() == "flac" {
                // The header has a checksum, so reading verifies the samples.
                assert_ne!(std::fs::read(&path).unwrap()[26..42], [0; 16]);
            }
            let got = read_all(&path, 44_100).unwrap();
            let step = match format {
                Format::Wav16 | Format::Flac16 => 1.0 / 32_768.0,
                Format::Wav24 | Format::Flac => 1.0 / 8_388_608.0,
                _ => 0.0,
            };
            for (got, signal) in got.iter().zip(&signal) {
                assert_eq!(got.len(), frames, "{name}");
                let worst = got.iter().zip(signal).map(|(g, s)| (g - s).abs()).fold(0.0, f32::max);
                assert!(worst <= step / 2.0, "{name}, {frames} frames: off by {worst}");
            }
        }
    }
}

#[test]
fn hound_reads_the_written_wav() {
    let folder = tempfile::tempdir().unwrap();
    let signal = [vec![0.5, -1.0, 0.25], vec![-0.5, 0.125, 0.75]];
    for (format, bits, scale) in [(Format::Wav16, 16, 32_768.0), (Format::Wav24, 24, 8_388_608.0)] {
        let path = folder.path().join("a.wav");
        write(&path, format, 48_000, std::slice::from_ref(&signal));
        let mut reader = hound::WavReader::open(&path).unwrap();
        let spec = reader.spec();
        assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (2, 48_000, bits));
        let samples: Vec<f32> =
            reader.samples::<i32>().map(|sample| sample.unwrap() as f32 / scale).collect();
        assert_eq!(samples, [0.5, -0.5, -1.0, 0.125, 0.25, 0.75]);
    }
}

#[test]
fn integers_clip_at_full_scale_and_clipping_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let loud = [vec![1.0, 1.5, -1.0, -7.0], vec![0.0, 0.5, 1.25, -0.5]];
    for (name, format) in lossless() {
        let path = folder.path().join("loud").with_extension(format.extension());
        let clipped = write(&path, format, 44_100, std::slice::from_ref(&loud));
        let got = read_all(&path, 44_100).unwrap();
        if format == Format::Wav32f {
            assert_eq!((clipped, got), (0, loud.clone()));
        } else {
            assert_eq!(clipped, 3, "{name}");
            assert!(got.iter().flatten().all(|sample| sample.abs() <= 1.0), "{name} does not wrap around");
            assert!(got[0][1] > 0.9999 && got[0][3] == -1.0, "{name}");
        }
    }
}

#[test]
fn floats_clip_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("loud.wav");
    let options = WriteOptions { clip: true, ..WriteOptions::new(Format::Wav32f, 44_100) };
    let mut writer = AudioWriter::with_options(&path, &options).unwrap();
    writer.write(&[vec![1.5, -0.5], vec![-2.0, 1.0]]).unwrap();
    assert_eq!(writer.finish().unwrap(), 2);
    assert_eq!(read_all(&path, 44_100).unwrap(), [vec![1.0, -0.5], vec![-1.0, 1.0]]);
}

/// The loudest sample of several files becomes full scale, without a clipped sample.
#[test]
fn spooled_samples_are_written_with_a_divisor() {
    let folder = tempfile::tempdir().unwrap();
    let song = sweeps(44_100, 40_000).map(|channel| channel.iter().map(|x| x * 3.37).collect::<Vec<_>>());
    for (name, format) in lossless() {
        let path = folder.path().join(name).with_extension(format.extension());
        let mut spool = Spool::create(folder.path()).unwrap();
        for start in (0..40_000).step_by(7_000) {
            let block = song.each_ref().map(|channel| channel[start..40_000.min(start + 7_000)].to_vec());
            spool.write(&block).unwrap();
        }
        let peak = spool.peak();
        assert_eq!(peak, song.iter().flatten().fold(0.0, |peak, x| f32::max(peak, x.abs())));
        let mut writer = AudioWriter::create(&path, format, 44_100).unwrap();
        assert!(spool.copy_to(&mut writer, peak, || false).unwrap());
        assert_eq!(writer.finish().unwrap(), 0, "{name} clips");
        let got = read_all(&path, 44_100).unwrap();
        for (got, song) in got.iter().flatten().zip(song.iter().flatten()) {
            // One step of 16 bits, because the largest integer is one step below full scale.
            assert!((got - song / peak).abs() <= 1.0 / 32_768.0, "{name}");
        }
    }
    // Only the files that were asked for are left.
    assert_eq!(names(folder.path()).len(), lossless().count());
    let mut spool = Spool::create(folder.path()).unwrap();
    spool.write(&song).unwrap();
    let mut writer = AudioWriter::create(&folder.path().join("stopped"), Format::Wav16, 44_100).unwrap();
    assert!(!spool.copy_to(&mut writer, 1.0, || true).unwrap());
}

#[test]
fn a_rate_that_the_format_cannot_hold_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (format, rate) in [(Format::Flac, 192_000), (Format::Mp3, 22_050), (Format::Wav16, 0)] {
        assert!(format.check_rate(rate).is_err());
        let error = AudioWriter::create(&folder.path().join("song"), format, rate).err().unwrap();
        assert!(matches!(error.problem, Problem::FormatRate { .. }), "{error}");
        assert!(error.to_string().contains(&format!("{format} cannot hold a sample rate of {rate} Hz")));
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn the_file_appears_complete_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    for (_, format) in Format::ALL {
        let path = folder.path().join("song");
        let mut writer = AudioWriter::create(&path, format, 44_100).unwrap();
        writer.write(&sweeps(44_100, 10_000)).unwrap();
        assert!(!path.exists(), "the file appeared before it was complete");
        drop(writer);
        assert!(names(folder.path()).is_empty(), "files are left: {:?}", names(folder.path()));

        std::fs::write(&path, "what was there").unwrap();
        let mut writer = AudioWriter::create(&path, format, 44_100).unwrap();
        writer.write(&sweeps(44_100, 10_000)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"what was there");
        writer.finish().unwrap();
        assert_eq!(read_all(&path, 44_100).unwrap()[0].len(), 10_000, "{format}");
        assert_eq!(names(folder.path()), ["song"]);
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_sample_that_is_nan_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut block = sweeps(1_000, 100);
    block[1][50] = f32::NAN;
    let mut writer = AudioWriter::create(&folder.path().join("nan.wav"), Format::Wav16, 1_000).unwrap();
    writer.write(&sweeps(1_000, 200)).unwrap();
    let problem = writer.write(&block).unwrap_err().problem;
    assert!(matches!(problem, Problem::NonFinite { seconds } if seconds == 0.25), "{problem}");
}

#[test]
fn a_missing_folder_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error =
        AudioWriter::create(&folder.path().join("no/such/song.wav"), Format::Wav16, 44_100).err().unwrap();
    assert!(matches!(error.problem, Problem::Write(_)), "{error}");
    assert!(error.to_string().contains("song.wav"), "{error}");
}

#[test]
fn formats_are_known_by_name() {
    for (name, format) in Format::ALL {
        assert_eq!((name.parse(), format.to_string()), (Ok(format), name.to_owned()));
    }
    let error = "aac".parse::<Format>().unwrap_err();
    assert!(error.contains("wav16, wav24, wav32f, flac, flac16, mp3, opus"), "{error}");
}
