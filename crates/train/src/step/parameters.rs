//! All parameters of a network as one vector.
//!
//! A TFSWA network has hundreds of small tensors. Optimiser, moving average, gradient norm and checkpoint are
//! each one operation on a vector instead of hundreds on tensors, and need no bookkeeping by name.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};
use unbraid_model::{ModelConfig, ordered_shapes};

/// A tensor's place in the vector: they follow each other in the module's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Path in the module, as `encoder.0.norm.gamma`.
    pub name: String,
    /// The tensor's shape.
    pub shape: Vec<usize>,
}

/// Names and shapes of a module's parameters, in the order of the vector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout(Vec<Entry>);

impl Layout {
    /// The layout of `module`.
    pub fn of<M: Module>(module: &M) -> Self {
        Self(ordered_shapes(module).into_iter().map(|(name, shape)| Entry { name, shape }).collect())
    }

    /// Elements of the vector.
    pub fn len(&self) -> usize {
        self.0.iter().map(|entry| entry.shape.iter().product::<usize>()).sum()
    }

    /// Whether the module has no parameters.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where in the vector each tensor begins, with its entry.
    pub fn places(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.0.iter().scan(0, |at, entry| {
            let start = *at;
            *at += entry.shape.iter().product::<usize>();
            Some((start, entry))
        })
    }

    /// 1 where an element belongs to a matrix or kernel, 0 where to a bias or norm: `[p]`.
    pub fn matrices(&self, device: &Device) -> Tensor<1> {
        let parts = self.0.iter().map(|entry| {
            let value = if entry.shape.len() > 1 { 1.0f32 } else { 0.0 };
            Tensor::full([entry.shape.iter().product::<usize>()], value, device)
        });
        Tensor::cat(parts.collect(), 0)
    }
}

/// The module's parameters, `[p]`, without autodiff.
pub fn pack<M: Module>(module: &M) -> Tensor<1> {
    let mut visitor = Values { gradients: None, parts: Vec::new() };
    module.visit(&mut visitor);
    Tensor::cat(visitor.parts, 0)
}

/// The gradients of the module's parameters, `[p]`; zero for a parameter that the loss does not reach.
pub fn pack_gradients<M: Module>(module: &M, gradients: Gradients) -> Tensor<1> {
    let mut visitor = Values { gradients: Some(gradients), parts: Vec::new() };
    module.visit(&mut visitor);
    Tensor::cat(visitor.parts, 0)
}

/// The module with the parameters of `vector [p]`; those that take gradients take them as fresh leaves. Parameters
/// that were never used stay undrawn.
pub fn unpack<M: Module>(module: M, vector: &Tensor<1>) -> M {
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
        // Without drawing a value that would be thrown away.
        let (id, device, shape) = (param.id, param.lazy_device(), param.lazy_shape());
        let end = self.at + shape.num_elements();
        let new = self.vector.clone().slice(self.at..end).reshape(shape);
        self.at = end;
        param.transform_for_load(if device.is_autodiff() { new.autodiff() } else { new }, id)
    }
}

/// The parameters `[p]` of the network as `seed` initialises it.
///
/// burn draws initial values from one generator per process when a parameter is first used: the lock and the
/// visit keep two trainers in one process apart.
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
        let layout = Layout::of(&net(&Device::flex()));
        let names: Vec<_> = layout.0.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["first.weight", "first.bias", "norms.0.gamma", "norms.0.beta", "unused.weight"]);
        assert_eq!(layout.len(), 12 + 4 + 4 + 4 + 4);
        let mask = values(layout.matrices(&Device::flex()));
        assert_eq!(mask[..12], [1.0; 12]);
        assert_eq!(mask[12..24], [0.0; 12]);
        assert_eq!(mask[24..], [1.0; 4]);
    }

    #[test]
    fn unpacked_network_is_the_packed_one() {
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
    fn gradients_follow_the_layout_and_are_zero_where_unreached() {
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
        assert_eq!(values(gradients), expected);
    }
}
