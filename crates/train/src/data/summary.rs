//! The amount of music in a data set, for people.

use crate::data::dataset::Dataset;
use unbraid_base::counted;

/// The number of `tracks` (indices) of `dataset` and their length at `rate`: `86 songs (341.2 min)`.
pub fn summary(dataset: &dyn Dataset, tracks: &[usize], rate: u32) -> String {
    let frames: u64 = tracks.iter().map(|&track| dataset.tracks()[track].frames).sum();
    let minutes = frames as f64 / f64::from(rate) / 60.0;
    format!("{} ({minutes:.1} min)", counted(tracks.len() as u64, "song"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::formats::open_dataset;
    use crate::data::testing;

    #[test]
    fn songs_and_minutes_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        testing::data_set(dir.path(), 2, 8000, 48_000);
        let dataset = open_dataset(dir.path(), "train", &testing::stems(), 8000).unwrap();
        assert_eq!(summary(&*dataset, &[0, 1], 8000), "2 songs (0.2 min)");
        assert_eq!(summary(&*dataset, &[1], 8000), "1 song (0.1 min)");
    }
}
