//! Where a checkpoint keeps the tensors of its network.
//!
//! Training programs put the tensors by name into a dict, and the dict into other dicts with the optimiser, the epoch
//! and more. A moving average of the weights is a second such dict, or a prefix of the names.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use crate::error::ImportError;
use crate::pickle::{Id, Pickled, Value, View};

/// Keys of a dict of averaged weights.
const AVERAGES: [&str; 6] =
    ["ema_state_dict", "model_ema_state_dict", "state_dict_ema", "ema_model", "model_ema", "ema"];

/// Keys of a dict of weights.
const PLAIN: [&str; 12] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "state",
    "best_state",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "generator",
];

/// Maximum number of dicts within each other.
const MAX_DEPTH: usize = 5;

/// What stands where a tensor could be.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Tensor(Rc<View>),
    /// The class of a Python object.
    Object(String),
}

/// The dict of tensors.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The keys from the whole to the dict.
    pub(crate) place: Vec<String>,
    pub(crate) items: BTreeMap<String, Item>,
    /// Keys beside the dict, which hold something else, in the order of the file.
    pub(crate) others: Vec<String>,
}

/// Finds the dict of tensors. With `average`, averaged weights are preferred.
///
/// # Errors
/// [`ImportError`] that says what the checkpoint holds instead.
pub(crate) fn find(pickled: &Pickled, average: bool) -> Result<Found, ImportError> {
    let mut found = Found::default();
    let mut seen = HashSet::new();
    match search(pickled, pickled.root, average, &mut found, &mut seen, 0) {
        true => Ok(found),
        false => Err(nothing(pickled)),
    }
}

fn search(
    pickled: &Pickled,
    at: Id,
    average: bool,
    found: &mut Found,
    seen: &mut HashSet<Id>,
    depth: usize,
) -> bool {
    let Value::Dict(entries) = pickled.value(at) else { return false };
    // A dict can contain itself, or another one many times.
    if depth == MAX_DEPTH || !seen.insert(at) {
        return false;
    }
    let by_key: BTreeMap<&str, Id> =
        entries.iter().filter_map(|(key, value)| Some((pickled.text(*key)?, *value))).collect();
    let keys = if average { AVERAGES.iter().chain(&PLAIN) } else { PLAIN.iter().chain(&AVERAGES) };
    for key in keys {
        let Some(inner) = by_key.get(key) else { continue };
        found.place.push((*key).to_owned());
        if search(pickled, *inner, average, found, seen, depth + 1) {
            let mut others: Vec<_> = in_order(pickled, entries).filter(|other| other != key).collect();
            others.append(&mut found.others);
            found.others = others;
            return true;
        }
        found.place.pop();
    }
    let items = by_key.iter().filter_map(|(name, value)| Some(((*name).to_owned(), item(pickled, *value)?)));
    let items: BTreeMap<_, _> = items.collect();
    if !items.values().any(|item| matches!(item, Item::Tensor(_))) {
        return false;
    }
    found.others = in_order(pickled, entries).filter(|key| !items.contains_key(key)).collect();
    found.items = items;
    true
}

fn in_order<'a>(pickled: &'a Pickled, entries: &'a [(Id, Id)]) -> impl Iterator<Item = String> + 'a {
    entries.iter().filter_map(|(key, _)| Some(pickled.text(*key)?.to_owned()))
}

fn item(pickled: &Pickled, value: Id) -> Option<Item> {
    match pickled.value(value) {
        Value::Tensor(view) => Some(Item::Tensor(Rc::clone(view))),
        Value::Opaque(global) | Value::Global(global) => Some(Item::Object(global.to_string())),
        _ => None,
    }
}

/// Why there is no dict of tensors.
fn nothing(pickled: &Pickled) -> ImportError {
    let object = |id: Id, place: String| match item(pickled, id) {
        Some(Item::Object(class)) => Some(ImportError::Object { class, place }),
        _ => None,
    };
    if let Some(error) = object(pickled.root, String::new()) {
        return error;
    }
    let Value::Dict(entries) = pickled.value(pickled.root) else {
        return ImportError::NoTensors(pickled.value(pickled.root).kind());
    };
    for (key, value) in entries {
        let Some(key) = pickled.text(*key) else { continue };
        if (PLAIN.contains(&key) || AVERAGES.contains(&key))
            && let Some(error) = object(*value, format!(" at {key:?}"))
        {
            return error;
        }
    }
    let described = |(key, value): &(Id, Id)| {
        Some(format!("{:?} ({})", pickled.text(*key)?, pickled.value(*value).kind()))
    };
    let keys: Vec<_> = entries.iter().filter_map(described).take(20).collect();
    ImportError::NoTensors(if keys.is_empty() { "an empty dict".into() } else { keys.join(", ") })
}

/// The part of the names before those of the network: `module.`, `model.`, `ema_model.` and the like.
///
/// `anchor` is the name of a tensor that the network is known to have. Of several prefixes, that of averaged weights
/// is preferred if `average` is set, and then the shortest one.
pub(crate) fn prefix<'a>(
    names: impl Iterator<Item = &'a str>,
    anchor: &str,
    average: bool,
) -> Option<&'a str> {
    let before = names.filter_map(|name| name.strip_suffix(anchor));
    let prefixes = before.filter(|prefix| prefix.is_empty() || prefix.ends_with('.'));
    prefixes.min_by_key(|prefix| (is_average(prefix) != average, prefix.len()))
}

/// Whether names with this prefix, or the dict under this key, are averaged weights.
pub(crate) fn is_average(place: &str) -> bool {
    place.split(['.', '_']).any(|part| part == "ema")
}

#[cfg(test)]
mod tests {
    use super::prefix;

    #[test]
    fn the_prefix_of_the_network_is_found() {
        let of = |names: &[&'static str], average| prefix(names.iter().copied(), "a.b", average);
        assert_eq!(of(&["a.b", "a.c"], true), Some(""));
        assert_eq!(of(&["module.model.a.b"], true), Some("module.model."));
        assert_eq!(of(&["model.a.b", "ema_model.a.b"], true), Some("ema_model."));
        assert_eq!(of(&["model.a.b", "ema_model.a.b"], false), Some("model."));
        assert_eq!(of(&["online.a.b", "x.online.a.b"], false), Some("online."));
        assert_eq!(of(&["aa.b", "c"], false), None);
    }
}
