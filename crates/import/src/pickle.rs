//! Reads Python's pickle format as data.
//!
//! A pickle is a program for a stack machine, and Python runs whatever functions it names. This machine runs none. It
//! knows what a few functions of PyTorch, numpy and the standard library would build (`build.rs`), and builds it as a
//! [`Value`]. The result of any other function is [`Value::Opaque`], and its arguments are forgotten.
//!
//! Values lie in one table and refer to each other by index, so nested or cyclic values need no recursion. The memory
//! is linear in the bytes of the pickle, which are bounded.

mod build;
mod input;
mod machine;
mod value;

pub(crate) use machine::{Pickled, load};
pub(crate) use value::{Id, Value, View};

#[cfg(test)]
pub(crate) use value::Storage;
