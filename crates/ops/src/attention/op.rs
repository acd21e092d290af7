//! The public function of attention.

use burn::backend::Dispatch;
use burn::tensor::{DType, FloatDType, Tensor};

use super::burn::AttentionOps;
use super::options::Attention;

/// Multi-head attention within every sequence: `softmax(q kᵀ / √d + bias) v`.
///
/// `qkv [b, t, f, 3c]` (f32 or f16) holds queries, keys and values of all heads. Its channels are ordered `[3, h, d]`.
/// `bias` is the relative-position table of windows, in the shape of [`Attention::bias_shape`]. Returns `[b, t, f, c]`.
/// Differentiable with respect to both tensors. Scores and sums are f32.
///
/// # Panics
/// If shapes and options contradict each other.
pub fn attention(qkv: Tensor<4>, bias: Option<Tensor<2>>, options: &Attention) -> Tensor<4> {
    let [_, _, _, channels] = qkv.dims();
    options.assert_fits(channels, bias.as_ref().map(Tensor::dims));
    let bias = match bias {
        Some(bias) if bias.dtype() != DType::F32 => bias.cast(FloatDType::F32),
        Some(bias) => bias,
        // Without a table, windows need a table of zeros. The other kinds need a placeholder that is not read.
        None => {
            let device = (&qkv.device(), DType::F32);
            options
                .bias_shape()
                .map_or_else(|| Tensor::empty([1, 1], device), |shape| Tensor::zeros(shape, device))
        }
    };
    let (output, _log_sum_exp) =
        Dispatch::attention_forward(qkv.into_dispatch(), bias.into_dispatch(), *options);
    Tensor::from_dispatch(output)
}
