//! Recomputation: keep a block's input, and run the block again when its gradients are wanted.
//!
//! A block is a chain of links, each a map of a plane `[b, t, f, c]` that can be applied to pieces of it one after
//! the other. Forward keeps the chain's input and no more. Backward runs all links but the last again, then
//! takes each link, last first, piece by piece: forward with a tape of its own, backward, and on. So of what a
//! link computes inside, one piece exists at a time, and of the planes between links one chain's.
//!
//! This file and `backend` are the seam to burn's primitives.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::NoCheckpointing};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Cube, DispatchKindConversion, DispatchTensor, Flex, TensorMetadata};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};

/// A map from a plane to a plane, with the parameters of a block `M`.
pub type Map<M> = Arc<dyn Fn(&M, Tensor<4>) -> Tensor<4> + Send + Sync>;

/// A link of the chain that a block is: a map, and the pieces it is applied to.
pub struct Link<M> {
    map: Map<M>,
    /// The same map for the backward pass, which does not look at what it gives.
    for_gradients: Map<M>,
    /// Axis, and where the pieces begin and end on it; `None`: the whole plane at once.
    pieces: Option<(usize, Vec<Range<usize>>)>,
}

impl<M> Link<M> {
    /// `map` on the whole plane at once.
    pub fn whole(map: impl Fn(&M, Tensor<4>) -> Tensor<4> + Send + Sync + 'static) -> Self {
        let map: Map<M> = Arc::new(map);
        Self { for_gradients: map.clone(), map, pieces: None }
    }

    /// `map` on pieces that follow each other along `axis`. It must treat a piece as it would within the plane,
    /// and keep the piece's extent along `axis`.
    ///
    /// # Panics
    /// If the pieces do not follow each other from 0 on.
    pub fn pieces(
        axis: usize,
        pieces: Vec<Range<usize>>,
        map: impl Fn(&M, Tensor<4>) -> Tensor<4> + Send + Sync + 'static,
    ) -> Self {
        let mut end = 0;
        for piece in &pieces {
            assert!(piece.start == end && piece.end > end, "{pieces:?} do not follow each other");
            end = piece.end;
        }
        // One piece is the whole, without a copy.
        Self { pieces: (pieces.len() > 1).then_some((axis, pieces)), ..Self::whole(map) }
    }

    /// The same link, whose map is recomputed as `map` where gradients alone are wanted: a map of the same gradients,
    /// whose values may be anything, as those of [`linear_for_gradients`](crate::linear_for_gradients) are.
    #[must_use]
    pub fn for_gradients(self, map: impl Fn(&M, Tensor<4>) -> Tensor<4> + Send + Sync + 'static) -> Self {
        Self { for_gradients: Arc::new(map), ..self }
    }

    /// Applies the map piece by piece. Under autodiff every piece is on the tape.
    pub fn apply(&self, block: &M, x: Tensor<4>) -> Tensor<4> {
        let Some((axis, pieces)) = &self.pieces else { return (self.map)(block, x) };
        let mut y: Option<Tensor<4>> = None;
        for piece in pieces {
            let part = (self.map)(block, part_of(&x, *axis, piece));
            // Into the place it has in the whole: a concatenation would have all of it twice.
            let whole = y.take().unwrap_or_else(|| {
                let mut dims = part.dims();
                dims[*axis] = x.dims()[*axis];
                let device = if part.is_autodiff() { x.device() } else { part.device() };
                Tensor::empty(dims, (&device, part.dtype()))
            });
            y = Some(whole.slice_assign(place(part.dims(), *axis, piece), part));
        }
        y.expect("a link has at least one piece")
    }
}

impl<M> Clone for Link<M> {
    fn clone(&self) -> Self {
        let Self { map, for_gradients, pieces } = self;
        Self { map: map.clone(), for_gradients: for_gradients.clone(), pieces: pieces.clone() }
    }
}

impl<M> fmt::Debug for Link<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("pieces", &self.pieces).finish_non_exhaustive()
    }
}

fn part_of(x: &Tensor<4>, axis: usize, piece: &Range<usize>) -> Tensor<4> {
    x.clone().narrow(axis, piece.start, piece.len())
}

/// Where a piece lies in the whole that it is a part of.
fn place(dims: [usize; 4], axis: usize, piece: &Range<usize>) -> [Range<usize>; 4] {
    let mut place = dims.map(|extent| 0..extent);
    place[axis] = piece.clone();
    place
}

/// The chain's output for `x [b, t, f, c]`. Of what its links compute nothing is kept for the backward pass but
/// `x`; gradients are those of the links applied one after the other, to rounding.
///
/// Outside autodiff it is just that. Parameters of `block` are found by visiting it; those that take gradients
/// must be leaves of the graph, as a module's are. What is inside a map may itself recompute.
///
/// # Panics
/// If a parameter is not a leaf, or on a device whose autodiff has checkpointing of burn's own.
pub fn recompute<M: Module + 'static>(block: &M, x: Tensor<4>, chain: &[Link<M>]) -> Tensor<4> {
    if !x.is_autodiff() {
        return run(block, x, chain);
    }
    if x.device().inner() == Device::flex() {
        recompute_on::<Flex, M>(block, x, chain)
    } else {
        recompute_on::<Cube, M>(block, x, chain)
    }
}

fn run<M>(block: &M, x: Tensor<4>, chain: &[Link<M>]) -> Tensor<4> {
    chain.iter().fold(x, |x, link| link.apply(block, x))
}

fn recompute_on<B: Backend, M: Module + 'static>(block: &M, x: Tensor<4>, chain: &[Link<M>]) -> Tensor<4>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Taped<B>>,
{
    let mut leaves = Leaves::<B>(Vec::new(), std::marker::PhantomData);
    block.visit(&mut leaves);
    // A block that only its parameters make differentiable is on the tape too.
    let x = if x.is_tracked() || leaves.0.iter().all(Option::is_none) { x } else { x.require_grad() };
    let x = x.try_into_primitive::<Taped<B>>().expect("the device's backend, without burn's checkpointing");
    let step = Recomputed::<M>(std::marker::PhantomData)
        .prepare::<NoCheckpointing>([x.node()])
        .compute_bound()
        .stateful();
    let x = x.into_primitive();
    let block = block.valid();
    let y = run(&block, Tensor::from_primitive::<B>(x.clone()), chain);
    let y = y.try_into_primitive::<B>().expect("the backend of the input");
    let y = match step {
        OpsKind::Tracked(step) => step.finish(State { block, leaves: leaves.0, x, chain: chain.to_vec() }, y),
        OpsKind::UnTracked(step) => step.finish(y),
    };
    Tensor::from_primitive::<Taped<B>>(y)
}

type Taped<B> = Autodiff<B, NoCheckpointing>;

/// Graph nodes of a block's parameters, in the order of its visitors; `None` for one without gradients.
struct Leaves<B>(Vec<Option<NodeId>>, std::marker::PhantomData<B>);

impl<B: Backend> ModuleVisitor for Leaves<B>
where
    DispatchTensor: DispatchKindConversion<Taped<B>>,
{
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let leaf = value.is_tracked().then(|| {
            assert!(value.is_require_grad(), "a recomputed block's parameters must be leaves of the graph");
            value.try_into_primitive::<Taped<B>>().expect("the backend of the input").id()
        });
        self.0.push(leaf);
    }
}

#[derive(Clone, Debug)]
struct State<B: Backend, M> {
    /// Without autodiff: handles on the parameters, no copies.
    block: M,
    leaves: Vec<Option<NodeId>>,
    x: FloatTensor<B>,
    chain: Vec<Link<M>>,
}

#[derive(Debug)]
struct Recomputed<M>(std::marker::PhantomData<fn() -> M>);

impl<B: Backend, M: Module + 'static> Backward<B, 1> for Recomputed<M>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Taped<B>>,
{
    type State = State<B, M>;

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let mut gradient = Tensor::<4>::from_primitive::<B>(gradients.consume::<B>(&ops.node));
        let State { block, leaves, x, chain } = ops.state;
        let mut sums = Sums::<B>::default();
        // The links' inputs; the last link's output is not needed.
        let mut inputs = vec![Tensor::<4>::from_primitive::<B>(x)];
        for link in &chain[..chain.len() - 1] {
            let next = link.apply(&block, inputs[inputs.len() - 1].clone());
            inputs.push(next);
        }
        for link in chain.iter().rev() {
            let input = inputs.pop().expect("an input for every link");
            gradient = back_through(link, &block, input, gradient, &mut sums);
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

/// The gradient of a link's input, from that of its output; parameters' gradients are added to `sums`.
fn back_through<B: Backend, M: Module>(
    link: &Link<M>,
    block: &M,
    x: Tensor<4>,
    mut gradient: Tensor<4>,
    sums: &mut Sums<B>,
) -> Tensor<4>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Taped<B>>,
{
    let Some((axis, pieces)) = &link.pieces else {
        return back_through_piece(&link.for_gradients, block, x, gradient, sums);
    };
    // Where shape and type allow, the gradient of the input takes the place of that of the output, piece by piece.
    let dims = x.dims();
    let alike = dims == gradient.dims() && x.dtype() == gradient.dtype();
    let mut apart = (!alike).then(|| Tensor::empty(dims, (&x.device(), x.dtype())));
    for piece in pieces {
        let part = part_of(&gradient, *axis, piece);
        let part = back_through_piece(&link.for_gradients, block, part_of(&x, *axis, piece), part, sums);
        let place = place(dims, *axis, piece);
        match &mut apart {
            Some(whole) => replace(whole, |whole| whole.slice_assign(place, part)),
            None => gradient = gradient.slice_assign(place, part),
        }
    }
    apart.unwrap_or(gradient)
}

/// `value = change(value)`, with no second handle on it that would make the change a copy.
fn replace(value: &mut Tensor<4>, change: impl FnOnce(Tensor<4>) -> Tensor<4>) {
    let placeholder = Tensor::empty([0; 4], (&value.device(), value.dtype()));
    *value = change(std::mem::replace(value, placeholder));
}

fn back_through_piece<B: Backend, M: Module>(
    map: &Map<M>,
    block: &M,
    x: Tensor<4>,
    gradient: Tensor<4>,
    sums: &mut Sums<B>,
) -> Tensor<4>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Taped<B>>,
{
    // Fresh leaves: a graph that shares no node with the outer one, whose lock this thread holds.
    let block = block.clone().train();
    let x = x.autodiff().require_grad();
    let y = map(&block, x.clone()).try_into_primitive::<Taped<B>>().expect("the backend of the input");
    let gradient = gradient.try_into_primitive::<B>().expect("the backend of the input");
    let mut gradients = from_gradient::<B>(y, gradient);
    let x = x.try_into_primitive::<Taped<B>>().expect("the backend of the input");
    let gradient = x.grad_remove(&mut gradients).expect("the input is a leaf of the piece's graph");
    sums.gradients = Some(gradients);
    sums.next = 0;
    block.visit(sums);
    sums.gradients = None;
    Tensor::from_primitive::<B>(gradient)
}

/// Gradients of the graph that ends in `y`, given that of `y`.
fn from_gradient<B: Backend>(y: FloatTensor<Taped<B>>, gradient: FloatTensor<B>) -> Gradients {
    let step = Backward::<B, 1>::prepare::<NoCheckpointing>(Given, [y.node()]).compute_bound().stateful();
    let root = B::float_zeros([1].into(), &gradient.device(), burn::tensor::FloatDType::F32);
    match step {
        OpsKind::Tracked(step) => step.finish(gradient, root).backward(),
        OpsKind::UnTracked(_) => unreachable!("the input takes gradients"),
    }
}

/// Starts a backward pass with a gradient that is known, instead of a loss.
#[derive(Debug)]
struct Given;

impl<B: Backend> Backward<B, 1> for Given {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        if let [Some(parent)] = ops.parents {
            gradients.register::<B>(parent.id, ops.state);
        }
    }
}

/// Parameters' gradients, added up over the pieces, in the order of the block's visitors.
struct Sums<B: Backend> {
    gradients: Option<Gradients>,
    next: usize,
    values: Vec<Option<FloatTensor<B>>>,
}

impl<B: Backend> Default for Sums<B> {
    fn default() -> Self {
        Self { gradients: None, next: 0, values: Vec::new() }
    }
}

impl<B: Backend> ModuleVisitor for Sums<B>
where
    DispatchTensor: DispatchKindConversion<Taped<B>>,
{
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.next == self.values.len() {
            self.values.push(None);
        }
        let value = param.val();
        if value.is_tracked() {
            let value = value.try_into_primitive::<Taped<B>>().expect("the backend of the input");
            let gradients = self.gradients.as_mut().expect("set for the visit");
            if let Some(gradient) = value.grad_remove(gradients) {
                let sum = &mut self.values[self.next];
                *sum = Some(match sum.take() {
                    Some(sum) => B::float_add(sum, gradient),
                    None => gradient,
                });
            }
        }
        self.next += 1;
    }
}
