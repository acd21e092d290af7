//! The split of the tracks into training and validation.

use crate::data::dataset::{DataError, Dataset, TrackInfo};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// The tracks of MUSDB18's training part that its authors set aside for validation.
const MUSDB18_VALIDATION: [&str; 14] = [
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

/// The tracks of a run, by their index in the data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Tracks that segments are drawn from.
    pub training: Vec<usize>,
    /// Tracks that validation scores.
    pub validation: Vec<usize>,
}

/// Divides `tracks` into training and validation: by MUSDB18's own split if some of its validation tracks (but not
/// only those) are present, otherwise by drawing a `share` from `seed`.
///
/// At least one track stays for training. With a share above 0 and two tracks or more, at least one is for validation.
pub fn split(tracks: &[TrackInfo], share: f64, seed: u64) -> Split {
    let held_out = |track: &TrackInfo| MUSDB18_VALIDATION.contains(&track.name.as_str());
    let named = tracks.iter().filter(|track| held_out(track)).count();
    if named > 0 && named < tracks.len() {
        let (validation, training) = (0..tracks.len()).partition(|&i| held_out(&tracks[i]));
        return Split { training, validation };
    }
    let most = tracks.len().saturating_sub(1);
    let wanted = if share > 0.0 { ((tracks.len() as f64 * share).round() as usize).max(1) } else { 0 };
    let mut order: Vec<usize> = (0..tracks.len()).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::MAX); // segments use the streams from 0 on
    order.shuffle(&mut rng);
    let drawn = &order[..wanted.min(most)];
    let (validation, training) = (0..tracks.len()).partition(|i| drawn.contains(i));
    Split { training, validation }
}

/// Divides `tracks` into those with one of the `names`, for validation, and the others.
///
/// # Errors
/// If a name is that of no track.
fn split_by_name(tracks: &[TrackInfo], names: &[String]) -> Result<Split, DataError> {
    if let Some(name) = names.iter().find(|name| tracks.iter().all(|track| track.name != **name)) {
        return Err(DataError::UnknownSong(name.clone()));
    }
    let (validation, training): (Vec<usize>, Vec<usize>) =
        (0..tracks.len()).partition(|&i| names.contains(&tracks[i].name));
    Ok(Split { training, validation })
}

/// Divides the tracks of a data set: by the `names` of the songs for validation, or without names by [`split`]. Tracks
/// that are for validation only are no part of the training.
///
/// # Errors
/// If a name is that of no track, or no track stays for training.
pub(crate) fn split_data(
    dataset: &dyn Dataset,
    names: &[String],
    share: f64,
    seed: u64,
) -> Result<Split, DataError> {
    let tracks = dataset.tracks();
    let own = tracks.len() - dataset.held_out();
    if names.is_empty() {
        let mut split = split(&tracks[..own], share, seed);
        split.validation.extend(own..tracks.len());
        return Ok(split);
    }
    let Split { mut training, validation } = split_by_name(tracks, names)?;
    training.retain(|track| *track < own);
    if training.is_empty() && dataset.series().is_empty() {
        return Err(DataError::AllForValidation);
    }
    Ok(Split { training, validation })
}

/// A checksum of what determines a run's data and their split: the names and lengths of the tracks, and the series.
pub(crate) fn digest(dataset: &dyn Dataset) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&digest_of(dataset.tracks()).to_le_bytes());
    let series = dataset.series();
    if series.is_empty() {
        // Runs of earlier versions have no series.
        return digest_of(dataset.tracks());
    }
    for series in series {
        hasher.update(series.name().as_bytes());
        hasher.update(&series.share().to_le_bytes());
    }
    hasher.finalize()
}

fn digest_of(tracks: &[TrackInfo]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for track in tracks {
        hasher.update(track.name.as_bytes());
        hasher.update(&[0]);
        hasher.update(&track.frames.to_le_bytes());
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::formats::open_dataset;
    use crate::data::testing::{data_set, stems};

    fn named(names: &[String]) -> Vec<TrackInfo> {
        names.iter().map(|name| TrackInfo { name: name.clone(), frames: 1 }).collect()
    }

    #[test]
    fn musdb_tracks_follow_the_split_of_the_authors() {
        let tracks = named(&["A", "Leaf - Summerghost", "B", "Meaxic - Take A Step"].map(String::from));
        let expected = Split { training: vec![0, 2], validation: vec![1, 3] };
        assert_eq!(split(&tracks, 0.5, 0), expected);
    }

    #[test]
    fn named_songs_are_held_out() {
        let dir = tempfile::tempdir().unwrap();
        data_set(dir.path(), 3, 8000, 900);
        let dataset = open_dataset(dir.path(), "train", &stems(), 8000).unwrap();
        let split = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| format!("song-{name}")).collect();
            split_data(&*dataset, &names, 0.5, 0)
        };
        assert_eq!(split(&["2", "0"]).unwrap(), Split { training: vec![1], validation: vec![0, 2] });
        assert!(split(&["0", "X"]).unwrap_err().to_string().contains("\"song-X\""));
        assert!(matches!(split(&["0", "1", "2"]), Err(DataError::AllForValidation)));
        assert_eq!(digest(&*dataset), digest_of(dataset.tracks()));
    }

    #[test]
    fn a_share_is_held_out_and_depends_on_the_seed_alone() {
        let tracks = named(&(0..20).map(|i| format!("t{i}")).collect::<Vec<_>>());
        let held = |share, seed| {
            let Split { training, validation } = split(&tracks, share, seed);
            assert_eq!(training.len() + validation.len(), 20);
            validation
        };
        assert_eq!(held(0.1, 1).len(), 2);
        assert_eq!(held(0.1, 1), held(0.1, 1));
        assert_ne!(held(0.25, 1), held(0.25, 2));
        assert_eq!(held(0.0, 1).len(), 0);
        assert_eq!(split(&tracks[..1], 0.5, 0).validation.len(), 0);
    }

    /// Runs begun by earlier versions keep their data: the draw and the checksum are part of a run.
    #[test]
    fn the_split_and_the_digest_are_fixed() {
        let tracks = named(&(0..20).map(|i| format!("t{i}")).collect::<Vec<_>>());
        assert_eq!(split(&tracks, 0.25, 1).validation, [0, 3, 5, 14, 17]);
        assert_eq!(digest_of(&tracks), 0xd790_876f);
    }
}
