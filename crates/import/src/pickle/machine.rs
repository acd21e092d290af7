//! The stack machine.

use std::collections::HashMap;
use std::io::Read;
use std::rc::Rc;

use crate::error::{ImportError, damaged};

use super::input::Bytes;
use super::value::{Global, Id, Value};

/// Maximum number of bytes of a pickle. Those of the largest training states have some megabytes.
const MAX_BYTES: u64 = 32 << 20;

/// Maximum number of values. A network of a thousand tensors has about 15 thousand. A value takes at most some
/// hundred bytes.
const MAX_VALUES: usize = 1 << 20;

/// What a pickle holds.
#[derive(Debug)]
pub(crate) struct Pickled {
    values: Vec<Value>,
    /// The whole.
    pub(crate) root: Id,
    /// Bytes of the pickle.
    pub(crate) length: u64,
}

impl Pickled {
    pub(crate) fn value(&self, id: Id) -> &Value {
        &self.values[id.0 as usize]
    }

    /// The text of a value.
    pub(crate) fn text(&self, id: Id) -> Option<&str> {
        match self.value(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// All values, in the order of their creation.
    pub(crate) fn values(&self) -> &[Value] {
        &self.values
    }
}

/// Reads one pickle of at most `limit` bytes.
///
/// # Errors
/// [`ImportError`] if the pickle is damaged or too large.
pub(crate) fn load(reader: impl Read, limit: u64) -> Result<Pickled, ImportError> {
    let mut machine = Machine {
        bytes: Bytes::new(reader, limit.min(MAX_BYTES)),
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let root = machine.run().map_err(|error| match error {
        ImportError::Damaged(_) if limit > MAX_BYTES && machine.bytes.consumed() == MAX_BYTES => {
            ImportError::Limit(format!("a pickle of more than {} MiB", MAX_BYTES >> 20))
        }
        ImportError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImportError::Damaged("its pickle ends early".into())
        }
        error => error,
    })?;
    Ok(Pickled { length: machine.bytes.consumed(), values: machine.values, root })
}

pub(super) struct Machine<R> {
    bytes: Bytes<R>,
    pub(super) values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at the marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<R: Read> Machine<R> {
    fn run(&mut self) -> Result<Id, ImportError> {
        loop {
            let at = self.bytes.consumed();
            let opcode = self.bytes.byte()?;
            if opcode == b'.' {
                return self.pop();
            }
            match opcode {
                b'N' | b'I' | b'J' | b'K' | b'M' | b'L' | b'F' | b'G' | 0x88..=0x8b => self.number(opcode)?,
                b'S' | b'T' | b'U' | b'V' | b'X' | b'B' | b'C' | 0x8c..=0x8e | 0x96 => self.text(opcode)?,
                b'}' | b']' | b')' | b't' | b'l' | b'd' | 0x85..=0x87 | 0x8f | 0x91 => {
                    self.collection(opcode)?;
                }
                b'a' | b'e' | b's' | b'u' | 0x90 => self.fill(opcode)?,
                b'p' | b'q' | b'r' | b'g' | b'h' | b'j' | 0x94 => self.remember(opcode)?,
                b'c' | b'R' | b'b' | b'i' | b'o' | b'P' | b'Q' | 0x81 | 0x92 | 0x93 => self.object(opcode)?,
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_mark()?),
                b'2' => {
                    let top = self.top()?;
                    self.stack.push(top);
                }
                0x80 => {
                    let protocol = self.bytes.byte()?;
                    if protocol > 5 {
                        return damaged(format!("its pickle has the protocol {protocol}; Python has 0 to 5"));
                    }
                }
                // The length of a frame only helps readers that read ahead.
                0x95 => drop(self.bytes.u64()?),
                _ => {
                    return damaged(format!(
                        "its pickle has the unknown operation {opcode:#04x} at byte {at}"
                    ));
                }
            }
        }
    }

    pub(super) fn push(&mut self, value: Value) -> Result<(), ImportError> {
        let id = self.add(value)?;
        self.stack.push(id);
        Ok(())
    }

    fn add(&mut self, value: Value) -> Result<Id, ImportError> {
        if self.values.len() == MAX_VALUES {
            return Err(ImportError::Limit(format!("a pickle of more than {MAX_VALUES} values")));
        }
        self.values.push(value);
        Ok(Id(self.values.len() as u32 - 1))
    }

    pub(super) fn pop(&mut self) -> Result<Id, ImportError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// The last value. Values before the last mark belong to another group.
    fn top(&mut self) -> Result<Id, ImportError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(id) if self.stack.len() > floor => Ok(*id),
            _ => damaged("its pickle takes a value that it did not make"),
        }
    }

    /// The values since the last mark.
    pub(super) fn pop_mark(&mut self) -> Result<Vec<Id>, ImportError> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => damaged("its pickle ends a group that it did not begin"),
        }
    }

    pub(super) fn value(&self, id: Id) -> &Value {
        &self.values[id.0 as usize]
    }

    fn number(&mut self, opcode: u8) -> Result<(), ImportError> {
        let value = match opcode {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.bytes.array()?))),
            b'K' => Value::Int(i64::from(self.bytes.byte()?)),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(self.bytes.array()?))),
            b'G' => {
                self.bytes.array::<8>()?;
                Value::Number
            }
            0x8a => {
                let length = u64::from(self.bytes.byte()?);
                self.long(length)?
            }
            0x8b => {
                let length = u64::from(self.bytes.u32()?);
                self.long(length)?
            }
            _ => {
                let line = self.bytes.line()?;
                match (opcode, &*line) {
                    (b'I', "00") => Value::Bool(false),
                    (b'I', "01") => Value::Bool(true),
                    (b'F', _) => Value::Number,
                    (_, text) => {
                        text.trim().trim_end_matches('L').parse().map_or_else(|_| odd("number"), Value::Int)
                    }
                }
            }
        };
        self.push(value)
    }

    /// An integer of `length` bytes, in two's complement.
    fn long(&mut self, length: u64) -> Result<Value, ImportError> {
        let Some(bytes) = self.bytes.kept(length)?.filter(|bytes| bytes.len() <= 8) else {
            return Ok(odd("large number"));
        };
        let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
        let mut whole = [sign; 8];
        whole[..bytes.len()].copy_from_slice(&bytes);
        Ok(Value::Int(i64::from_le_bytes(whole)))
    }

    fn text(&mut self, opcode: u8) -> Result<(), ImportError> {
        let length = match opcode {
            b'S' | b'V' => {
                let line = self.bytes.line()?;
                // Python 2 wrote quotes around the text.
                let bare = line.trim_matches(['\'', '"']);
                let text = if opcode == b'S' { bare.into() } else { line };
                return self.push(Value::Text(text));
            }
            b'U' | b'C' | 0x8c => u64::from(self.bytes.byte()?),
            b'T' | b'X' | b'B' => u64::from(self.bytes.u32()?),
            _ => self.bytes.u64()?,
        };
        let value = match (opcode, self.bytes.kept(length)?) {
            (b'C' | b'B' | 0x8e | 0x96, _) => odd("bytes"),
            (_, Some(bytes)) => Value::Text(String::from_utf8_lossy(&bytes).into()),
            (_, None) => odd("long text"),
        };
        self.push(value)
    }

    fn collection(&mut self, opcode: u8) -> Result<(), ImportError> {
        let value = match opcode {
            b'}' => Value::Dict(Vec::new()),
            b']' => Value::List(Vec::new()),
            b')' => Value::Tuple(Vec::new()),
            0x8f => Value::List(Vec::new()),
            b't' => Value::Tuple(self.pop_mark()?),
            b'l' | 0x91 => Value::List(self.pop_mark()?),
            b'd' => Value::Dict(pairs(&self.pop_mark()?)?),
            _ => {
                let mut items = (0..opcode - 0x84).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
                items.reverse();
                Value::Tuple(items)
            }
        };
        self.push(value)
    }

    /// Adds values to the list or dict below them. What is added to another object is forgotten.
    fn fill(&mut self, opcode: u8) -> Result<(), ImportError> {
        let items = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_mark()?,
        };
        let target = self.top()?;
        let keyed = matches!(opcode, b's' | b'u');
        match (&mut self.values[target.0 as usize], keyed) {
            (Value::List(list), false) => list.extend(items),
            (Value::Dict(entries), true) => entries.extend(pairs(&items)?),
            (Value::Opaque(_), _) => {}
            (other, _) => return damaged(format!("its pickle adds values to {}", other.kind())),
        }
        Ok(())
    }

    fn remember(&mut self, opcode: u8) -> Result<(), ImportError> {
        let key = match opcode {
            b'q' | b'h' => u32::from(self.bytes.byte()?),
            b'r' | b'j' => self.bytes.u32()?,
            0x94 => self.memo.len() as u32,
            _ => match self.bytes.line()?.trim().parse() {
                Ok(key) => key,
                Err(_) => return damaged("its pickle has a key that is not a number"),
            },
        };
        if matches!(opcode, b'g' | b'h' | b'j') {
            let Some(id) = self.memo.get(&key) else {
                return damaged(format!("its pickle takes value {key}, which it did not keep"));
            };
            self.stack.push(*id);
        } else {
            let top = self.top()?;
            self.memo.insert(key, top);
        }
        Ok(())
    }

    fn object(&mut self, opcode: u8) -> Result<(), ImportError> {
        match opcode {
            b'c' => {
                let (module, name) = (self.bytes.line()?, self.bytes.line()?);
                self.push(Value::Global(Global { module, name }))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (self.value(module), self.value(name)) else {
                    return damaged("its pickle names a class by something that is not text");
                };
                let global = Global { module: Rc::clone(module), name: Rc::clone(name) };
                self.push(Value::Global(global))
            }
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.call(callable, arguments)
            }
            0x92 => {
                let (_, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(class, arguments)
            }
            b'b' => {
                // The state of an object: hooks and version numbers of modules, or the fields of unknown classes.
                let (_state, object) = (self.pop()?, self.top()?);
                match self.value(object) {
                    Value::Opaque(_) | Value::Dict(_) | Value::Tensor(_) => Ok(()),
                    other => damaged(format!("its pickle sets the state of {}", other.kind())),
                }
            }
            b'i' => {
                let (module, name) = (self.bytes.line()?, self.bytes.line()?);
                self.pop_mark()?;
                self.push(Value::Opaque(Global { module, name }))
            }
            b'o' => {
                let items = self.pop_mark()?;
                let value = match items.first().map(|class| self.value(*class)) {
                    Some(Value::Global(global)) => Value::Opaque(global.clone()),
                    _ => odd("object"),
                };
                self.push(value)
            }
            b'P' => {
                let line = self.bytes.line()?;
                self.push(Value::Opaque(Global { module: "persistent id".into(), name: line }))
            }
            _ => {
                let key = self.pop()?;
                let storage = self.storage(key)?;
                self.push(storage)
            }
        }
    }
}

/// A value without a class that is not needed.
pub(super) fn odd(what: &str) -> Value {
    Value::Opaque(Global::new("", what))
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, ImportError> {
    if !items.len().is_multiple_of(2) {
        return damaged("its pickle has a dict with a key without a value");
    }
    Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}
