//! Arrays of the CPU path: tensors of the Flex backend as slices, and outputs.

use std::borrow::Cow;

use burn::tensor::{DType, Shape, TensorData};
use burn_flex::FlexTensor;
use half::f16;

use super::poison::poisoned;

/// The buffer of a CPU output, which its operation overwrites.
pub(crate) fn cpu_output(len: usize) -> Vec<f32> {
    vec![if poisoned() { f32::NAN } else { 0.0 }; len]
}

/// The values of a contiguous Flex tensor as f32: borrowed from an f32 tensor, converted from an f16 tensor.
pub(crate) fn floats(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    match tensor.dtype() {
        DType::F32 => Cow::Borrowed(tensor.as_slice::<f32>().expect("contiguous")),
        DType::F16 => {
            Cow::Owned(tensor.as_slice::<f16>().expect("contiguous").iter().map(|x| x.to_f32()).collect())
        }
        other => panic!("unbraid-ops takes f32 or f16, not {other:?}"),
    }
}

/// A Flex tensor of `values`, stored as `dtype` (f32 or f16).
pub(crate) fn flex_tensor(values: Vec<f32>, shape: Shape, dtype: DType) -> FlexTensor {
    let data = TensorData::new(values, shape);
    FlexTensor::from_data(if dtype == DType::F16 { data.convert_dtype(DType::F16) } else { data })
}
