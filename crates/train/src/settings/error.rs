//! The reason why settings cannot be used.

use std::path::PathBuf;

/// The reason why settings cannot be used. Every message names the setting.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the settings {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The text is not TOML, or has an unknown setting or a value of the wrong type.
    #[error("settings{}: {message}", origin.as_ref().map(|p| format!(" {}", p.display())).unwrap_or_default())]
    Parse {
        /// The file, if the text came from one.
        origin: Option<PathBuf>,
        /// The parser's message, with the line and the setting.
        message: String,
    },
    /// Invalid values. The list holds all of them, not only the first.
    #[error("invalid settings:\n  {}", .0.join("\n  "))]
    Invalid(Vec<String>),
    /// `model` is neither a known network nor a usable network file.
    #[error("model = \"{model}\": {message}")]
    Model {
        /// The value of the setting.
        model: String,
        /// The problem.
        message: String,
    },
}
