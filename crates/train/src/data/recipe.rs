//! The text that asks for songs that are made: `SCHEME:FOLDER?KEY=VALUE&KEY=VALUE`.

use std::fmt;
use std::path::{Path, PathBuf};

/// Keys whose values are paths.
const PATHS: [&str; 2] = ["soundfont", "takes"];

/// How songs are made. A path holds neither `?` nor `&`, and does not end in `*` and a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The kind of songs, for example `synth`.
    pub scheme: String,
    /// The folder or file after the colon. `None` if there is none.
    pub path: Option<PathBuf>,
    /// Keys and values in the given order. A key may occur several times.
    pub options: Vec<(String, String)>,
}

impl Recipe {
    /// Reads a text. `None` if it is the path of a folder: it has no colon, or not two or more lower-case letters before
    /// it. A folder that looks like a recipe can be written with `./` before it.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        if scheme.len() < 2 || !scheme.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return None;
        }
        let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
        let option = |option: &str| {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            (key.to_owned(), value.to_owned())
        };
        Some(Self {
            scheme: scheme.to_owned(),
            path: (!path.is_empty()).then(|| path.into()),
            options: options.split('&').filter(|option| !option.is_empty()).map(option).collect(),
        })
    }

    /// The values of a key.
    pub fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.options.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// The number that a key has. `None` without the key.
    ///
    /// # Errors
    /// A sentence if the value is no number of at least 0.
    pub fn number(&self, key: &str) -> Result<Option<f64>, Box<dyn std::error::Error + Send + Sync>> {
        let Some(value) = self.values(key).last() else { return Ok(None) };
        let number = value.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
        number
            .map(Some)
            .ok_or_else(|| format!("{key} must be a number of at least 0, not \"{value}\"").into())
    }

    /// The first key that is not one of `known`.
    pub fn unknown(&self, known: &[&str]) -> Option<&str> {
        self.options.iter().map(|(key, _)| key.as_str()).find(|key| !known.contains(key))
    }

    /// The recipe without some keys.
    pub(crate) fn without(&self, keys: &[&str]) -> Self {
        let mut rest = self.clone();
        rest.options.retain(|(key, _)| !keys.contains(&key.as_str()));
        rest
    }

    /// The same recipe with other paths.
    pub(crate) fn map_paths(&self, change: impl Fn(&PathBuf) -> PathBuf) -> Self {
        let mut changed = self.clone();
        changed.path = self.path.as_ref().map(&change);
        for (_, value) in changed.options.iter_mut().filter(|(key, _)| PATHS.contains(&key.as_str())) {
            if let Some(text) = change(&PathBuf::from(value.as_str())).to_str() {
                text.clone_into(value);
            }
        }
        changed
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.as_deref().unwrap_or(Path::new("")).display();
        write!(f, "{}:{path}", self.scheme)?;
        for (index, (key, value)) in self.options.iter().enumerate() {
            let before = if index == 0 { '?' } else { '&' };
            write!(f, "{before}{key}{}{value}", if value.is_empty() { "" } else { "=" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_texts_and_folders_are_not() {
        for text in
            ["synth:", "midi:songs/a b?soundfont=x.sf2&soundfont=y.sf3&seconds=30", "synth:?excerpts=4"]
        {
            assert_eq!(Recipe::parse(text).unwrap().to_string(), text);
        }
        for text in ["songs", "C:\\songs", "d:/x", "./synth:", "/a:b", "Synth:", ""] {
            assert_eq!(Recipe::parse(text), None, "{text}");
        }
        let recipe = Recipe::parse("midi:a?soundfont=x&takes=/v&soundfont=y&seconds=30").unwrap();
        assert_eq!(recipe.values("soundfont").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!((recipe.number("seconds").unwrap(), recipe.number("rate").unwrap()), (Some(30.0), None));
        assert!(recipe.number("takes").unwrap_err().to_string().contains("\"/v\""));
        assert_eq!(recipe.unknown(&["soundfont", "takes"]), Some("seconds"));
        let absolute = recipe.map_paths(|path| Path::new("/w").join(path));
        assert_eq!(absolute.to_string(), "midi:/w/a?soundfont=/w/x&takes=/v&soundfont=/w/y&seconds=30");
        assert_eq!(recipe.without(&["soundfont", "takes"]).to_string(), "midi:a?seconds=30");
    }
}
