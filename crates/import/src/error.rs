//! The reasons why a checkpoint cannot be imported.

use std::fmt::{self, Display};
use std::io;

/// The reason why a checkpoint or its configuration cannot be imported. The message states facts only.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be opened or read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file is of another kind.
    #[error("not a PyTorch checkpoint: {0}")]
    OtherFile(String),
    /// The file contradicts itself or ends early.
    #[error("the checkpoint is damaged: {0}")]
    Damaged(String),
    /// The checkpoint is larger than this reader allows.
    #[error("the checkpoint has {0}")]
    Limit(String),
    /// A kind of checkpoint that is not read.
    #[error("{0}")]
    Unsupported(String),
    /// There is a Python object where the tensors should be.
    #[error("the checkpoint holds a Python object of {class}{place}, not tensors by name")]
    Object {
        /// The object's class or function, such as `os.system`.
        class: String,
        /// The object's place, such as ` at "state_dict"`. Empty for the whole file.
        place: String,
    },
    /// There are no tensors by name.
    #[error("the checkpoint holds no tensors by name; it holds {0}")]
    NoTensors(String),
    /// The file has LoRA matrices that cannot be merged.
    #[error("the LoRA weights cannot be merged: {0}")]
    Lora(String),
    /// The YAML file cannot be parsed, or a value has the wrong type.
    #[error("the configuration cannot be read: {0}")]
    Yaml(String),
    /// The configuration asks for something, or lacks something.
    #[error("the configuration {0}")]
    Setting(String),
    /// The network is of no family that this program has.
    #[error("{0}")]
    OtherNetwork(String),
    /// Configuration and tensors contradict each other.
    #[error("the configuration contradicts the tensors:{}", listed(.0))]
    Contradictions(Vec<String>),
    /// Tensors are missing, unexpected, or of the wrong shape.
    #[error("the tensors do not fit the network:{}", listed(.0))]
    Tensors(Vec<String>),
    /// A value is NaN, infinite, or too large for the precision.
    #[error("tensor {name} holds a value that {fault}")]
    Value {
        /// The tensor's name in the checkpoint.
        name: String,
        /// What is wrong with it.
        fault: &'static str,
    },
}

/// Lines of a list. A long list ends with the number of the other lines.
fn listed(lines: &[String]) -> impl Display {
    struct Listed<'a>(&'a [String]);
    impl Display for Listed<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            const MOST: usize = 200;
            for line in self.0.iter().take(MOST) {
                write!(f, "\n  {line}")?;
            }
            match self.0.len().saturating_sub(MOST) {
                0 => Ok(()),
                more => write!(f, "\n  and {more} more"),
            }
        }
    }
    Listed(lines)
}

pub(crate) fn damaged<T>(reason: impl Into<String>) -> Result<T, ImportError> {
    Err(ImportError::Damaged(reason.into()))
}
