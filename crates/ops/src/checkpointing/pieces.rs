//! An operation that applies another function to each part of the plane.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Tensor;

use crate::pack::contiguous;

/// A function from a plane to a plane with the parameters of a module `M`.
pub type PlaneFn<M> = Arc<dyn Fn(&M, Tensor<4>) -> Tensor<4> + Send + Sync>;

/// A part of a plane: a range on every axis.
pub type PlanePart = [Range<usize>; 4];

/// A function from a part of the input to a part of the output of an operation.
pub struct Piece<M> {
    pub(super) input: PlanePart,
    pub(super) output: PlanePart,
    pub(super) function: PlaneFn<M>,
}

impl<M> Piece<M> {
    /// `function` maps the part `input` of the input to the part `output` of the output, whose shape its result has.
    pub fn new(
        input: PlanePart,
        output: PlanePart,
        function: impl Fn(&M, Tensor<4>) -> Tensor<4> + Send + Sync + 'static,
    ) -> Self {
        Self { input, output, function: Arc::new(function) }
    }
}

/// The pieces of an operation.
pub(super) struct Pieces<M> {
    /// Shape of the output.
    pub(super) shape: [usize; 4],
    pub(super) pieces: Vec<Piece<M>>,
}

impl<M> Pieces<M> {
    /// Applies the pieces one after the other. The output is 0 where no piece writes.
    pub(super) fn apply(&self, module: &M, x: &Tensor<4>) -> Tensor<4> {
        let mut y: Option<Tensor<4>> = None;
        for Piece { input, output, function } in &self.pieces {
            let part = function(module, part_of(x, input));
            let whole = y.take().unwrap_or_else(|| {
                let device = if part.is_autodiff() { x.device() } else { part.device() };
                Tensor::zeros(self.shape, (&device, part.dtype()))
            });
            y = Some(whole.slice_assign(output.clone(), part));
        }
        y.expect("an operation has at least one piece")
    }
}

/// A part of a plane. It is copied once if it has gaps. Without the copy, every operation on it would copy it.
pub(super) fn part_of(x: &Tensor<4>, part: &PlanePart) -> Tensor<4> {
    let slice = x.clone().slice(part.clone());
    if slice.is_autodiff() { slice } else { contiguous(slice) }
}
