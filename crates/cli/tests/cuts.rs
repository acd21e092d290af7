//! `unbraid separate`: parts of songs, sample rates, short songs, and the sum of the stems.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

mod common;

use std::fs;
use std::path::Path;

use common::*;
use unbraid_audio::{AudioWriter, Format};

fn write(path: &Path, audio: &unbraid_audio::Stereo, rate: u32) {
    let mut writer = AudioWriter::create(path, Format::Wav32f, rate).unwrap();
    writer.write(audio).unwrap();
    writer.finish().unwrap();
}

/// The part is read as in the whole song and separated on its own.
#[test]
fn the_stems_of_a_part_are_those_of_a_file_that_holds_the_part() {
    let (_guard, folder) = temporary();
    let whole = music(3 * 44_100, 44_100);
    let (start, end) = (44_100 / 2, 2 * 44_100 + 11_025);
    write(&folder.join("whole.wav"), &whole, 44_100);
    write(&folder.join("part.wav"), &whole.each_ref().map(|side| side[start..end].to_vec()), 44_100);
    for arguments in ["whole.wav --start 0.5 --end 0:02.25 --json", "part.wav"] {
        let output = separate(&folder, &format!("{arguments} --format wav32f")).output().unwrap();
        assert!(output.status.success(), "{}", stderr_text(&output));
        if arguments.contains("--json") {
            let song = &report(&output)["songs"][0];
            assert_eq!(
                (song["start_seconds"].as_f64(), song["audio_seconds"].as_f64()),
                (Some(0.5), Some(1.75))
            );
        }
    }
    for stem in STEMS {
        let bytes = |song: &str| fs::read(folder.join(format!("separated/{song}/{stem}.wav"))).unwrap();
        assert!(bytes("whole") == bytes("part"), "{stem}");
    }
}

#[test]
fn a_part_must_lie_in_the_song() {
    let (_guard, folder) = temporary();
    song(&folder.join("song.wav"), 1.0, 44_100);
    for (arguments, fact) in [
        ("--start 1:00", "the song ends before 60 s\nhelp: Choose an earlier `--start`"),
        ("--start 0.5 --end 0.5", "the part to separate is empty"),
        ("--start abc", "seconds, mm:ss or h:mm:ss"),
    ] {
        let output = separate(&folder, &format!("song.wav {arguments}")).output().unwrap();
        assert!(!output.status.success() && stderr_text(&output).contains(fact), "{}", stderr_text(&output));
    }
    // The end of the song is the end.
    assert!(separate(&folder, "song.wav --end 5 --stems bass").output().unwrap().status.success());
    assert_eq!(read(&folder.join("separated/song/bass.wav")).0[0].len(), 44_100);
}

#[test]
fn stems_have_the_rate_and_the_length_of_the_song() {
    let (_guard, folder) = temporary();
    // 48 001 samples become 44 101, and these become 48 002 without correction.
    for (rate, frames) in
        [(48_000, 48_001), (96_000, 96_001), (22_050, 22_051), (44_100, 44_101), (8000, 7999)]
    {
        write(&folder.join("song.wav"), &music(frames, rate), rate);
        let output =
            separate(&folder, "song.wav --sample-rate song --stems bass --json --force").output().unwrap();
        let song = &report(&output)["songs"][0];
        assert_eq!((&song["song_sample_rate"], &song["sample_rate"]), (&rate.into(), &rate.into()));
        let (bass, own) = read(&folder.join("separated/song/bass.wav"));
        assert_eq!((own, bass[0].len()), (rate, frames));
    }
    let arguments = "song.wav --sample-rate 32000 --start 0.1 --end 0.6 --stems bass --json --force";
    let report = report(&separate(&folder, arguments).output().unwrap());
    assert_eq!(
        (&report["songs"][0]["song_sample_rate"], &report["songs"][0]["sample_rate"]),
        (&8000.into(), &32_000.into())
    );
    let (bass, own) = read(&folder.join("separated/song/bass.wav"));
    assert_eq!((own, bass[0].len()), (32_000, 16_000));
}

/// At the model's rate and at the song's rate, a stem is the same signal.
#[test]
fn a_stem_at_the_songs_rate_does_not_move() {
    let (_guard, folder) = temporary();
    song(&folder.join("song.wav"), 2.0, 44_100);
    let run = |arguments: &str| {
        let output = separate(&folder, &format!("song.wav --stems bass --format wav32f {arguments}"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr_text(&output));
    };
    run("--out model");
    run("--out other --sample-rate 88200");
    let (model, _) = read(&folder.join("model/song/bass.wav"));
    let (other, _) = read(&folder.join("other/song/bass.wav"));
    assert_eq!(other[0].len(), 2 * model[0].len());
    // Every second sample lies at the time of a sample of the model. The ends are left out, where the filter rings.
    let inner = 2000..model[0].len() - 2000;
    let wanted = inner.clone().map(|n| f64::from(model[0][n]));
    let snr = unbraid_base::snr_db(wanted, inner.map(|n| f64::from(other[0][2 * n])));
    assert!(snr > 40.0, "{snr} dB");
}

/// The network needs about 2000 samples. A shorter song is padded with silence, and its stems are cut.
#[test]
fn a_song_shorter_than_the_networks_minimum_is_separated() {
    let (_guard, folder) = temporary();
    for frames in [1, 100, 1500] {
        write(&folder.join("song.wav"), &music(frames, 44_100), 44_100);
        let output = separate(&folder, "song.wav --force").output().unwrap();
        assert!(output.status.success(), "{}", stderr_text(&output));
        for stem in STEMS {
            assert_eq!(read(&folder.join(format!("separated/song/{stem}.wav"))).0[0].len(), frames);
        }
    }
}

#[test]
fn the_rest_and_the_stem_add_up_and_the_sum_of_all_stems_is_reported() {
    let (_guard, folder) = temporary();
    write(&folder.join("song.wav"), &music(44_100, 44_100), 44_100);
    let run = |arguments: &str| {
        separate(&folder, &format!("song.wav --format wav32f --force {arguments}")).output().unwrap()
    };
    let output = run("--two-stems vocals --json");
    let told = report(&output)["songs"][0]["sum_snr_db"].as_f64().unwrap();
    assert!(stderr_text(&output).contains(&format!("SNR of {told:.1} dB")), "{}", stderr_text(&output));
    assert!(run("").status.success());
    let stem = |name: &str| read(&folder.join(format!("separated/song/{name}.wav"))).0;
    let mixture = read(&folder.join("song.wav")).0;
    let snr = |parts: &[&str]| {
        let parts: Vec<_> = parts.iter().map(|name| stem(name)).collect();
        let sum = |n: usize, side: usize| parts.iter().map(|part| f64::from(part[side][n])).sum::<f64>();
        let all = || (0..mixture[0].len()).flat_map(|n| [(n, 0), (n, 1)]);
        let wanted = all().map(|(n, side)| f64::from(mixture[side][n]));
        unbraid_base::snr_db(wanted, all().map(|(n, side)| sum(n, side)))
    };
    assert!((snr(&STEMS) - told).abs() < 1e-3, "{told} dB is told");
    // One rounding to f32.
    assert!(snr(&["vocals", "no_vocals"]) > 120.0);
}

#[test]
fn an_incomplete_song_is_separated_on_request() {
    let (_guard, folder) = temporary();
    song(&folder.join("song.flac"), 3.0, 44_100);
    let bytes = fs::read(folder.join("song.flac")).unwrap();
    let frames = |arguments: &str| {
        let output = separate(&folder, &format!("song.flac --stems bass --json --force {arguments}"))
            .output()
            .unwrap();
        let report = report(&output);
        let song = &report["songs"][0];
        if output.status.success() {
            // The warning is printed, and it is in the report.
            assert_eq!(song["notices"].as_array().unwrap().len(), 1, "{report}");
            assert!(stderr_text(&output).contains(song["notices"][0].as_str().unwrap()));
            Some(read(&folder.join("separated/song/bass.wav")).0[0].len())
        } else {
            assert!(song["advice"].as_str().unwrap().contains("--allow-truncated"), "{report}");
            None
        }
    };
    // Less than a second is missing.
    fs::write(folder.join("song.flac"), &bytes[..bytes.len() * 9 / 10]).unwrap();
    assert!(frames("").is_some());
    // More than a second is missing.
    fs::write(folder.join("song.flac"), &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(frames(""), None);
    assert!(frames("--allow-truncated").is_some());
}
