//! Attention over sequences laid on the time-frequency plane.
//!
//! One attention, three ways to lay sequences ([`Sequences`]); the map from a sequence and a position in it to a
//! token is index arithmetic, so no transposed, rolled or partitioned copy of the plane is ever made, and the
//! scores of a whole sequence never exist at once outside registers and caches.

pub(crate) mod cpu;
pub(crate) mod gpu;
mod layout;
mod rows;
mod scratch;

use std::num::NonZeroUsize;

use burn::backend::Dispatch;
use burn::tensor::{DType, FloatDType, Tensor};

pub use gpu::{AttentionKernel, Pass};
pub(crate) use layout::{Layout, Plane};

use crate::backend::SeparationOps;

/// How sequences are laid over the time-frequency plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sequences {
    /// One sequence per bin, running over the frames (TSA).
    Time,
    /// One sequence per frame, running over the bins (FSA).
    Frequency,
    /// Windows that tile the plane after it was rolled back by `shift`, as in the Swin Transformer. Tokens that
    /// the roll brought together from opposite edges do not attend to each other; where the plane ends within a
    /// window, the rest of the window does not exist.
    Window {
        /// Frames and bins of a window.
        size: [usize; 2],
        /// Frames and bins of the cyclic shift; each less than the window's.
        shift: [usize; 2],
    },
}

/// What an attention does, besides its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attention {
    /// How the plane is cut into sequences.
    pub sequences: Sequences,
    /// Number of heads; divides the channels.
    pub heads: usize,
    /// Rotary positions on queries and keys (time and frequency sequences; needs an even head width).
    pub rotary: bool,
    /// Sequences per dispatch: bounds the work of one. `None` leaves it to the operation. The result does not
    /// depend on it, bit for bit.
    pub chunk: Option<NonZeroUsize>,
}

/// The widest head the kernels take: its tiles fill WebGPU's 16 KiB of workgroup memory.
pub const MAX_HEAD_WIDTH: usize = 128;

impl Attention {
    /// Shape of the relative-position bias table, `[h, (2·size_t − 1)(2·size_f − 1)]`; windows only.
    pub fn bias_shape(&self) -> Option<[usize; 2]> {
        match self.sequences {
            Sequences::Window { size: [t, f], .. } => Some([self.heads, (2 * t - 1) * (2 * f - 1)]),
            Sequences::Time | Sequences::Frequency => None,
        }
    }

    fn assert_fits(&self, channels: usize, bias: Option<[usize; 2]>) {
        assert_eq!(
            channels % (3 * self.heads),
            0,
            "{channels} channels of qkv do not divide into {} heads",
            self.heads
        );
        let width = channels / (3 * self.heads);
        assert!(
            (1..=MAX_HEAD_WIDTH).contains(&width),
            "head width {width} is not from 1 to {MAX_HEAD_WIDTH}"
        );
        if let Sequences::Window { size, shift } = self.sequences {
            assert!(
                size.iter().all(|&s| s > 0) && shift[0] < size[0] && shift[1] < size[1],
                "shift exceeds window"
            );
            assert!(!self.rotary, "windows take a relative-position bias, not rotary positions");
        }
        assert!(
            !self.rotary || width.is_multiple_of(2),
            "rotary positions need an even head width, not {width}"
        );
        if bias.is_some() {
            assert_eq!(bias, self.bias_shape(), "not the shape of the relative-position bias table");
        }
    }
}

/// Multi-head attention, `softmax(q kᵀ / √d + bias) v` within every sequence.
///
/// `qkv [b, t, f, 3c]` (f32 or f16) holds queries, keys and values of all heads, channels ordered `[3, h, d]`;
/// `bias` is the relative-position table of [`Attention::bias_shape`], for windows. Returns `[b, t, f, c]`.
/// Differentiable with respect to both. Scores and sums are f32.
///
/// # Panics
/// Where shapes and options contradict each other.
pub fn attention(qkv: Tensor<4>, bias: Option<Tensor<2>>, options: &Attention) -> Tensor<4> {
    let [_, _, _, channels] = qkv.dims();
    options.assert_fits(channels, bias.as_ref().map(Tensor::dims));
    let bias = match bias {
        Some(bias) if bias.dtype() != DType::F32 => bias.cast(FloatDType::F32),
        Some(bias) => bias,
        // No table: windows still take one of zeros, the others a placeholder.
        None => Tensor::zeros(options.bias_shape().unwrap_or([1, 1]), (&qkv.device(), DType::F32)),
    };
    let (output, _log_sum_exp) =
        Dispatch::attention_forward(qkv.into_dispatch(), bias.into_dispatch(), *options);
    Tensor::from_dispatch(output)
}

/// Rotary positions: `(cos, sin)` of `position · 10000^(−2i/d)`, as `[positions, d/2, 2]` (Su et al., RoFormer).
fn rotary_table(positions: usize, head_width: usize) -> Vec<f32> {
    let mut table = Vec::with_capacity(positions * head_width);
    for position in 0..positions {
        for pair in 0..head_width / 2 {
            let frequency = 10_000f64.powf(-2.0 * pair as f64 / head_width as f64);
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            table.extend([cos as f32, sin as f32]);
        }
    }
    table
}
