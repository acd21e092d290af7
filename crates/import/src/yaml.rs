//! Reads YAML as data.
//!
//! PyYAML builds Python objects for tags such as `!!python/tuple`. Here tags are ignored: a tuple is a list, and the
//! name of a function is a text.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

use crate::error::ImportError;

/// Maximum number of bytes of a file.
pub(crate) const MAX_BYTES: usize = 1 << 20;

/// Maximum number of values, with those that aliases repeat.
const MAX_VALUES: usize = 100_000;

/// Maximum number of lists and maps within each other.
const MAX_DEPTH: usize = 32;

/// A list or map that has begun.
struct Open {
    anchor: usize,
    value: Value,
    /// The key whose value comes next.
    key: Option<String>,
}

/// The first document of a text.
///
/// # Errors
/// [`ImportError::Yaml`] with the line, if it is not YAML or too large.
pub(crate) fn parse(text: &str) -> Result<Value, ImportError> {
    if text.len() > MAX_BYTES {
        return refused(format!("it has more than {} KiB", MAX_BYTES >> 10));
    }
    let mut anchors = std::collections::HashMap::new();
    let mut open: Vec<Open> = Vec::new();
    let mut count = 0;
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| ImportError::Yaml(error.to_string()))?;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.suffix == "str");
                (anchor, if is_text { Value::String(text.into_owned()) } else { plain(&text) })
            }
            Event::SequenceStart(anchor, _) => {
                open.push(Open { anchor, value: Value::Array(Vec::new()), key: None });
                if open.len() > MAX_DEPTH {
                    return refused(format!("lists and maps lie more than {MAX_DEPTH} deep"));
                }
                continue;
            }
            Event::MappingStart(anchor, _) => {
                open.push(Open { anchor, value: Value::Object(Map::new()), key: None });
                if open.len() > MAX_DEPTH {
                    return refused(format!("lists and maps lie more than {MAX_DEPTH} deep"));
                }
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(closed) = open.pop() else { return refused("it ends what did not begin".into()) };
                (closed.anchor, closed.value)
            }
            Event::Alias(anchor) => match anchors.get(&anchor) {
                Some(value) => (0, Value::clone(value)),
                None => return refused("an alias stands within its own anchor".into()),
            },
            _ => continue,
        };
        count += size(&value);
        if count > MAX_VALUES {
            return refused(format!("it has more than {MAX_VALUES} values"));
        }
        if anchor > 0 {
            anchors.insert(anchor, value.clone());
        }
        let Some(parent) = open.last_mut() else { return Ok(value) };
        match (&mut parent.value, parent.key.take()) {
            (Value::Array(items), _) => items.push(value),
            (Value::Object(entries), Some(key)) => drop(entries.insert(key, value)),
            (_, None) => parent.key = Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
            _ => {}
        }
    }
    refused("it is empty".into())
}

fn refused<T>(reason: String) -> Result<T, ImportError> {
    Err(ImportError::Yaml(reason))
}

/// Number of values in a value.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(entries) => 1 + entries.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

/// A scalar without quotes. The truth values are those of YAML 1.1, as PyYAML reads them.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    let digits = text.replace('_', "");
    if let Ok(number) = digits.parse::<i64>() {
        return Value::Number(number.into());
    }
    let is_number = digits.bytes().any(|c| c.is_ascii_digit())
        && digits.bytes().all(|c| c.is_ascii_digit() || b"+-.eE".contains(&c));
    let number = if is_number { digits.parse().ok().and_then(Number::from_f64) } else { None };
    number.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}
