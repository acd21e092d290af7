//! Tags of a song reach the files of its stems.

use std::path::Path;
use std::process::Command;

use lofty::config::WriteOptions as TagOptions;
use lofty::file::{AudioFile, TaggedFileExt};
use lofty::picture::{MimeType, Picture, PictureType};
use lofty::tag::{Accessor, ItemKey, Tag, TagType};
use unbraid_audio::{AudioWriter, Format, Tags, WriteOptions};

use crate::common::*;

/// A JPEG's first bytes. Readers of tags do not decode it.
fn picture(bytes: usize) -> Picture {
    let mut data = vec![0xff, 0xd8, 0xff, 0xe0];
    data.resize(bytes, 7);
    Picture::unchecked(data).pic_type(PictureType::CoverFront).mime_type(MimeType::Jpeg).build()
}

/// A file with all the tags that are carried over, and one that is not.
fn tagged(path: &Path, format: Format, kind: TagType, cover: usize) {
    let mut writer = AudioWriter::create(path, format, 44_100).unwrap();
    writer.write(&sweeps(44_100, 20_000)).unwrap();
    writer.finish().unwrap();
    let mut tag = Tag::new(kind);
    tag.set_title("Blåbær ☂".into());
    tag.set_artist("The Artist".into());
    tag.set_album("The Album".into());
    tag.insert_text(ItemKey::TrackNumber, "3".into());
    tag.insert_text(ItemKey::TrackTotal, "12".into());
    tag.insert_text(ItemKey::RecordingDate, "2019".into());
    tag.set_genre("Polka".into());
    tag.set_comment("A comment".into());
    tag.insert_text(ItemKey::ReplayGainTrackGain, "-9.00 dB".into());
    tag.push_picture(picture(cover));
    let mut file = lofty::read_from_path(path).unwrap();
    file.insert_tag(tag);
    file.save_to_path(path, TagOptions::default()).unwrap();
}

fn write(path: &Path, format: Format, tags: Tags) {
    let options = WriteOptions { tags, ..WriteOptions::new(format, 44_100) };
    let mut writer = AudioWriter::with_options(path, &options).unwrap();
    writer.write(&sweeps(44_100, 20_000)).unwrap();
    writer.finish().unwrap();
}

fn read_tag(path: &Path) -> Option<Tag> {
    let probe = lofty::probe::Probe::open(path).unwrap().guess_file_type().unwrap();
    let file = probe.read().unwrap();
    file.primary_tag().or(file.first_tag()).cloned()
}

#[test]
fn every_format_carries_the_tags_of_every_other() {
    let folder = tempfile::tempdir().unwrap();
    let sources = [
        ("song.mp3", Format::Mp3, TagType::Id3v2),
        ("song.flac", Format::Flac, TagType::VorbisComments),
        ("song.wav", Format::Wav16, TagType::Id3v2),
        ("song.opus", Format::Opus, TagType::VorbisComments),
    ];
    for (source, format, kind) in sources {
        let song = folder.path().join(source);
        tagged(&song, format, kind, 5_000);
        let (tags, notice) = Tags::read(&song);
        assert_eq!(notice, None, "{source}");
        for (name, format) in Format::ALL {
            let stem = folder.path().join(name).with_extension(format.extension());
            write(&stem, format, tags.for_stem("vocals"));
            let tag = read_tag(&stem).unwrap();
            let case = format!("{source} to {name}");
            assert_eq!(tag.title().as_deref(), Some("Blåbær ☂ (vocals)"), "{case}");
            assert_eq!(tag.artist().as_deref(), Some("The Artist"), "{case}");
            assert_eq!(tag.album().as_deref(), Some("The Album"), "{case}");
            assert_eq!((tag.track(), tag.track_total()), (Some(3), Some(12)), "{case}");
            assert_eq!(tag.get_string(ItemKey::RecordingDate), Some("2019"), "{case}");
            assert_eq!(tag.genre().as_deref(), Some("Polka"), "{case}");
            assert_eq!(tag.comment().as_deref(), Some("A comment"), "{case}");
            assert_eq!(tag.get_string(ItemKey::ReplayGainTrackGain), None, "{case}");
            assert_eq!(tag.pictures()[0].data(), picture(5_000).data(), "{case}");
            // The samples are those of a file without tags.
            let plain = folder.path().join("plain").with_extension(format.extension());
            write(&plain, format, Tags::default());
            assert!(read_tag(&plain).is_none_or(|tag| tag.title().is_none()), "{case}");
            assert_eq!(read_all(&stem, 44_100).unwrap(), read_all(&plain, 44_100).unwrap(), "{case}");
        }
    }
}

#[test]
fn ffmpeg_reads_the_tags_and_the_length() {
    let folder = tempfile::tempdir().unwrap();
    let song = folder.path().join("song.flac");
    tagged(&song, Format::Flac, TagType::VorbisComments, 5_000);
    let tags = Tags::read(&song).0.for_stem("bass");
    for (name, format) in Format::ALL {
        let path = folder.path().join(name).with_extension(format.extension());
        write(&path, format, tags.clone());
        let mut command = Command::new("ffprobe");
        command.args(["-v", "error", "-show_format", "-show_streams"]).arg(&path);
        let Ok(output) = command.output() else {
            eprintln!("skipped: ffprobe is not installed");
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout).to_lowercase();
        for expected in ["title=blåbær ☂ (bass)", "artist=the artist", "genre=polka"] {
            assert!(text.contains(expected), "{name}: {text}");
        }
    }
}

#[test]
fn damaged_and_oversized_tags_are_told_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let song = folder.path().join("song.flac");
    tagged(&song, Format::Flac, TagType::VorbisComments, 6 << 20);
    let (tags, notice) = Tags::read(&song);
    assert!(notice.unwrap().contains("a cover of 6 MiB"));
    let stem = folder.path().join("stem.flac");
    write(&stem, Format::Flac, tags);
    assert!(std::fs::metadata(&stem).unwrap().len() < 1 << 20);
    assert_eq!(read_tag(&stem).unwrap().artist().as_deref(), Some("The Artist"));

    // The size of the comments' block reaches past the end.
    let mut bytes = std::fs::read(&stem).unwrap();
    bytes[43..46].copy_from_slice(&[0xff, 0xff, 0xff]);
    std::fs::write(&song, &bytes).unwrap();
    let (tags, notice) = Tags::read(&song);
    assert!(tags.is_empty() && notice.is_some(), "{notice:?}");
    assert!(Tags::read(&folder.path().join("missing.flac")).1.is_some());
    std::fs::write(&song, b"no audio at all").unwrap();
    assert!(Tags::read(&song).0.is_empty());
}

/// Damage of any kind gives a notice or other tags, and no panic.
#[test]
fn damaged_tags_do_no_harm() {
    let runs: usize =
        std::env::var("UNBRAID_FUZZ_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(300);
    let folder = tempfile::tempdir().unwrap();
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for (name, format, kind) in [
        ("song.mp3", Format::Mp3, TagType::Id3v2),
        ("song.flac", Format::Flac, TagType::VorbisComments),
        ("song.wav", Format::Wav16, TagType::Id3v2),
        ("song.opus", Format::Opus, TagType::VorbisComments),
    ] {
        let path = folder.path().join(name);
        tagged(&path, format, kind, 500);
        let good = std::fs::read(&path).unwrap();
        // The tags of a wav are at its end.
        let from = if format == Format::Wav16 { good.len() - 1_500 } else { 0 };
        for _ in 0..runs {
            let mut bytes = good.clone();
            for _ in 0..=random(8) {
                bytes[from + random(1_500)] = [0, 1, 0x7f, 0x80, 0xff, random(256) as u8][random(6)];
            }
            if random(4) == 0 {
                bytes.truncate(from + random(1_500));
            }
            std::fs::write(&path, bytes).unwrap();
            let (tags, _) = Tags::read(&path);
            let tags = tags.for_stem("bass");
            let options = WriteOptions { tags, ..WriteOptions::new(format, 44_100) };
            AudioWriter::with_options(&folder.path().join("stem"), &options).unwrap().finish().unwrap();
        }
    }
}
