//! One setting of a run: its name, flag, type, bounds and meaning.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::path::PathBuf;

use toml::Value;
use unbraid_model::{Precision, Recompute};

use crate::data::roots::Roots;

/// The description of one setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The key in TOML, which is also the field of `TrainConfig`.
    pub name: &'static str,
    /// The heading under which help and documentation list the setting.
    pub group: &'static str,
    /// The meaning, as full sentences.
    pub help: &'static str,
    /// The type of the value.
    pub kind: Kind,
    /// The bounds of every number in the value.
    pub bounds: Bounds,
    /// The name with hyphens. This is also the flag, unless `flag` differs.
    pub kebab_name: &'static str,
    /// The flag without its leading hyphens.
    pub flag: &'static str,
    /// The placeholder of the value in help texts.
    pub value_name: &'static str,
    /// For a setting without a usable default: the value to give, with an example.
    pub required: Option<&'static str>,
    /// Whether a resumed run may have another value.
    pub may_change_on_resume: bool,
    /// Whether the setting changes the memory of a step.
    pub affects_memory: bool,
}

/// The type of a setting's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number.
    Number,
    /// An integer.
    Integer,
    /// An integer that counts bytes.
    Bytes,
    /// A text.
    Text,
    /// The path of a file or a folder.
    Path,
    /// One of these names.
    Choice(&'static [&'static str]),
    /// Two numbers.
    Pair,
    /// Any number of integers.
    Integers,
    /// Any number of texts without a comma.
    Texts,
    /// Names, each with a number.
    Weights,
    /// One path or several, each with an optional weight.
    Paths,
    /// Names, each with another name.
    Names,
}

/// The lowest and the highest allowed number.
pub type Bounds = (Bound<f64>, Bound<f64>);

/// Every finite number.
pub const UNBOUNDED: Bounds = (Bound::Unbounded, Bound::Unbounded);

/// From `least` to `most`, both included.
pub const fn between(least: f64, most: f64) -> Bounds {
    (Bound::Included(least), Bound::Included(most))
}

/// `least` or more.
pub const fn at_least(least: f64) -> Bounds {
    (Bound::Included(least), Bound::Unbounded)
}

/// More than `least`.
pub const fn above(least: f64) -> Bounds {
    (Bound::Excluded(least), Bound::Unbounded)
}

/// From `least` (included) to `most` (excluded).
pub const fn from_below(least: f64, most: f64) -> Bounds {
    (Bound::Included(least), Bound::Excluded(most))
}

/// From `least` (excluded) to `most` (included).
pub const fn above_to(least: f64, most: f64) -> Bounds {
    (Bound::Excluded(least), Bound::Included(most))
}

/// Between `least` and `most`, both excluded.
pub const fn within(least: f64, most: f64) -> Bounds {
    (Bound::Excluded(least), Bound::Excluded(most))
}

/// The probabilities.
pub const PROBABILITY: Bounds = between(0.0, 1.0);

/// The bounds in words, after "must be"; `None` if there are none.
fn bounds_text(bounds: Bounds) -> Option<String> {
    Some(match bounds {
        (Bound::Unbounded, Bound::Unbounded) => return None,
        (Bound::Included(least), Bound::Included(most)) => format!("from {least} to {most}"),
        (Bound::Included(least), Bound::Excluded(most)) => format!("from {least} to below {most}"),
        (Bound::Excluded(least), Bound::Included(most)) => format!("above {least} and at most {most}"),
        (Bound::Excluded(least), Bound::Excluded(most)) => format!("above {least} and below {most}"),
        (Bound::Included(least), Bound::Unbounded) => format!("at least {least}"),
        (Bound::Excluded(least), Bound::Unbounded) => format!("above {least}"),
        (Bound::Unbounded, Bound::Included(most)) => format!("at most {most}"),
        (Bound::Unbounded, Bound::Excluded(most)) => format!("below {most}"),
    })
}

impl Setting {
    /// A setting with the usual properties of its kind. It may not change on resume.
    pub const fn new(
        name: &'static str,
        kebab_name: &'static str,
        group: &'static str,
        help: &'static str,
        kind: Kind,
    ) -> Self {
        let counts = matches!(kind, Kind::Integer | Kind::Integers);
        Self {
            name,
            group,
            help,
            kind,
            bounds: if counts { at_least(0.0) } else { UNBOUNDED },
            kebab_name,
            flag: kebab_name,
            value_name: kind.value_name(),
            required: None,
            may_change_on_resume: false,
            affects_memory: false,
        }
    }

    /// Reads the text of a flag.
    ///
    /// # Errors
    /// A sentence without a subject that describes the accepted values.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let value = self.kind.parse(text).filter(|value| self.allows(value));
        value.ok_or_else(|| format!("must be {}{}", self.accepted(), self.kind.syntax()))
    }

    /// Whether every number in `value` is finite and within the bounds.
    pub fn allows(&self, value: &Value) -> bool {
        let within = |number: f64| number.is_finite() && self.bounds.contains(&number);
        match value {
            Value::Integer(number) => within(*number as f64),
            Value::Float(number) => within(*number),
            Value::Array(values) => values.iter().all(|value| self.allows(value)),
            Value::Table(values) => values.values().all(|value| self.allows(value)),
            _ => true,
        }
    }

    /// The accepted values in words, after "must be".
    pub fn accepted(&self) -> String {
        let kind = self.kind.words();
        match bounds_text(self.bounds) {
            Some(bounds) if self.kind.has_many() => format!("{kind}, each {bounds}"),
            Some(bounds) if bounds.starts_with("at ") => format!("{kind} of {bounds}"),
            Some(bounds) => format!("{kind} {bounds}"),
            None => kind,
        }
    }

    /// The first sentence of the meaning, without its full stop.
    pub fn summary(&self) -> &'static str {
        self.help.split_once(". ").map_or(self.help.trim_end_matches('.'), |(summary, _)| summary)
    }

    /// The bounds in words; `None` if there are none.
    pub fn bounds_text(&self) -> Option<String> {
        bounds_text(self.bounds)
    }
}

impl Kind {
    const fn value_name(self) -> &'static str {
        match self {
            Self::Number => "NUMBER",
            Self::Integer => "N",
            Self::Bytes => "SIZE",
            Self::Text => "TEXT",
            Self::Path => "PATH",
            Self::Choice(_) => "NAME",
            Self::Pair => "NUMBER,NUMBER",
            Self::Integers => "N,…",
            Self::Texts => "TEXT,…",
            Self::Weights => "NAME=WEIGHT,…",
            Self::Paths => "PATH",
            Self::Names => "NAME=NAME,…",
        }
    }

    /// The type in words, with its article.
    pub fn words(self) -> String {
        match self {
            Self::Number => "a number".into(),
            Self::Integer => "an integer".into(),
            Self::Bytes => "a number of bytes".into(),
            Self::Text => "a text".into(),
            Self::Path => "a path".into(),
            Self::Choice(names) => names.join(" or "),
            Self::Pair => "two numbers".into(),
            Self::Integers => "a list of integers".into(),
            Self::Texts => "a list of texts".into(),
            Self::Weights => "names with weights".into(),
            Self::Paths => "a path or a list of paths".into(),
            Self::Names => "names with names".into(),
        }
    }

    /// The spelling of a value of this kind in a flag, if it is not obvious.
    fn syntax(self) -> &'static str {
        match self {
            Self::Bytes => ", for example 8GB, 7.5GiB or 800MB",
            Self::Pair => ", with a comma between them",
            Self::Integers | Self::Texts => ", with commas between them",
            Self::Weights => ", for example waveform=1,spectral=0.5",
            Self::Names => ", for example guitar=other,singer=vocals",
            _ => "",
        }
    }

    /// Whether the flag may be given several times, for a list of values.
    pub fn repeats(self) -> bool {
        matches!(self, Self::Paths | Self::Texts)
    }

    fn has_many(self) -> bool {
        matches!(self, Self::Pair | Self::Integers | Self::Texts | Self::Weights)
    }

    fn parse(self, text: &str) -> Option<Value> {
        // A path may begin or end with a space.
        let verbatim = matches!(self, Self::Text | Self::Path | Self::Paths);
        let text = if verbatim { text } else { text.trim() };
        let number = |text: &str| text.trim().parse().ok().map(Value::Float);
        let integer = |text: &str| text.trim().parse().ok().map(Value::Integer);
        let piece = |text: &str| Some(text.trim()).filter(|text| !text.is_empty()).map(Value::from);
        let list = |of: &dyn Fn(&str) -> Option<Value>| text.split(',').map(of).collect::<Option<Vec<_>>>();
        match self {
            Self::Number => number(text),
            Self::Integer => integer(text),
            Self::Bytes => parse_bytes(text).and_then(|bytes| i64::try_from(bytes).ok()).map(Value::Integer),
            Self::Text | Self::Path | Self::Paths => Some(Value::String(text.into())),
            Self::Names => {
                let mut names = toml::Table::new();
                for text in text.split(',').filter(|text| !text.is_empty()) {
                    let (name, other) = text.split_once('=')?;
                    names.insert(name.trim().to_owned(), Value::String(other.trim().to_owned()));
                }
                Some(Value::Table(names))
            }
            Self::Choice(names) => names.contains(&text).then(|| Value::String(text.into())),
            Self::Pair => list(&number).filter(|values| values.len() == 2).map(Value::Array),
            Self::Integers => list(&integer).map(Value::Array),
            Self::Texts if text.is_empty() => Some(Value::Array(Vec::new())),
            Self::Texts => list(&piece).map(Value::Array),
            Self::Weights => {
                let weight = |text: &str| {
                    let (name, weight) = text.split_once('=')?;
                    Some((name.trim().to_owned(), number(weight)?))
                };
                let mut weights = toml::Table::new();
                if text.is_empty() {
                    return Some(Value::Table(weights));
                }
                for text in text.split(',') {
                    let (name, weight) = weight(text)?;
                    if weights.insert(name, weight).is_some() {
                        return None;
                    }
                }
                Some(Value::Table(weights))
            }
        }
    }
}

/// The text of a flag that [`Setting::parse`] reads as `value`.
pub fn flag_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Float(number) => number_text(*number),
        Value::Array(values) => values.iter().map(flag_text).collect::<Vec<_>>().join(","),
        Value::Table(values) => {
            let pairs = values.iter().map(|(name, value)| format!("{name}={}", flag_text(value)));
            pairs.collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    }
}

/// The text of a value in messages, similar to TOML.
pub fn value_text(value: &Value) -> String {
    match value {
        Value::Float(number) => number_text(*number),
        Value::Array(values) => format!("[{}]", values.iter().map(value_text).collect::<Vec<_>>().join(", ")),
        Value::Table(values) => {
            let pairs = values.iter().map(|(name, value)| format!("{name} = {}", value_text(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// The shortest text of a number. A number that came from an `f32` is written as that `f32`.
fn number_text(number: f64) -> String {
    let single = number as f32;
    let small = number != 0.0 && number.abs() < 1e-3;
    match (f64::from(single).to_bits() == number.to_bits(), small) {
        (true, false) => single.to_string(),
        (true, true) => format!("{single:e}"),
        (false, false) => number.to_string(),
        (false, true) => format!("{number:e}"),
    }
}

/// A number of bytes, for example 8GB, 7.5GiB, 800MB or 1000000.
pub fn parse_bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 6] =
        [("GiB", 1_073_741_824.0), ("MiB", 1_048_576.0), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0)];
    let (number, unit) =
        UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).unwrap_or((text, 1.0));
    let number = number.trim().parse::<f64>().ok()?;
    (number.is_finite() && number > 0.0).then_some((number * unit) as u64)
}

/// `name` with hyphens instead of underscores, at compile time.
pub const fn kebab<const N: usize>(name: &str) -> [u8; N] {
    let (mut bytes, mut i) = ([0; N], 0);
    while i < N {
        bytes[i] = if name.as_bytes()[i] == b'_' { b'-' } else { name.as_bytes()[i] };
        i += 1;
    }
    bytes
}

/// A field type of the settings. It determines the [`Kind`].
pub trait SettingType {
    /// The kind of its values.
    const KIND: Kind;
}

macro_rules! kinds {
    ($($type:ty: $kind:expr;)+) => { $(impl SettingType for $type { const KIND: Kind = $kind; })+ };
}

kinds! {
    f32: Kind::Number;
    f64: Kind::Number;
    u64: Kind::Integer;
    usize: Kind::Integer;
    String: Kind::Text;
    PathBuf: Kind::Path;
    [f32; 2]: Kind::Pair;
    [f64; 2]: Kind::Pair;
    Vec<usize>: Kind::Integers;
    Vec<String>: Kind::Texts;
    BTreeMap<String, f64>: Kind::Weights;
    BTreeMap<String, String>: Kind::Names;
    Roots: Kind::Paths;
    Precision: Kind::Choice(&["f32", "f16"]);
    Recompute: Kind::Choice(&["none", "sublayer", "block"]);
}

impl<T: SettingType> SettingType for Option<T> {
    const KIND: Kind = T::KIND;
}

#[cfg(test)]
mod tests;
