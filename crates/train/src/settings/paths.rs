//! The paths among the settings of a run.

use crate::settings::config::TrainConfig;
use std::path::{Path, PathBuf, absolute};

impl TrainConfig {
    /// Whether `model` names a file and not a standard network.
    pub(crate) fn model_is_file(&self) -> bool {
        self.model.ends_with(".toml")
    }

    /// The same settings with absolute paths. A relative path starts from the working directory, for settings from a
    /// file too. A path stays as it is if its absolute form is not UTF-8, which TOML cannot hold.
    #[must_use]
    pub fn with_absolute_paths(&self) -> Self {
        let whole = |path: &Path| absolute(path).ok().filter(|path| path.to_str().is_some());
        let folder = |path: &PathBuf| whole(path).unwrap_or_else(|| path.clone());
        let model = if self.model_is_file() { whole(self.model.as_ref()) } else { None };
        Self {
            run: folder(&self.run),
            data: self.data.map(folder),
            init: self.init.as_ref().map(folder),
            model: model
                .and_then(|path| path.to_str().map(str::to_owned))
                .unwrap_or_else(|| self.model.clone()),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_start_from_the_working_directory() {
        let here = std::env::current_dir().unwrap();
        let config = TrainConfig {
            run: "runs/x".into(),
            data: here.join("songs").into(),
            model: "nets/micro.toml".into(),
            init: Some("first.safetensors".into()),
            ..Default::default()
        };
        let whole = config.with_absolute_paths();
        assert_eq!((&whole.run, &whole.data), (&here.join("runs/x"), &config.data));
        assert_eq!(Path::new(&whole.model), here.join("nets/micro.toml"));
        assert_eq!(whole.init, Some(here.join("first.safetensors")));
        assert_eq!(whole.with_absolute_paths(), whole);
        // The name of a standard network and a missing path stay.
        let named = TrainConfig { model: "tfswa_unet".into(), ..Default::default() };
        assert_eq!(named.with_absolute_paths(), named);
    }
}
