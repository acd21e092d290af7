//! The layout of MUSDB18-HQ: `train/TRACK/STEM.wav` and `test/TRACK/STEM.wav`, or `.flac`, with an optional
//! `mixture.wav` per track.

use crate::data::dataset::{DataError, Dataset, Format, Part, TrackBlock, TrackInfo, TrackReader};
use std::path::{Path, PathBuf};
use unbraid_audio::{AudioReader, ReadOptions, read_segment};
use unbraid_base::Stereo;

/// The format's row in the registry.
pub(crate) const FORMAT: Format = Format {
    layout: "MUSDB18-HQ, {train,test}/TRACK/STEM.wav (or .flac), and mixture.wav if the mixture is not the sum",
    recognises: |part| part.root.join(part.name).is_dir(),
    open: |part| MusdbHq::open(part).map(|dataset| Box::new(dataset) as Box<dyn Dataset>),
};

/// Samples by which the stems of a track may differ: encoders pad to their block.
const LENGTH_SLACK: u64 = 4608;

struct MusdbHq {
    tracks: Vec<TrackInfo>,
    /// The files of each track.
    files: Vec<TrackFiles>,
    stems: usize,
    rate: u32,
}

struct TrackFiles {
    /// One file per stem, in the model's order.
    stems: Vec<PathBuf>,
    mixture: Option<PathBuf>,
}

impl MusdbHq {
    /// Lists the tracks in the order of their names and checks their stems. This reads the header
    /// of every file, and also decodes the first block of a flac file.
    fn open(part: &Part<'_>) -> Result<Self, DataError> {
        let folder = part.root.join(part.name);
        let failed = |source| DataError::Folder { path: folder.clone(), source };
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() && !name.starts_with('.') {
                folders.push((name, path));
            }
        }
        if folders.is_empty() {
            return Err(DataError::NoTracks(folder));
        }
        // Machines list the entries of a folder in different orders.
        folders.sort();
        let (mut tracks, mut files) = (Vec::new(), Vec::new());
        for (name, path) in folders {
            let (info, paths) = track(name, &path, part.stems, part.rate)?;
            tracks.push(info);
            files.push(paths);
        }
        Ok(Self { tracks, files, stems: part.stems.len(), rate: part.rate })
    }
}

impl Dataset for MusdbHq {
    fn tracks(&self) -> &[TrackInfo] {
        &self.tracks
    }

    fn stems(&self) -> usize {
        self.stems
    }

    fn read(&self, track: usize, stem: usize, start: u64, samples: usize) -> Result<Stereo, DataError> {
        let mut audio = read_segment(&self.files[track].stems[stem], start, samples, self.rate)?;
        for channel in &mut audio {
            channel.resize(samples, 0.0);
        }
        Ok(audio)
    }

    fn open(&self, track: usize) -> Result<Box<dyn TrackReader>, DataError> {
        let open = |path: &PathBuf| AudioReader::open(path, self.rate, ReadOptions::COMPLETE);
        let files = &self.files[track];
        let stems = files.stems.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Box::new(Readers { stems, mixture: files.mixture.as_ref().map(open).transpose()? }))
    }
}

/// The open files of a track.
struct Readers {
    stems: Vec<AudioReader>,
    mixture: Option<AudioReader>,
}

impl TrackReader for Readers {
    fn read(&mut self, frames: usize) -> Result<TrackBlock, DataError> {
        let mut stems = Vec::with_capacity(self.stems.len());
        for reader in &mut self.stems {
            stems.push(read_padded(reader, frames)?);
        }
        let mixture = match &mut self.mixture {
            Some(reader) => read_padded(reader, frames)?,
            None => [0, 1].map(|c| (0..frames).map(|n| stems.iter().map(|stem| stem[c][n]).sum()).collect()),
        };
        Ok(TrackBlock { mixture, stems })
    }
}

fn read_padded(reader: &mut AudioReader, frames: usize) -> Result<Stereo, DataError> {
    let mut audio: Stereo = [Vec::with_capacity(frames), Vec::with_capacity(frames)];
    while audio[0].len() < frames {
        let part = reader.read(frames - audio[0].len())?;
        if part[0].is_empty() {
            break;
        }
        for (all, part) in audio.iter_mut().zip(part) {
            all.extend(part);
        }
    }
    for channel in &mut audio {
        channel.resize(frames, 0.0);
    }
    Ok(audio)
}

fn track(
    name: String,
    folder: &Path,
    stems: &[String],
    rate: u32,
) -> Result<(TrackInfo, TrackFiles), DataError> {
    let mut files = Vec::with_capacity(stems.len());
    let mut lengths = Vec::with_capacity(stems.len());
    for stem in stems {
        let path = find(folder, stem).ok_or_else(|| DataError::MissingStem {
            track: name.clone(),
            stem: stem.clone(),
            folder: folder.to_path_buf(),
        })?;
        let reader = AudioReader::open(&path, rate, ReadOptions::COMPLETE)?;
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
    Ok((TrackInfo { name, frames }, TrackFiles { stems: files, mixture: find(folder, "mixture") }))
}

fn find(folder: &Path, stem: &str) -> Option<PathBuf> {
    ["wav", "flac"].iter().map(|ext| folder.join(format!("{stem}.{ext}"))).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{data_set, stems, write};

    fn open(root: &Path) -> Result<MusdbHq, DataError> {
        MusdbHq::open(&Part { root, name: "train", stems: &stems(), rate: 8000 })
    }

    #[test]
    fn tracks_are_found_in_the_order_of_their_names() {
        let dir = tempfile::tempdir().unwrap();
        data_set(dir.path(), 3, 8000, 900);
        write(&dir.path().join("train/song-1/mixture.wav"), 8000, 900, |_| 0.1);
        let dataset = open(dir.path()).unwrap();
        let names: Vec<_> = dataset.tracks().iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["song-0", "song-1", "song-2"]);
        assert!(dataset.tracks().iter().all(|t| t.frames == 900) && dataset.stems() == 2);
        assert_eq!(dataset.files.iter().filter(|files| files.mixture.is_some()).count(), 1);
    }

    #[test]
    fn random_access_and_the_reader_give_the_same_samples() {
        let dir = tempfile::tempdir().unwrap();
        data_set(dir.path(), 2, 8000, 900);
        write(&dir.path().join("train/song-1/mixture.wav"), 8000, 900, |_| 0.1);
        let dataset = open(dir.path()).unwrap();
        for track in 0..2 {
            let mut reader = Dataset::open(&dataset, track).unwrap();
            // The last block extends beyond the end.
            for start in [0, 400, 800] {
                let block = reader.read(400).unwrap();
                for stem in 0..2 {
                    assert_eq!(block.stems[stem], dataset.read(track, stem, start, 400).unwrap());
                }
                let heard = (900 - start as usize).min(400);
                let sum = block.stems[0][0][7] + block.stems[1][0][7];
                assert_eq!(block.mixture[0][7], if track == 0 { sum } else { 0.1 });
                assert!(block.mixture[0].len() == 400 && block.mixture[0][heard..].iter().all(|x| *x == 0.0));
            }
        }
    }

    #[test]
    fn errors_name_the_track_and_the_stem() {
        let dir = tempfile::tempdir().unwrap();
        let train = dir.path().join("train");
        let error = || open(dir.path()).err().unwrap();
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
}
