//! The options of an attention.

use std::num::NonZeroUsize;

use super::layout::Sequences;

/// The options of an attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attention {
    /// How the plane is divided into sequences.
    pub sequences: Sequences,
    /// Number of heads. It divides the number of channels.
    pub heads: usize,
    /// Whether queries and keys have rotary positions. These require an even head width and exclude windows.
    pub rotary: bool,
    /// Sequences per dispatch, a bound on the work of one dispatch. `None` leaves the choice to the operation. The
    /// result is the same for every value, bit for bit.
    pub chunk: Option<NonZeroUsize>,
}

/// The largest head width of the kernels: its tiles fill WebGPU's 16 KiB of workgroup memory.
pub const MAX_HEAD_WIDTH: usize = 128;

impl Attention {
    /// Shape of the relative-position bias table, `[h, (2·size_t − 1)(2·size_f − 1)]`; `None` except for windows.
    pub fn bias_shape(&self) -> Option<[usize; 2]> {
        match self.sequences {
            Sequences::Window { size: [t, f], .. } => Some([self.heads, (2 * t - 1) * (2 * f - 1)]),
            Sequences::Time | Sequences::Frequency => None,
        }
    }

    /// # Panics
    /// If the options contradict each other, the channels of qkv, or the shape of the bias table.
    pub(super) fn assert_fits(&self, channels: usize, bias: Option<[usize; 2]>) {
        assert_eq!(
            channels % (3 * self.heads),
            0,
            "{channels} channels of qkv do not divide into {} heads",
            self.heads
        );
        let width = channels / (3 * self.heads);
        assert!(
            (1..=MAX_HEAD_WIDTH).contains(&width),
            "head width {width} is not in the range 1 to {MAX_HEAD_WIDTH}"
        );
        if let Sequences::Window { size, shift } = self.sequences {
            assert!(
                size.iter().all(|&s| s > 0) && shift[0] < size[0] && shift[1] < size[1],
                "the shift exceeds the window"
            );
            assert!(!self.rotary, "windows take a relative-position bias, not rotary positions");
        }
        assert!(
            !self.rotary || width.is_multiple_of(2),
            "rotary positions need an even head width, not {width}"
        );
        if bias.is_some() {
            assert_eq!(bias, self.bias_shape(), "wrong shape of the relative-position bias table");
        }
    }
}
