//! The formats that a data set can have on disk. Each is a file of this folder and a row of [`FORMATS`].

mod musdb_hq;
mod plain;
mod stem_mp4;

use crate::data::dataset::{DataError, DataOptions, Dataset, Format, Part};
use crate::data::listing::Listing;
use crate::data::songs::Songs;
use std::path::Path;
use std::sync::Arc;

/// All formats. The first one that recognises a folder opens it.
/// `musdb_hq` must be the last, because it recognises every folder that has the part.
const FORMATS: &[Format] = &[stem_mp4::FORMAT, plain::FORMAT, musdb_hq::FORMAT];

/// Opens one part (`train`, `test`) of the data set in the folder `root`, for a model with these `stems` and this
/// sample `rate`. Audio of another rate is resampled as it is read.
///
/// # Errors
/// If the folder does not exist or has no known format, or some tracks lack a stem or have a file that cannot be used.
/// The error holds the faults of all tracks.
pub fn open_dataset(
    root: &Path,
    part: &str,
    stems: &[String],
    rate: u32,
) -> Result<Arc<dyn Dataset>, DataError> {
    open_dataset_with(root, part, stems, rate, &DataOptions::default())
}

/// Like [`open_dataset`], with `options` for files that are not named like the stems.
///
/// # Errors
/// Those of [`open_dataset`].
pub fn open_dataset_with(
    root: &Path,
    part: &str,
    stems: &[String],
    rate: u32,
    options: &DataOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    let part = Part { root, name: part, stems, rate, options };
    Songs::open(list(&part)?, &part).map(|songs| Arc::new(songs) as Arc<dyn Dataset>)
}

/// Lists the songs of a part and their files.
///
/// # Errors
/// If the folder does not exist, has no known format or cannot be listed.
pub(crate) fn list(part: &Part<'_>) -> Result<Listing, DataError> {
    let root = part.root;
    if !root.is_dir() {
        let working_directory = if root.is_relative() { std::env::current_dir().ok() } else { None };
        return Err(DataError::NoFolder { folder: root.to_path_buf(), working_directory });
    }
    match FORMATS.iter().find(|format| (format.recognises)(part)) {
        Some(format) => (format.list)(part),
        None => Err(DataError::UnknownFormat {
            folder: root.to_path_buf(),
            part: part.name.into(),
            layouts: FORMATS.iter().map(|format| format.layout).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing;

    #[test]
    fn a_folder_of_no_known_format_is_refused_with_those_that_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let open = |root: &Path| open_dataset(root, "train", &testing::stems(), 8000).err().unwrap();
        assert!(matches!(open(&dir.path().join("nowhere")), DataError::NoFolder { .. }));
        let error = open(dir.path());
        assert!(matches!(error, DataError::UnknownFormat { .. }));
        assert!(FORMATS.iter().all(|format| error.to_string().contains(format.layout)), "{error}");
    }
}
