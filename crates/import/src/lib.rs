//! Reads models of other programs: PyTorch checkpoints of BS-RoFormer and Mel-Band RoFormer, with their YAML files.
//!
//! A checkpoint is untrusted. Its pickle is read as data, and nothing in it is executed. The tensors are read from the
//! file one at a time, and no number from the file decides an allocation before it was compared with the file's length.
//!
//! [`Checkpoint`] reads a file and finds its tensors. [`Settings`] reads the configuration. [`Recognised`] compares
//! both, and gives the parameters under the names and in the shapes of this program.

mod archive;
mod checkpoint;
mod dtype;
mod error;
mod fit;
mod layout;
mod legacy;
mod lora;
mod pickle;
mod recognise;
mod roformer;
mod settings;
mod source;
mod tensor;
mod yaml;

pub use checkpoint::{Checkpoint, Format};
pub use dtype::Dtype;
pub use error::ImportError;
pub use recognise::{Recognised, plain_name};
pub use roformer::{Kind, Parameter, Roformer};
pub use settings::Settings;
pub use source::Input;
pub use tensor::Tensor;
