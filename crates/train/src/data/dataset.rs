//! A data set on disk: folders of stems in the MUSDB18-HQ layout, looked through once before training.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};
use unbraid_audio::{AudioError, AudioReader};

/// Why a data set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The folder is not there.
    #[error(
        "no folder {}: a data set has the layout of MUSDB18-HQ, train/TRACK/{{drums,bass,…}}.wav and test/…; \
         `unbraid data synth OUT` invents one", .0.display()
    )]
    NoFolder(PathBuf),
    /// The folder holds no sub-folder.
    #[error("no tracks in {}: every track is a folder with one file per stem", .0.display())]
    NoTracks(PathBuf),
    /// A track lacks a stem.
    #[error("track \"{track}\" has no {stem}.wav or {stem}.flac (looked in {})", folder.display())]
    MissingStem {
        /// The track's name.
        track: String,
        /// The stem that the model is to learn.
        stem: String,
        /// The track's folder.
        folder: PathBuf,
    },
    /// Stems of a track that cannot belong together.
    #[error(
        "track \"{track}\": {first} has {frames} samples and {other} has {other_frames}; stems of a track must be \
         equally long (cut or pad them)"
    )]
    Lengths {
        /// The track's name.
        track: String,
        /// A stem.
        first: String,
        /// Its length.
        frames: u64,
        /// The stem that differs most.
        other: String,
        /// Its length.
        other_frames: u64,
    },
    /// The container does not tell its length, so that a place in it cannot be drawn.
    #[error("{}: the file does not tell its length; convert it to wav or flac", .0.display())]
    UnknownLength(PathBuf),
    /// A file cannot be decoded.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// A folder cannot be listed.
    #[error("cannot look into {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// One song: a folder with a file per stem.
#[derive(Debug, Clone)]
pub struct Track {
    /// The folder's name.
    pub name: String,
    /// One file per stem, in the model's order.
    pub stems: Vec<PathBuf>,
    /// `mixture.wav`, where there is one.
    pub mixture: Option<PathBuf>,
    /// Samples of the shortest stem, at the model's rate.
    pub frames: u64,
}

/// The tracks of `folder` (`data/train`, `data/test`), by name. Only headers are read.
///
/// Files of another rate are resampled as they are read; `rate` is the model's.
pub fn scan(folder: &Path, stems: &[String], rate: u32) -> Result<Vec<Track>, DataError> {
    if !folder.is_dir() {
        return Err(DataError::NoFolder(folder.to_path_buf()));
    }
    let failed = |source| DataError::Folder { path: folder.to_path_buf(), source };
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') {
            folders.push((name, path));
        }
    }
    if folders.is_empty() {
        return Err(DataError::NoTracks(folder.to_path_buf()));
    }
    // The order a folder lists its entries in differs between machines; the data must not.
    folders.sort();
    folders.into_iter().map(|(name, path)| track(name, &path, stems, rate)).collect()
}

/// Samples by which stems of a track may differ: encoders round up to their block.
const LENGTH_SLACK: u64 = 4608;

fn track(name: String, folder: &Path, stems: &[String], rate: u32) -> Result<Track, DataError> {
    let mut files = Vec::with_capacity(stems.len());
    let mut lengths = Vec::with_capacity(stems.len());
    for stem in stems {
        let path = find(folder, stem).ok_or_else(|| DataError::MissingStem {
            track: name.clone(),
            stem: stem.clone(),
            folder: folder.to_path_buf(),
        })?;
        let reader = AudioReader::open(&path, rate)?;
        lengths.push(reader.frames().ok_or_else(|| DataError::UnknownLength(path.clone()))?);
        files.push(path);
    }
    let frames = lengths.iter().copied().min().unwrap_or(0);
    if let Some(longest) = (0..lengths.len()).max_by_key(|&i| lengths[i])
        && lengths[longest] - frames > LENGTH_SLACK
    {
        let shortest = lengths.iter().position(|&l| l == frames).expect("the minimum is one of them");
        return Err(DataError::Lengths {
            track: name,
            first: stems[shortest].clone(),
            frames,
            other: stems[longest].clone(),
            other_frames: lengths[longest],
        });
    }
    Ok(Track { name, stems: files, mixture: find(folder, "mixture"), frames })
}

fn find(folder: &Path, stem: &str) -> Option<PathBuf> {
    ["wav", "flac"].iter().map(|ext| folder.join(format!("{stem}.{ext}"))).find(|path| path.is_file())
}

/// The tracks of MUSDB18's training part that its authors set aside for validation.
pub const MUSDB18_VALIDATION: [&str; 14] = [
    "Actions - One Minute Smile",
    "Clara Berry And Wooldog - Waltz For My Victims",
    "Johnny Lokke - Promises & Lies",
    "Patrick Talbot - A Reason To Leave",
    "Triviul - Angelsaint",
    "Alexander Ross - Goodbye Bolero",
    "Fergessen - Nos Palpitants",
    "Leaf - Summerghost",
    "Skelpolu - Human Mistakes",
    "Young Griffo - Pennies",
    "ANiMAL - Rockshow",
    "James May - On The Line",
    "Meaxic - Take A Step",
    "Traffic Experiment - Sirens",
];

/// A checksum of what decides a run's data and how it is split: the tracks' names and lengths.
pub(crate) fn digest(tracks: &[Track]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for track in tracks {
        hasher.update(track.name.as_bytes());
        hasher.update(&[0]);
        hasher.update(&track.frames.to_le_bytes());
    }
    hasher.finalize()
}

/// (training, validation): MUSDB18's own split where its tracks are found, else a share drawn from `seed`.
///
/// At least one track always stays for training; with a share above 0 and two tracks or more, at least one
/// is for validation.
pub fn split(tracks: Vec<Track>, share: f64, seed: u64) -> (Vec<Track>, Vec<Track>) {
    let named = tracks.iter().filter(|t| MUSDB18_VALIDATION.contains(&t.name.as_str())).count();
    if named > 0 && named < tracks.len() {
        return tracks.into_iter().partition(|t| !MUSDB18_VALIDATION.contains(&t.name.as_str()));
    }
    let most = tracks.len().saturating_sub(1);
    let wanted = if share > 0.0 { ((tracks.len() as f64 * share).round() as usize).max(1) } else { 0 };
    let mut order: Vec<usize> = (0..tracks.len()).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::MAX); // training items have the streams from 0 on
    order.shuffle(&mut rng);
    let held_out = &order[..wanted.min(most)];
    let (validation, training): (Vec<_>, Vec<_>) =
        tracks.into_iter().enumerate().partition(|(i, _)| held_out.contains(i));
    let strip = |tracks: Vec<(usize, Track)>| tracks.into_iter().map(|(_, t)| t).collect();
    (strip(training), strip(validation))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rand::RngExt;
    use unbraid_audio::{AudioWriter, Format};

    pub(crate) const STEMS: [&str; 2] = ["drums", "vocals"];

    pub(crate) fn stems() -> Vec<String> {
        STEMS.map(String::from).to_vec()
    }

    /// Writes a wav file of `frames` samples.
    pub(crate) fn write(path: &Path, rate: u32, frames: usize, mut sample: impl FnMut(usize) -> f32) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut writer = AudioWriter::create(path, Format::Wav32f, rate).unwrap();
        let left: Vec<f32> = (0..frames).map(&mut sample).collect();
        let right = left.iter().map(|x| 0.5 * x).collect();
        writer.write(&[left, right]).unwrap();
        writer.finish().unwrap();
    }

    /// `tracks` songs: noise bursts as drums, a low tone as vocals, `train/song-I/STEM.wav`.
    pub(crate) fn data_set(root: &Path, tracks: usize, rate: u32, frames: usize) {
        for i in 0..tracks {
            let mut rng = ChaCha8Rng::seed_from_u64(i as u64);
            let folder = root.join(format!("train/song-{i}"));
            write(&folder.join("drums.wav"), rate, frames, |n| {
                0.3 * rng.random_range(-1.0..1.0f32) * (1.0 - (n % 2000) as f32 / 2000.0)
            });
            let step = 0.02 + 0.004 * i as f32;
            write(&folder.join("vocals.wav"), rate, frames, |n| 0.3 * (n as f32 * step).sin());
        }
    }

    fn named(names: &[&str]) -> Vec<Track> {
        let track = |name: &&str| Track { name: (*name).into(), stems: vec![], mixture: None, frames: 1 };
        names.iter().map(track).collect()
    }

    #[test]
    fn scan_finds_tracks_in_the_order_of_their_names() {
        let dir = tempfile::tempdir().unwrap();
        data_set(dir.path(), 3, 8000, 900);
        write(&dir.path().join("train/song-1/mixture.wav"), 8000, 900, |_| 0.1);
        let tracks = scan(&dir.path().join("train"), &stems(), 8000).unwrap();
        let names: Vec<_> = tracks.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["song-0", "song-1", "song-2"]);
        assert!(tracks.iter().all(|t| t.frames == 900 && t.stems.len() == 2));
        assert_eq!(tracks.iter().filter(|t| t.mixture.is_some()).count(), 1);
    }

    #[test]
    fn what_is_wrong_with_a_data_set_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let train = dir.path().join("train");
        let error = || scan(&train, &stems(), 8000).unwrap_err();
        assert!(matches!(error(), DataError::NoFolder(_)));
        std::fs::create_dir(&train).unwrap();
        assert!(matches!(error(), DataError::NoTracks(_)));
        data_set(dir.path(), 2, 8000, 900);
        std::fs::remove_file(train.join("song-1/vocals.wav")).unwrap();
        let message = error().to_string();
        assert!(message.contains("song-1") && message.contains("vocals"), "{message}");
        write(&train.join("song-1/vocals.wav"), 8000, 9000, |_| 0.1);
        let message = error().to_string();
        assert!(message.contains("song-1") && message.contains("9000"), "{message}");
        std::fs::write(train.join("song-1/vocals.wav"), "not audio").unwrap();
        let message = error().to_string();
        assert!(message.contains("vocals.wav"), "{message}");
    }

    #[test]
    fn musdb_tracks_are_split_as_its_authors_say() {
        let (train, valid) = split(named(&["A", "Leaf - Summerghost", "B", "Meaxic - Take A Step"]), 0.5, 0);
        assert_eq!(train.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!(valid.len(), 2);
    }

    #[test]
    fn a_share_is_held_out_and_depends_on_the_seed_alone() {
        let names: Vec<String> = (0..20).map(|i| format!("t{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let held = |share, seed| -> Vec<String> {
            let (train, valid) = split(named(&names), share, seed);
            assert_eq!(train.len() + valid.len(), 20);
            valid.into_iter().map(|t| t.name).collect()
        };
        assert_eq!(held(0.1, 1).len(), 2);
        assert_eq!(held(0.1, 1), held(0.1, 1));
        assert_ne!(held(0.25, 1), held(0.25, 2));
        assert_eq!(held(0.0, 1).len(), 0);
        assert_eq!(split(named(&["only"]), 0.5, 0).1.len(), 0);
    }
}
