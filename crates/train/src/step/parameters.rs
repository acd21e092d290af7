//! All parameters of a network as one vector.
//!
//! A TFSWA network has hundreds of small tensors. With one vector the optimiser, the moving average, the gradient norm
//! and the checkpoint are each one operation instead of hundreds, and need no bookkeeping by name.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};
use unbraid_model::{ModelConfig, ordered_shapes};
use unbraid_ops::PACK_ALIGNMENT;

/// A parameter tensor. In the vector the tensors follow each other in the module's order. Each begins at a multiple of
/// [`PACK_ALIGNMENT`] elements, so that the parameters of a network are views of the vector. The gaps are 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ParameterEntry {
    /// Path in the module, for example `encoder.0.norm.gamma`.
    pub(crate) name: String,
    /// The tensor's shape.
    pub(crate) shape: Vec<usize>,
}

impl ParameterEntry {
    /// Elements of the tensor.
    fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Names and shapes of a module's parameters, in the order of the vector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterLayout(Vec<ParameterEntry>);

impl ParameterLayout {
    /// The layout of `module`.
    pub(crate) fn of<M: Module>(module: &M) -> Self {
        Self(ordered_shapes(module).into_iter().map(|(name, shape)| ParameterEntry { name, shape }).collect())
    }

    /// Elements of the vector, with the gaps.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|entry| entry.len().next_multiple_of(PACK_ALIGNMENT)).sum()
    }

    /// Number of parameters: elements of the vector without the gaps.
    pub(crate) fn parameters(&self) -> usize {
        self.0.iter().map(ParameterEntry::len).sum()
    }

    /// The tensors, each with the index of its first element in the vector.
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, &ParameterEntry)> {
        self.0.iter().scan(0, |at, entry| {
            let start = *at;
            *at += entry.len().next_multiple_of(PACK_ALIGNMENT);
            Some((start, entry))
        })
    }

    /// The elements of a vector without the gaps. Checkpoints have none.
    pub fn without_gaps(&self, vector: &[f32]) -> Vec<f32> {
        let tensors = self.places().map(|(start, entry)| &vector[start..start + entry.len()]);
        tensors.flatten().copied().collect()
    }

    /// The vector of parameters that follow each other without gaps.
    pub(crate) fn with_gaps(&self, parameters: &[f32]) -> Vec<f32> {
        let mut vector = vec![0.0; self.len()];
        let mut rest = parameters;
        for (start, entry) in self.places() {
            let tensor;
            (tensor, rest) = rest.split_at(entry.len());
            vector[start..start + entry.len()].copy_from_slice(tensor);
        }
        vector
    }

    /// The elements that weight decay applies to: 1 if the tensor has more than one axis, otherwise 0, `[p]`.
    ///
    /// Tensors with more than one axis are matrices and kernels, and also the tables of relative-position biases and
    /// the frequency embedding. Biases and norms have one axis.
    pub(crate) fn decayed(&self, device: &Device) -> Tensor<1> {
        let mut decayed = vec![0f32; self.len()];
        for (start, entry) in self.places().filter(|(_, entry)| entry.shape.len() > 1) {
            decayed[start..start + entry.len()].fill(1.0);
        }
        Tensor::from_floats(decayed.as_slice(), device)
    }
}

/// The module's parameters, `[p]`, without autodiff.
pub fn pack<M: Module>(module: &M) -> Tensor<1> {
    let mut visitor = Values { gradients: None, parts: Vec::new() };
    module.visit(&mut visitor);
    unbraid_ops::pack(visitor.parts)
}

/// The gradients of the module's parameters, `[p]`. Zero for a parameter that the loss does not depend on.
pub(crate) fn pack_gradients<M: Module>(module: &M, gradients: Gradients) -> Tensor<1> {
    let mut visitor = Values { gradients: Some(gradients), parts: Vec::new() };
    module.visit(&mut visitor);
    unbraid_ops::pack(visitor.parts)
}

/// The module with the parameters of `vector [p]`. On a device with autodiff they are new leaves of the graph. The
/// module's lazy parameters are not initialised.
pub(crate) fn unpack<M: Module>(module: M, vector: &Tensor<1>) -> M {
    module.map(&mut Replace { vector: vector.clone(), at: 0 })
}

struct Values {
    gradients: Option<Gradients>,
    parts: Vec<Tensor<1>>,
}

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let part = match &mut self.gradients {
            None => value.inner(),
            Some(gradients) => value.grad_remove(gradients).unwrap_or_else(|| value.inner().zeros_like()),
        };
        self.parts.push(part.reshape([-1]));
    }
}

struct Replace {
    vector: Tensor<1>,
    at: usize,
}

impl ModuleMapper for Replace {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        // `val` would initialise a lazy parameter only to replace it.
        let (id, device, shape) = (param.id, param.lazy_device(), param.lazy_shape());
        let end = self.at + shape.num_elements();
        let new = self.vector.clone().slice(self.at..end).reshape(shape);
        self.at = end.next_multiple_of(PACK_ALIGNMENT);
        param.transform_for_load(if device.is_autodiff() { new.autodiff() } else { new }, id)
    }
}

/// The initial parameters `[p]` of the network for `seed`.
///
/// burn draws initial values from one generator per process when a parameter is first used. The lock, and packing all
/// parameters under it, keep two trainers in one process independent.
pub(crate) fn initial_weights(config: &ModelConfig, seed: u64, device: &Device) -> Tensor<1> {
    static DRAWING: Mutex<()> = Mutex::new(());
    let _guard = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    device.seed(seed);
    pack(&config.init(device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};

    #[derive(Module, Debug)]
    struct Net {
        first: Linear,
        norms: Vec<LayerNorm>,
        unused: Linear,
    }

    fn net(device: &Device) -> Net {
        Net {
            first: LinearConfig::new(3, 4).init(device),
            norms: vec![LayerNormConfig::new(4).init(device)],
            unused: LinearConfig::new(2, 2).with_bias(false).init(device),
        }
    }

    fn values(x: Tensor<1>) -> Vec<f32> {
        x.into_data_as::<f32>().try_to_vec().unwrap()
    }

    #[test]
    fn layout_names_every_tensor_in_order() {
        let layout = ParameterLayout::of(&net(&Device::flex()));
        let names: Vec<_> = layout.0.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["first.weight", "first.bias", "norms.0.gamma", "norms.0.beta", "unused.weight"]);
        assert_eq!([layout.len(), layout.parameters()], [5 * 64, 12 + 4 + 4 + 4 + 4]);
        let mask = values(layout.decayed(&Device::flex()));
        let mut expected = vec![0.0; 5 * 64];
        expected[..12].fill(1.0);
        expected[4 * 64..4 * 64 + 4].fill(1.0);
        assert_eq!(mask, expected);
    }

    #[test]
    fn an_unpacked_network_equals_the_packed_one() {
        let device = Device::flex().autodiff();
        let (a, b) = (net(&device), net(&device));
        let vector = pack(&a);
        assert_ne!(values(pack(&b)), values(vector.clone()));
        let b = unpack(b, &vector);
        assert_eq!(values(pack(&b)), values(vector.clone()));
        let x = Tensor::<2>::ones([5, 3], &device);
        let forward = |n: &Net| n.norms[0].forward(n.first.forward(x.clone())).reshape([-1]);
        assert_eq!(values(forward(&a).inner()), values(forward(&b).inner()));

        let plain = unpack(b.valid(), &vector);
        assert!(!plain.first.weight.val().is_autodiff());
    }

    #[test]
    fn gradients_follow_the_layout_and_are_zero_for_unused_parameters() {
        let device = Device::flex().autodiff();
        let start = net(&device);
        let net = unpack(start.clone(), &pack(&start));
        let x = Tensor::<2>::from_floats([[1.0, 2.0, 3.0]], &device);
        let gradients = pack_gradients(&net, net.first.forward(x).sum().backward());
        let mut expected = vec![1.0; 4];
        expected.extend([2.0; 4]);
        expected.extend([3.0; 4]);
        expected.extend([1.0; 4]);
        expected.extend([0.0; 12]);
        let gradients = values(gradients);
        let layout = ParameterLayout::of(&net);
        assert_eq!(layout.without_gaps(&gradients), expected);
        assert_eq!(layout.with_gaps(&expected), gradients);
    }
}
