//! Values of a pickle.

use std::fmt;
use std::rc::Rc;

use crate::dtype::Dtype;

/// The index of a value in the table of its pickle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id(pub(super) u32);

/// A value of a pickle.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// A number that is not an integer, or one of numpy. No such number describes a tensor.
    Number,
    Text(Rc<str>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    /// The entries of a dict in their order. A later entry replaces an earlier one of the same key.
    Dict(Vec<(Id, Id)>),
    /// The name of a function or class.
    Global(Global),
    Storage(Rc<Storage>),
    Tensor(Rc<View>),
    /// Anything else: a value that is only data to Python code, with the name of what would have made it.
    Opaque(Global),
}

impl Value {
    /// What the value is, for messages.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::None => "None".into(),
            Self::Bool(_) => "a truth value".into(),
            Self::Int(_) | Self::Number => "a number".into(),
            Self::Text(_) => "a text".into(),
            Self::List(items) => format!("a list of {} values", items.len()),
            Self::Tuple(items) => format!("a tuple of {} values", items.len()),
            Self::Dict(entries) => format!("a dict of {} entries", entries.len()),
            Self::Global(global) => format!("the name {global}"),
            Self::Storage(_) => "a storage without a tensor".into(),
            Self::Tensor(_) => "a single tensor without a name".into(),
            Self::Opaque(global) => format!("a Python object of {global}"),
        }
    }
}

/// The name of a function or class, with its module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Global {
    pub(crate) module: Rc<str>,
    pub(crate) name: Rc<str>,
}

impl Global {
    pub(crate) fn new(module: &str, name: &str) -> Self {
        Self { module: module.into(), name: name.into() }
    }
}

impl fmt::Display for Global {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.module.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}.{}", self.module, self.name)
        }
    }
}

/// The elements that tensors view. They lie outside the pickle, under the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Storage {
    pub(crate) key: Rc<str>,
    pub(crate) dtype: Dtype,
    /// Number of stored elements under the key.
    pub(crate) length: u64,
    /// The first element of this storage, counted from the first stored element.
    pub(crate) start: u64,
}

/// A tensor: a view of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) storage: Rc<Storage>,
    /// The first element, counted from the start of the storage.
    pub(crate) offset: u64,
    pub(crate) shape: Vec<u64>,
    /// Elements from one index to the next, for every axis.
    pub(crate) strides: Vec<u64>,
}
