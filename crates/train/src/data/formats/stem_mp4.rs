//! The compressed MUSDB18: `train/TRACK.stem.mp4` and `test/TRACK.stem.mp4`. A file holds five AAC tracks: the mixture
//! and four stems.

use crate::data::assignment::{Assignment, Meaning, meaning};
use crate::data::dataset::{DataError, Format, Part};
use crate::data::folder::{entries, is_foreign};
use crate::data::listing::{Listing, SongFiles};
use crate::data::source::Source;
use std::path::PathBuf;

/// The format's row in the registry.
pub(crate) const FORMAT: Format = Format {
    layout: "MUSDB18, {train,test}/TRACK.stem.mp4",
    recognises: |part| files(part).is_ok_and(|files| !files.is_empty()),
    list,
};

const ENDING: &str = ".stem.mp4";

/// The stems in the order of the file's tracks, from track 1 on. Track 0 is the mixture.
const STEMS: [&str; 4] = ["drums", "bass", "other", "vocals"];

/// The songs of the part by their names. A folder without parts holds songs for training.
fn files(part: &Part<'_>) -> Result<Vec<(String, PathBuf)>, DataError> {
    let folder = part.root.join(part.name);
    let has_no_parts = ["train", "test"].iter().all(|name| !part.root.join(name).is_dir());
    let folder = if part.name == "train" && has_no_parts { part.root.to_path_buf() } else { folder };
    let song = |(name, path): (String, PathBuf)| {
        let bare = name.strip_suffix(ENDING)?;
        (!is_foreign(&name) && path.is_file()).then(|| (bare.to_owned(), path))
    };
    Ok(entries(&folder)?.into_iter().filter_map(song).collect())
}

fn list(part: &Part<'_>) -> Result<Listing, DataError> {
    let mut listing = Listing { folder: part.root.join(part.name), ..Listing::default() };
    for (name, path) in files(part)? {
        let track = |index| Source { path: path.clone(), track: Some(index) };
        let mut assignment = Assignment::default();
        for (index, bare) in STEMS.iter().enumerate() {
            if let Meaning::Stems(stems) = meaning(bare, part) {
                assignment.add(stems, [track(index + 1)]);
            }
        }
        let missing = |stem: &String| {
            if !part.options.missing_is_silent {
                listing.faults.push(DataError::MissingStem {
                    folder: path.clone(),
                    stem: stem.clone(),
                    files: vec![format!("a .stem.mp4 holds {}", STEMS.join(", "))],
                    similar: None,
                });
            }
        };
        match assignment.finish(part.stems, missing) {
            Ok((stems, grouping)) => {
                listing.songs.push(SongFiles { name, stems, grouping, mixture: Some(track(0)) });
            }
            Err(files) => listing.faults.push(DataError::Overlap { song: path.clone(), files }),
        }
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use crate::data::formats::open_dataset;
    use crate::data::testing::write;
    use std::process::Command;

    /// Noise that a codec cannot shift without a large error.
    fn noise(seed: u32) -> impl FnMut(usize) -> f32 {
        let (mut state, mut low) = (seed, 0.0);
        move |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            low += 0.2 * ((state >> 8) as f32 / (1 << 23) as f32 - 1.0 - low);
            low
        }
    }

    /// Each stem is the track that it was written to, without the delay of the encoder.
    #[test]
    fn the_tracks_of_a_file_are_the_stems_without_delay() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["mixture", "drums", "bass", "other", "vocals"];
        let frames = 60_000;
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error"]);
        for (index, name) in names.iter().enumerate() {
            let path = dir.path().join(format!("{name}.wav"));
            write(&path, 44_100, frames, noise(index as u32 + 1));
            command.arg("-i").arg(path);
        }
        for index in 0..names.len() {
            command.args(["-map", &index.to_string()]);
        }
        std::fs::create_dir(dir.path().join("train")).unwrap();
        let file = dir.path().join("train/A - B.stem.mp4");
        let made = command.args(["-c:a", "aac", "-b:a", "256k", "-f", "mp4"]).arg(&file).status();
        if !made.is_ok_and(|status| status.success()) {
            println!("skipped: ffmpeg does not make an mp4 with AAC");
            return;
        }
        let stems = ["vocals", "drums", "bass", "other"].map(String::from);
        let dataset = open_dataset(dir.path(), "train", &stems, 44_100).unwrap();
        assert_eq!(dataset.tracks()[0].name, "A - B");
        assert!(dataset.tracks()[0].frames.abs_diff(frames as u64) < 2048, "{:?}", dataset.tracks());
        // Against the original of track `name` from sample `start` on.
        let snr = |read: &[f32], name: usize, start: usize| {
            let original = (0..frames).map(noise(name as u32 + 1)).skip(start);
            let (mut signal, mut error) = (0.0, 0.0);
            for (x, y) in original.zip(read) {
                signal += f64::from(x * x);
                error += f64::from((x - y) * (x - y));
            }
            10.0 * (signal / error).log10()
        };
        // Neighbouring samples correlate by 0.8, so a shift of one leaves 4 dB.
        let check = |read: &[f32], name: usize, start: usize| {
            let (aligned, shifted) = (snr(read, name, start), snr(read, name, start + 1));
            assert!(aligned > 10.0 && shifted < 5.0, "track {name}: {aligned} dB, {shifted} dB");
        };
        for (stem, name) in [(0, 4), (1, 1), (2, 2), (3, 3)] {
            for start in [0, 17_777] {
                check(&dataset.read(0, stem, start as u64, 20_000).unwrap()[0], name, start);
            }
        }
        check(&dataset.open(0).unwrap().read(20_000).unwrap().mixture[0], 0, 0);
    }

    #[test]
    fn a_stem_that_the_file_lacks_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x.stem.mp4"), "not audio").unwrap();
        let error = open_dataset(dir.path(), "train", &["guitar".into()], 44_100).err().unwrap();
        assert!(error.to_string().contains("has no stem guitar"), "{error}");
        let error = open_dataset(dir.path(), "train", &["bass".into()], 44_100).err().unwrap();
        assert!(error.to_string().contains("x.stem.mp4"), "{error}");
    }
}
