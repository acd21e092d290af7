//! Gradient checkpointing: the forward pass keeps only the input of a module, and the backward pass recomputes the
//! rest.
//!
//! A module is a chain of operations on planes `[b, t, f, c]`. An operation can be applied to the chunks of a plane one
//! after the other. The forward pass keeps the input of the chain. The backward pass first recomputes the input of
//! every operation. It then processes the operations, last first, chunk by chunk: forward with a separate autodiff
//! graph, then backward. So the intermediate results of an operation exist for one chunk at a time, and the planes
//! between operations for one chain at a time. Each part of an operation can also have another function (see
//! [`Piece`]).

mod gradients;
mod pieces;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::NoCheckpointing};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Cube, DispatchKindConversion, DispatchTensor, Flex, TensorMetadata};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};

use gradients::{GradientSums, PackedSum, ParameterGradients, Tracked, parameter_gradients};
use pieces::{Pieces, part_of};

pub use pieces::{Piece, PlaneFn, PlanePart};

/// An operation of a checkpointed chain: a function and the chunks it is applied to, or pieces.
pub struct CheckpointedOp<M>(Parts<M>);

enum Parts<M> {
    Chunks {
        function: PlaneFn<M>,
        /// The function to differentiate in the backward pass. Its output is not used.
        for_gradients: PlaneFn<M>,
        /// An axis and the chunks along it; `None` for the whole plane at once.
        chunks: Option<(usize, Vec<Range<usize>>)>,
    },
    Pieces(Arc<Pieces<M>>),
}

impl<M> CheckpointedOp<M> {
    /// `function` applied to the whole plane at once.
    pub fn whole(function: impl Fn(&M, Tensor<4>) -> Tensor<4> + Send + Sync + 'static) -> Self {
        Self::over(None, function)
    }

    fn over(
        chunks: Option<(usize, Vec<Range<usize>>)>,
        function: impl Fn(&M, Tensor<4>) -> Tensor<4> + Send + Sync + 'static,
    ) -> Self {
        let function: PlaneFn<M> = Arc::new(function);
        Self(Parts::Chunks { for_gradients: function.clone(), function, chunks })
    }

    /// `function` applied to consecutive chunks along `axis`. Its result for a chunk must be the corresponding part of
    /// its result for the plane, with the same extent along `axis`.
    ///
    /// # Panics
    /// If the chunks are not consecutive, starting at 0.
    pub fn chunked(
        axis: usize,
        chunks: Vec<Range<usize>>,
        function: impl Fn(&M, Tensor<4>) -> Tensor<4> + Send + Sync + 'static,
    ) -> Self {
        let mut end = 0;
        for chunk in &chunks {
            assert!(chunk.start == end && chunk.end > end, "{chunks:?} are not consecutive");
            end = chunk.end;
        }
        // A single chunk is the whole plane, which needs no copy.
        Self::over((chunks.len() > 1).then_some((axis, chunks)), function)
    }

    /// Every piece applied to its part of the input. The output has this `shape`, and is 0 where no piece writes. The
    /// outputs of pieces must not overlap, but their inputs may. All pieces give the same type.
    ///
    /// # Panics
    /// If there is no piece.
    pub fn pieces(shape: [usize; 4], pieces: Vec<Piece<M>>) -> Self {
        assert!(!pieces.is_empty(), "an operation has at least one piece");
        Self(Parts::Pieces(Arc::new(Pieces { shape, pieces })))
    }

    /// Sets the function that the backward pass differentiates if only gradients are needed. It must have the
    /// gradients of the operation's function, and its output may be undefined, as that of `linear_for_gradients` is.
    ///
    /// # Panics
    /// If the operation consists of pieces.
    #[must_use]
    pub fn for_gradients(
        self,
        function: impl Fn(&M, Tensor<4>) -> Tensor<4> + Send + Sync + 'static,
    ) -> Self {
        let Parts::Chunks { function: forward, chunks, .. } = self.0 else {
            panic!("each piece has its function")
        };
        Self(Parts::Chunks { function: forward, for_gradients: Arc::new(function), chunks })
    }

    /// Applies the operation chunk by chunk or piece by piece. Under autodiff every part is in the graph.
    pub fn apply(&self, module: &M, x: Tensor<4>) -> Tensor<4> {
        let (function, axis, chunks) = match &self.0 {
            Parts::Chunks { function, chunks: None, .. } => return function(module, x),
            Parts::Chunks { function, chunks: Some((axis, chunks)), .. } => (function, axis, chunks),
            Parts::Pieces(pieces) => return pieces.apply(module, &x),
        };
        let mut y: Option<Tensor<4>> = None;
        for chunk in chunks {
            let part = function(module, part_of(&x, &ranges(x.dims(), *axis, chunk)));
            // Each chunk is assigned to its place in the plane. A concatenation would need twice the memory.
            let whole = y.take().unwrap_or_else(|| {
                let mut dims = part.dims();
                dims[*axis] = x.dims()[*axis];
                let device = if part.is_autodiff() { x.device() } else { part.device() };
                Tensor::empty(dims, (&device, part.dtype()))
            });
            y = Some(whole.slice_assign(ranges(part.dims(), *axis, chunk), part));
        }
        y.expect("an operation has at least one chunk")
    }
}

impl<M> Clone for CheckpointedOp<M> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Parts::Chunks { function, for_gradients, chunks } => Parts::Chunks {
                function: function.clone(),
                for_gradients: for_gradients.clone(),
                chunks: chunks.clone(),
            },
            Parts::Pieces(pieces) => Parts::Pieces(pieces.clone()),
        })
    }
}

impl<M> fmt::Debug for CheckpointedOp<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("CheckpointedOp");
        match &self.0 {
            Parts::Chunks { chunks, .. } => shown.field("chunks", chunks),
            Parts::Pieces(pieces) => shown.field("pieces", &pieces.pieces.len()),
        };
        shown.finish_non_exhaustive()
    }
}

/// The ranges of a chunk on all axes of a plane.
fn ranges(dims: [usize; 4], axis: usize, chunk: &Range<usize>) -> PlanePart {
    let mut ranges = dims.map(|extent| 0..extent);
    ranges[axis] = chunk.clone();
    ranges
}

/// Applies a chain of operations to `x [b, t, f, c]` with gradient checkpointing: only `x` is kept for the backward
/// pass. The gradients equal those of the operations applied one after the other, up to rounding.
///
/// Without autodiff the operations are simply applied. The parameters are found by visiting `module`. A parameter with
/// gradients must be a leaf of the graph, as the parameters of a module are. Calls can be nested.
///
/// # Panics
/// If a parameter is not a leaf, or if the device's autodiff uses burn's checkpointing.
pub fn checkpointed<M: Module + 'static>(module: &M, x: Tensor<4>, chain: &[CheckpointedOp<M>]) -> Tensor<4> {
    if !x.is_autodiff() {
        return apply_chain(module, x, chain);
    }
    if x.device().inner() == Device::flex() {
        checkpointed_on::<Flex, M>(module, x, chain)
    } else {
        checkpointed_on::<Cube, M>(module, x, chain)
    }
}

fn apply_chain<M>(module: &M, x: Tensor<4>, chain: &[CheckpointedOp<M>]) -> Tensor<4> {
    chain.iter().fold(x, |x, op| op.apply(module, x))
}

fn checkpointed_on<B: Backend, M: Module + 'static>(
    module: &M,
    x: Tensor<4>,
    chain: &[CheckpointedOp<M>],
) -> Tensor<4>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Tracked<B>>,
{
    let mut leaves = Leaves::<B>(Vec::new(), std::marker::PhantomData);
    module.visit(&mut leaves);
    // If only the parameters need gradients, the operation must still be part of the graph.
    let x = if x.is_tracked() || leaves.0.iter().all(Option::is_none) { x } else { x.require_grad() };
    let x = x.try_into_primitive::<Tracked<B>>().expect("the device's backend, without burn's checkpointing");
    let step = CheckpointedBackward::<M>(std::marker::PhantomData)
        .prepare::<NoCheckpointing>([x.node()])
        .compute_bound()
        .stateful();
    let x = x.into_primitive();
    let module = module.valid();
    let y = apply_chain(&module, Tensor::from_primitive::<B>(x.clone()), chain);
    let y = y.try_into_primitive::<B>().expect("the backend of the input");
    let y = match step {
        OpsKind::Tracked(step) => {
            let saved = SavedForBackward { module, leaves: leaves.0, x, chain: chain.to_vec() };
            step.finish(saved, y)
        }
        OpsKind::UnTracked(step) => step.finish(y),
    };
    Tensor::from_primitive::<Tracked<B>>(y)
}

/// Graph nodes of a module's parameters, in the order of visits; `None` for a parameter without gradients.
struct Leaves<B>(Vec<Option<NodeId>>, std::marker::PhantomData<B>);

impl<B: Backend> ModuleVisitor for Leaves<B>
where
    DispatchTensor: DispatchKindConversion<Tracked<B>>,
{
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let leaf = value.is_tracked().then(|| {
            assert!(
                value.is_require_grad(),
                "parameters of a checkpointed module must be leaves of the graph"
            );
            value.try_into_primitive::<Tracked<B>>().expect("the backend of the input").id()
        });
        self.0.push(leaf);
    }
}

/// The values that the forward pass saves for the backward pass.
#[derive(Clone, Debug)]
struct SavedForBackward<B: Backend, M> {
    /// Without autodiff. It holds handles to the parameters, not copies.
    module: M,
    leaves: Vec<Option<NodeId>>,
    x: FloatTensor<B>,
    chain: Vec<CheckpointedOp<M>>,
}

#[derive(Debug)]
struct CheckpointedBackward<M>(std::marker::PhantomData<fn() -> M>);

impl<B: Backend, M: Module + 'static> Backward<B, 1> for CheckpointedBackward<M>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Tracked<B>>,
{
    type State = SavedForBackward<B, M>;

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let mut gradient = Tensor::<4>::from_primitive::<B>(gradients.consume::<B>(&ops.node));
        let SavedForBackward { module, leaves, x, chain } = ops.state;
        let mut sums = GradientSums::<B>::default();
        // The inputs of all operations. The output of the last operation is not needed.
        let mut inputs = vec![Tensor::<4>::from_primitive::<B>(x)];
        for op in &chain[..chain.len() - 1] {
            let next = op.apply(&module, inputs[inputs.len() - 1].clone());
            inputs.push(next);
        }
        for op in chain.iter().rev() {
            let input = inputs.pop().expect("an input for every operation");
            gradient = backward_op(op, &module, input, gradient, &mut sums);
        }
        for (leaf, sum) in leaves.into_iter().zip(sums.values) {
            if let (Some(leaf), Some(sum)) = (leaf, sum) {
                gradients.register::<B>(leaf, sum);
            }
        }
        if let [Some(parent)] = ops.parents {
            let gradient = gradient.try_into_primitive::<B>().expect("the backend of the input");
            gradients.register::<B>(parent.id, gradient);
        }
    }
}

/// The gradient of an operation's input, from the gradient of its output. Adds the gradients of parameters to `sums`.
fn backward_op<B: Backend, M: Module>(
    op: &CheckpointedOp<M>,
    module: &M,
    x: Tensor<4>,
    mut gradient: Tensor<4>,
    sums: &mut GradientSums<B>,
) -> Tensor<4>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Tracked<B>>,
{
    let (for_gradients, axis, chunks) = match &op.0 {
        Parts::Chunks { for_gradients, chunks: None, .. } => {
            let (gradient, of_parameters) = backward_chunk(for_gradients, module, x, gradient);
            sums.add(of_parameters);
            return gradient;
        }
        Parts::Chunks { for_gradients, chunks: Some((axis, chunks)), .. } => (for_gradients, axis, chunks),
        Parts::Pieces(pieces) => return backward_pieces(pieces, module, &x, &gradient, sums),
    };
    // If shapes and types are equal, the gradient of the input overwrites the gradient of the output chunk by chunk.
    let dims = x.dims();
    let in_place = dims == gradient.dims() && x.dtype() == gradient.dtype();
    let mut separate = (!in_place).then(|| Tensor::empty(dims, (&x.device(), x.dtype())));
    let mut of_parameters = PackedSum::default();
    for chunk in chunks {
        let part = part_of(&gradient, &ranges(gradient.dims(), *axis, chunk));
        let ranges = ranges(dims, *axis, chunk);
        let (part, of_chunk) = backward_chunk::<B, M>(for_gradients, module, part_of(&x, &ranges), part);
        of_parameters.add::<B>(of_chunk);
        match &mut separate {
            Some(whole) => replace(whole, |whole| whole.slice_assign(ranges, part)),
            None => gradient = gradient.slice_assign(ranges, part),
        }
    }
    sums.add(of_parameters.unpacked::<B>());
    separate.unwrap_or(gradient)
}

/// The gradient of the input of an operation in pieces. Adds the gradients of parameters to `sums`.
fn backward_pieces<B: Backend, M: Module>(
    Pieces { pieces, .. }: &Pieces<M>,
    module: &M,
    x: &Tensor<4>,
    gradient: &Tensor<4>,
    sums: &mut GradientSums<B>,
) -> Tensor<4>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Tracked<B>>,
{
    let mut of_input = Tensor::zeros(x.dims(), (&x.device(), x.dtype()));
    for Piece { input, output, function } in pieces {
        let part = part_of(gradient, output);
        let (part, of_piece) = backward_chunk::<B, M>(function, module, part_of(x, input), part);
        sums.add(of_piece);
        let part = part + part_of(&of_input, input);
        replace(&mut of_input, |whole| whole.slice_assign(input.clone(), part));
    }
    of_input
}

/// `value = change(value)`. There is never a second handle to the value, so `change` can work in place.
fn replace(value: &mut Tensor<4>, change: impl FnOnce(Tensor<4>) -> Tensor<4>) {
    let placeholder = Tensor::empty([0; 4], (&value.device(), value.dtype()));
    *value = change(std::mem::replace(value, placeholder));
}

/// The gradients of a chunk of the input and of the parameters, from the gradient of the output of `function`.
fn backward_chunk<B: Backend, M: Module>(
    function: &PlaneFn<M>,
    module: &M,
    x: Tensor<4>,
    gradient: Tensor<4>,
) -> (Tensor<4>, ParameterGradients<B>)
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Tracked<B>>,
{
    // New leaves make a graph that shares no node with the outer graph, whose lock this thread holds.
    let module = module.clone().train();
    let x = x.autodiff().require_grad();
    let y =
        function(&module, x.clone()).try_into_primitive::<Tracked<B>>().expect("the backend of the input");
    let gradient = gradient.try_into_primitive::<B>().expect("the backend of the input");
    let mut gradients = from_gradient::<B>(y, gradient);
    let x = x.try_into_primitive::<Tracked<B>>().expect("the backend of the input");
    let gradient = x.grad_remove(&mut gradients).expect("the input is a leaf of the chunk's graph");
    (Tensor::from_primitive::<B>(gradient), parameter_gradients::<B, M>(&module, gradients))
}

/// The gradients of the graph that ends in `y`, from the gradient of `y`.
fn from_gradient<B: Backend>(y: FloatTensor<Tracked<B>>, gradient: FloatTensor<B>) -> Gradients {
    let step =
        Backward::<B, 1>::prepare::<NoCheckpointing>(GivenGradient, [y.node()]).compute_bound().stateful();
    // Nothing reads the value of the root.
    let root = B::float_empty([1].into(), &gradient.device(), burn::tensor::FloatDType::F32);
    match step {
        OpsKind::Tracked(step) => step.finish(gradient, root).backward(),
        OpsKind::UnTracked(_) => unreachable!("the input needs gradients"),
    }
}

/// The root of a backward pass that starts from a given gradient instead of a loss.
#[derive(Debug)]
struct GivenGradient;

impl<B: Backend> Backward<B, 1> for GivenGradient {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        if let [Some(parent)] = ops.parents {
            gradients.register::<B>(parent.id, ops.state);
        }
    }
}
