//! Where the parts of a packed vector begin.

/// Every part of a packed vector begins at a multiple of this number of elements. A part is then a view of the vector:
/// WebGPU binds buffers at offsets that are multiples of 256 bytes.
pub const PACK_ALIGNMENT: usize = 64;

/// Parts of one launch. With the result and its sizes they are as many buffers as WebGPU guarantees.
pub(super) const PARTS: usize = 6;

/// The length of a packed vector of parts of these lengths.
pub(super) fn packed_length(lengths: &[usize]) -> usize {
    lengths.iter().map(|length| length.next_multiple_of(PACK_ALIGNMENT)).sum()
}
