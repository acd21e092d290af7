//! The configuration of a training program: a YAML file with the sections `audio`, `model`, `training` and `inference`.

use std::path::Path;

use serde_json::Value;

use crate::error::ImportError;
use crate::yaml;

/// A configuration. A setting is named by its section and its key, such as `model.dim`.
#[derive(Debug, Clone)]
pub struct Settings {
    root: Value,
}

impl Settings {
    /// Reads a YAML file.
    ///
    /// # Errors
    /// [`ImportError::Io`], or [`ImportError::Yaml`] if it is not a map of sections.
    pub fn load(path: &Path) -> Result<Self, ImportError> {
        if std::fs::metadata(path)?.len() > yaml::MAX_BYTES as u64 {
            return Err(ImportError::Yaml("it is too large for a configuration".into()));
        }
        let bytes = std::fs::read(path)?;
        let text = String::from_utf8(bytes).map_err(|_| ImportError::Yaml("it is not text".into()))?;
        Self::parse(&text)
    }

    /// Parses YAML.
    ///
    /// # Errors
    /// [`ImportError::Yaml`] if it is not a map of sections.
    pub fn parse(text: &str) -> Result<Self, ImportError> {
        match yaml::parse(text.trim_start_matches('\u{feff}'))? {
            root @ Value::Object(_) => Ok(Self { root }),
            _ => Err(ImportError::Yaml("it is not a map of sections".into())),
        }
    }

    /// The value of a setting. `None`: it is missing or null.
    fn get(&self, name: &str) -> Option<&Value> {
        name.split('.').try_fold(&self.root, |at, key| at.get(key)).filter(|value| !value.is_null())
    }

    /// Whether the setting is there and not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether the setting is a list or map with entries.
    pub(crate) fn has_entries(&self, name: &str) -> bool {
        match self.get(name) {
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(entries)) => !entries.is_empty(),
            _ => false,
        }
    }

    fn typed<'a, T>(
        &'a self,
        name: &str,
        expected: &str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ImportError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => {
                let shown: String = value.to_string().chars().take(80).collect();
                Err(ImportError::Yaml(format!("`{name}` is {shown}, not {expected}")))
            }
        }
    }

    /// An integer of at least 0.
    pub(crate) fn natural(&self, name: &str) -> Result<Option<usize>, ImportError> {
        self.typed(name, "an integer of at least 0", natural)
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<f64>, ImportError> {
        self.typed(name, "a number", Value::as_f64)
    }

    /// A truth value.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, ImportError> {
        self.typed(name, "true or false", Value::as_bool)
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, ImportError> {
        self.typed(name, "a text", Value::as_str)
    }

    /// A list of integers of at least 0.
    pub(crate) fn naturals(&self, name: &str) -> Result<Option<Vec<usize>>, ImportError> {
        self.typed(name, "a list of integers", |value| value.as_array()?.iter().map(natural).collect())
    }

    /// A list of truth values.
    pub(crate) fn flags(&self, name: &str) -> Result<Option<Vec<bool>>, ImportError> {
        self.typed(name, "a list of true and false", |value| {
            value.as_array()?.iter().map(Value::as_bool).collect()
        })
    }

    /// A list of texts. YAML reads some names as numbers or truth values.
    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, ImportError> {
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        };
        self.typed(name, "a list of names", |value| value.as_array()?.iter().map(text).collect())
    }
}

/// An integer of at least 0, which YAML files also write as `2.0`.
fn natural(value: &Value) -> Option<usize> {
    let number = value.as_f64().filter(|number| *number >= 0.0 && *number < 1e15 && number.fract() == 0.0);
    number.map(|number| number as usize)
}
