//! What the known functions would build.

use std::io::Read;
use std::rc::Rc;

use crate::dtype::Dtype;
use crate::error::{ImportError, damaged};

use super::machine::{Machine, odd};
use super::value::{Global, Id, Storage, Value, View};

/// Maximum number of axes of a tensor.
const MAX_AXES: usize = 8;

/// Maximum number of entries that one call may copy from its arguments. Larger copies could multiply the memory.
const MAX_COPIED: usize = 16;

impl<R: Read> Machine<R> {
    /// The result of a function or class.
    pub(super) fn call(&mut self, callable: Id, arguments: Id) -> Result<(), ImportError> {
        let Value::Global(global) = self.value(callable) else {
            let value = match self.value(callable) {
                Value::Opaque(global) => Value::Opaque(global.clone()),
                _ => odd("object"),
            };
            return self.push(value);
        };
        let global = global.clone();
        let none = Vec::new();
        let arguments = match self.value(arguments) {
            Value::Tuple(items) => items.iter().take(MAX_COPIED).copied().collect(),
            _ => none,
        };
        let value = match (&*global.module, &*global.name) {
            ("collections", "OrderedDict") if arguments.is_empty() => Value::Dict(Vec::new()),
            ("collections", "defaultdict") => Value::Dict(Vec::new()),
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => self.tensor(&global, &arguments)?,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                self.first(&arguments)
            }
            ("torch._tensor", "_rebuild_from_type_v2") => return self.subclass(&arguments),
            ("torch", "Size") => self.first(&arguments),
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Value::Number,
            _ => Value::Opaque(global),
        };
        self.push(value)
    }

    /// The first argument itself: wrappers that add nothing to a value that is needed.
    fn first(&self, arguments: &[Id]) -> Value {
        match arguments.first().map(|id| self.value(*id)) {
            Some(Value::Tensor(view)) => Value::Tensor(Rc::clone(view)),
            Some(Value::Tuple(items)) if items.len() <= MAX_COPIED => Value::Tuple(items.clone()),
            Some(Value::Opaque(global)) => Value::Opaque(global.clone()),
            _ => odd("object"),
        }
    }

    /// A tensor of a subclass, which PyTorch rebuilds with a function and its arguments.
    fn subclass(&mut self, arguments: &[Id]) -> Result<(), ImportError> {
        match arguments[..] {
            [function, class, inner, ..] => match (self.value(function), self.value(class)) {
                // The function must not be this one again, or a pickle could recurse.
                (Value::Global(function_name), _) if &*function_name.module == "torch._utils" => {
                    self.call(function, inner)
                }
                (_, Value::Global(class)) => {
                    let value = Value::Opaque(class.clone());
                    self.push(value)
                }
                _ => self.push(odd("object")),
            },
            _ => self.push(odd("object")),
        }
    }

    /// `(storage, offset, shape, strides, …)`.
    fn tensor(&self, function: &Global, arguments: &[Id]) -> Result<Value, ImportError> {
        let [storage, offset, shape, strides, ..] = arguments[..] else {
            return damaged(format!("{function} lacks arguments"));
        };
        let Value::Storage(storage) = self.value(storage) else {
            // A storage of a type that is not known, which is only a fault if the tensor is needed.
            return Ok(match self.value(storage) {
                Value::Opaque(global) => Value::Opaque(global.clone()),
                _ => odd("tensor without a storage"),
            });
        };
        let offset = self.natural(offset, "the offset of a tensor")?;
        let (shape, strides) = (self.naturals(shape)?, self.naturals(strides)?);
        if shape.len() != strides.len() {
            return damaged(format!("a tensor has {} axes and {} strides", shape.len(), strides.len()));
        }
        Ok(Value::Tensor(Rc::new(View { storage: Rc::clone(storage), offset, shape, strides })))
    }

    fn natural(&self, id: Id, what: &str) -> Result<u64, ImportError> {
        match self.value(id) {
            Value::Int(number) if *number >= 0 => Ok(*number as u64),
            Value::Int(number) => damaged(format!("{what} is {number}")),
            other => damaged(format!("{what} is {}", other.kind())),
        }
    }

    fn naturals(&self, id: Id) -> Result<Vec<u64>, ImportError> {
        match self.value(id) {
            Value::Tuple(items) if items.len() <= MAX_AXES => {
                items.iter().map(|item| self.natural(*item, "a size or stride of a tensor")).collect()
            }
            other => damaged(format!("the shape of a tensor is {}", other.kind())),
        }
    }

    /// `('storage', class, key, device, elements)`, and in the format before PyTorch 1.6 the view of another storage.
    pub(super) fn storage(&mut self, key: Id) -> Result<Value, ImportError> {
        let Value::Tuple(parts) = self.value(key) else { return Ok(odd("persistent object")) };
        let ([tag, class, name, _device, length] | [tag, class, name, _device, length, _]) = parts[..] else {
            return Ok(odd("persistent object"));
        };
        if !matches!(self.value(tag), Value::Text(tag) if &**tag == "storage") {
            return Ok(odd("persistent object"));
        }
        let Value::Global(class) = self.value(class) else { return damaged("a storage has no class") };
        let dtype = (class.module.split('.').next() == Some("torch"))
            .then(|| Dtype::of_storage(&class.name))
            .flatten();
        let Some(dtype) = dtype else { return Ok(Value::Opaque(class.clone())) };
        let key = match self.value(name) {
            Value::Text(key) => Rc::clone(key),
            Value::Int(key) => key.to_string().into(),
            other => return damaged(format!("the key of a storage is {}", other.kind())),
        };
        let length = self.natural(length, "the length of a storage")?;
        let (key, start) = match parts.get(5).map(|view| self.value(*view)) {
            Some(Value::Tuple(view)) => match view[..] {
                // The storage of the elements has its own key and type. The length is that of the view.
                [_, start, _] => (key, self.natural(start, "the start of a storage")?),
                _ => return damaged("a storage has a view of an unknown kind"),
            },
            _ => (key, 0),
        };
        Ok(Value::Storage(Rc::new(Storage { key, dtype, length, start })))
    }
}
