//! The flag `--name`: how the files are named.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

/// The path of a stem below the folder of all stems, without its extension.
#[derive(Debug, Clone)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Song,
    Stem,
    Folder,
    Model,
}

/// What a template's variables stand for.
pub(super) struct Values<'a> {
    pub(super) song: &'a OsStr,
    pub(super) stem: &'a str,
    pub(super) folder: &'a OsStr,
    pub(super) model: &'a str,
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Windows' separator and drive letters are refused everywhere, so that a template means the same everywhere.
        if text.contains(['\\', ':', '\0']) {
            return Err("the characters \\ and : are not allowed".into());
        }
        if text.split('/').any(|part| ["", ".", ".."].contains(&part)) {
            return Err("it must be a relative path without `.` and `..`".into());
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (variable, after) = after.split_once('}').ok_or("a { has no }")?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(match variable {
                "song" => Piece::Song,
                "stem" => Piece::Stem,
                "folder" => Piece::Folder,
                "model" => Piece::Model,
                _ => {
                    return Err(format!(
                        "unknown variable {{{variable}}}; there are {{song}}, {{stem}}, {{folder}} and {{model}}"
                    ));
                }
            });
            rest = after;
        }
        if rest.contains('}') {
            return Err("a } has no {".into());
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }
}

impl Template {
    /// Whether different songs get different paths.
    pub(super) fn has_song(&self) -> bool {
        self.0.contains(&Piece::Song)
    }

    /// Whether different stems get different paths.
    pub(super) fn has_stem(&self) -> bool {
        self.0.contains(&Piece::Stem)
    }

    /// The path of a stem. `None` if a name such as `..` would lead out of its folder.
    pub(super) fn path(&self, values: &Values<'_>, extension: &str) -> Option<PathBuf> {
        let mut path = OsString::new();
        for piece in &self.0 {
            path.push(match piece {
                Piece::Text(text) => OsStr::new(text),
                Piece::Song => values.song,
                Piece::Stem => OsStr::new(values.stem),
                Piece::Folder => values.folder,
                Piece::Model => OsStr::new(values.model),
            });
        }
        path.push(".");
        path.push(extension);
        let path = Path::new(&path);
        let normal = path.components().all(|part| matches!(part, Component::Normal(_)));
        normal.then(|| path.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(template: &str, song: &str) -> Option<PathBuf> {
        let values = Values { song: song.as_ref(), stem: "bass", folder: "album".as_ref(), model: "net" };
        template.parse::<Template>().expect("a valid template").path(&values, "wav")
    }

    #[test]
    fn the_variables_are_replaced() {
        for (template, expected) in [
            ("{song}/{stem}", "01. Intro/bass.wav"),
            ("{song} ({stem})", "01. Intro (bass).wav"),
            ("{model}/{folder}/{stem}/{song}", "net/album/bass/01. Intro.wav"),
            ("x", "x.wav"),
        ] {
            assert_eq!(path(template, "01. Intro"), Some(expected.into()), "{template}");
        }
    }

    #[test]
    fn a_path_stays_below_its_folder() {
        assert_eq!(path("{song}/{stem}", ".."), None);
        for wrong in ["", "/{stem}", "../{stem}", "a//{stem}", "{stem}/", "./{stem}", "C:{stem}", "a\\{stem}"]
        {
            assert!(wrong.parse::<Template>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn mistakes_are_found() {
        for wrong in ["{stem", "stem}", "{artist}/{stem}", "{}"] {
            assert!(wrong.parse::<Template>().is_err(), "{wrong}");
        }
    }
}
