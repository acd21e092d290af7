//! Finds files below folders.

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// The files that `paths` name, and those below the folders among them whose extension is one of `extensions`. Hidden
/// files are passed over. The order is that of `paths`, and by name within a folder.
pub fn find_files(paths: &[PathBuf], extensions: &[&str]) -> Vec<PathBuf> {
    let wanted = |path: &Path| {
        let own = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        extensions.iter().any(|extension| own.eq_ignore_ascii_case(extension))
    };
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let visible = |entry: &walkdir::DirEntry| {
            entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.')
        };
        let below = WalkDir::new(path).follow_links(true).sort_by_file_name().into_iter();
        let files = below.filter_entry(visible).flatten().filter(|entry| entry.file_type().is_file());
        found.extend(files.map(walkdir::DirEntry::into_path).filter(|path| wanted(path)));
    }
    found
}
