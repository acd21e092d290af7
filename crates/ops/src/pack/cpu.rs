//! Packing on the CPU.

use super::layout::{PACK_ALIGNMENT, packed_length};

/// The first `lengths` elements of each part, each padded with zeros.
pub(crate) fn pack(parts: &[&[f32]], lengths: &[usize]) -> Vec<f32> {
    let mut packed = Vec::with_capacity(packed_length(lengths));
    for (part, &length) in parts.iter().zip(lengths) {
        packed.extend_from_slice(&part[..length]);
        packed.resize(packed.len().next_multiple_of(PACK_ALIGNMENT), 0.0);
    }
    packed
}
