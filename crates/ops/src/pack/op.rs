//! The public function of packing.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::burn::PackOps;
use super::layout::PARTS;

/// Concatenates `parts` (f32, not tracked by autodiff). Every part begins at a multiple of
/// [`PACK_ALIGNMENT`](super::PACK_ALIGNMENT) elements, and the gaps are 0. The length of the result is a multiple too.
///
/// # Panics
/// If there is no part.
pub fn pack(mut parts: Vec<Tensor<1>>) -> Tensor<1> {
    assert!(!parts.is_empty(), "a vector has parts");
    loop {
        parts = groups(parts).into_iter().map(pack_group).collect();
        if parts.len() == 1 {
            return parts.remove(0);
        }
    }
}

/// Moves the parts into groups of [`PARTS`], in order.
fn groups(parts: Vec<Tensor<1>>) -> Vec<Vec<Tensor<1>>> {
    let mut parts = parts.into_iter();
    let next = || {
        let group: Vec<_> = parts.by_ref().take(PARTS).collect();
        (!group.is_empty()).then_some(group)
    };
    std::iter::from_fn(next).collect()
}

fn pack_group(mut group: Vec<Tensor<1>>) -> Tensor<1> {
    let device = group[0].device();
    let mut lengths = [0; PARTS];
    for (length, part) in lengths.iter_mut().zip(&group) {
        [*length] = part.dims();
    }
    // A buffer cannot be empty, so a missing part is an element that is not read.
    group.resize_with(PARTS, || Tensor::zeros([1], &device));
    let [a, b, c, d, e, f] =
        <[_; PARTS]>::try_from(group).expect("as many as a group has").map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::pack_six(a, b, c, d, e, f, lengths))
}
