//! The storage type of activations.

use burn::tensor::DType;
use serde::{Deserialize, Serialize};

/// Storage type of activations: of a network's tokens, or of the arrays that a kernel reads and writes. Parameters,
/// and sums in every kernel, are f32 regardless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats: half the memory. The device must support them (`shader-f16`), and training must scale its loss,
    /// because small gradients underflow otherwise.
    F16,
}

impl Precision {
    /// The corresponding type of burn.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
        }
    }
}
