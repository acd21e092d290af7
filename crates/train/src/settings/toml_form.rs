//! The TOML form of the settings.

use std::path::Path;

use toml::{Table, Value};
use unbraid_model::plain_words;

use crate::settings::config::{SETTINGS, TrainConfig};
use crate::settings::error::ConfigError;
use crate::settings::setting::Kind;

impl TrainConfig {
    /// Reads TOML. It does not validate, so that flags can still replace values.
    ///
    /// # Errors
    /// [`ConfigError::Parse`].
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Self::parse(text, None)
    }

    /// Reads a TOML file. It does not validate.
    ///
    /// # Errors
    /// [`ConfigError::Read`] and [`ConfigError::Parse`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
        Self::parse(&text, Some(path))
    }

    fn parse(text: &str, origin: Option<&Path>) -> Result<Self, ConfigError> {
        // The text itself is parsed where possible, because the errors of a table do not name the line.
        let parsed = upgraded(text).map_or_else(|| toml::from_str(text), Table::try_into);
        parsed.map_err(|error| ConfigError::Parse {
            origin: origin.map(Path::to_path_buf),
            message: plain_words(error.to_string().trim_end()),
        })
    }

    /// The settings as a TOML table. An optional setting that is not set is absent.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] for a value that TOML cannot hold: a path that is not UTF-8, or an integer above
    /// `i64::MAX`.
    pub fn to_table(&self) -> Result<Table, ConfigError> {
        let (mut table, mut problems) = (Table::new(), Vec::new());
        for (setting, value) in SETTINGS.iter().zip(self.value_results()) {
            match value {
                Ok(Some(value)) => drop(table.insert(setting.name.into(), value)),
                Ok(None) => {}
                Err(_) if matches!(setting.kind, Kind::Path | Kind::Paths) => {
                    problems.push(format!("{}: the path is not UTF-8", setting.name));
                }
                Err(error) => problems.push(format!("{}: {error}", setting.name)),
            }
        }
        if problems.is_empty() { Ok(table) } else { Err(ConfigError::Invalid(problems)) }
    }

    /// The settings with some values replaced.
    ///
    /// # Errors
    /// [`ConfigError::Parse`] for an unknown setting or a value of the wrong type.
    pub fn with_values(&self, values: Table) -> Result<Self, ConfigError> {
        let mut table = self.to_table()?;
        table.extend(values);
        table.try_into().map_err(|error: toml::de::Error| ConfigError::Parse {
            origin: None,
            message: plain_words(&error.to_string()),
        })
    }

    /// The TOML form, with every setting written out.
    ///
    /// # Panics
    /// If a value is one that TOML cannot hold. [`TrainConfig::validate`] refuses those.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("validated settings have a TOML form")
    }
}

/// Settings of an earlier version, in which `loss_waveform` and `loss_spectral` took the place of the table `loss`.
/// `None` for settings of this version.
fn upgraded(text: &str) -> Option<Table> {
    let mut table: Table = toml::from_str(text).ok()?;
    let names = ["waveform", "spectral"].map(|name| (name, format!("loss_{name}")));
    if table.contains_key("loss") || !names.iter().any(|(_, old)| table.contains_key(old)) {
        return None;
    }
    let weights = names.map(|(name, old)| (name.to_owned(), table.remove(&old).unwrap_or(Value::Float(1.0))));
    table.insert("loss".into(), Value::Table(weights.into_iter().collect()));
    Some(table)
}
