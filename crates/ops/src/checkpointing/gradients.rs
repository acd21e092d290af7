//! The gradients of a module's parameters: taken from a graph, and summed over chunks and operations.

use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, DispatchKindConversion, DispatchTensor, TensorMetadata};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Shape, Tensor};

use crate::pack::{PACK_ALIGNMENT, pack};

/// The autodiff backend of a chain.
pub(super) type Tracked<B> = Autodiff<B, NoCheckpointing>;

/// The gradients of a module's parameters, in the order of visits. `None` for a parameter that has none.
pub(super) type ParameterGradients<B> = Vec<Option<FloatTensor<B>>>;

/// Takes the gradients of the module's parameters out of `gradients`.
pub(super) fn parameter_gradients<B: Backend, M: Module>(
    module: &M,
    gradients: Gradients,
) -> ParameterGradients<B>
where
    DispatchTensor: DispatchKindConversion<Tracked<B>>,
{
    let mut visitor = TakeGradients::<B> { gradients, taken: Vec::new() };
    module.visit(&mut visitor);
    visitor.taken
}

struct TakeGradients<B: Backend> {
    gradients: Gradients,
    taken: ParameterGradients<B>,
}

impl<B: Backend> ModuleVisitor for TakeGradients<B>
where
    DispatchTensor: DispatchKindConversion<Tracked<B>>,
{
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let gradient = value.is_tracked().then(|| {
            let value = value.try_into_primitive::<Tracked<B>>().expect("the backend of the input");
            value.grad_remove(&mut self.gradients)
        });
        self.taken.push(gradient.flatten());
    }
}

/// Sums of the gradients of parameters over the operations of a chain.
pub(super) struct GradientSums<B: Backend> {
    pub(super) values: ParameterGradients<B>,
}

impl<B: Backend> Default for GradientSums<B> {
    fn default() -> Self {
        Self { values: Vec::new() }
    }
}

impl<B: Backend> GradientSums<B> {
    pub(super) fn add(&mut self, gradients: ParameterGradients<B>) {
        self.values.resize(gradients.len(), None);
        for (sum, gradient) in self.values.iter_mut().zip(gradients) {
            *sum = match (sum.take(), gradient) {
                (Some(sum), Some(gradient)) => Some(B::float_add(sum, gradient)),
                (sum, gradient) => sum.or(gradient),
            };
        }
    }
}

/// The sum of the gradients of parameters over the chunks of an operation. The gradients are packed, so that a chunk
/// needs one addition instead of one per parameter.
#[derive(Default)]
pub(super) struct PackedSum {
    /// The shape of each gradient; `None` for a parameter without a gradient. It is the same for every chunk.
    shapes: Vec<Option<Shape>>,
    sum: Option<Tensor<1>>,
}

impl PackedSum {
    pub(super) fn add<B: Backend>(&mut self, gradients: ParameterGradients<B>)
    where
        DispatchTensor: DispatchKindConversion<B>,
    {
        self.shapes = gradients.iter().map(|gradient| Some(gradient.as_ref()?.shape())).collect();
        let flat = |gradient: FloatTensor<B>| {
            let elements = gradient.shape().num_elements();
            Tensor::from_primitive::<B>(B::float_reshape(gradient, Shape::new([elements])))
        };
        let parts: Vec<Tensor<1>> = gradients.into_iter().flatten().map(flat).collect();
        if parts.is_empty() {
            return;
        }
        let packed = pack(parts);
        self.sum = Some(match self.sum.take() {
            Some(sum) => sum + packed,
            None => packed,
        });
    }

    pub(super) fn unpacked<B: Backend>(self) -> ParameterGradients<B>
    where
        DispatchTensor: DispatchKindConversion<B>,
    {
        let mut start = 0;
        let gradient = |shape: Option<Shape>| {
            let (shape, sum) = (shape?, self.sum.clone()?);
            let length = shape.num_elements();
            let gradient =
                sum.narrow(0, start, length).try_into_primitive::<B>().expect("the backend of the input");
            start += length.next_multiple_of(PACK_ALIGNMENT);
            Some(B::float_reshape(gradient, shape))
        };
        self.shapes.into_iter().map(gradient).collect()
    }
}
