//! Networks and tensors that the tests of the network share.

use std::collections::BTreeMap;

use burn::tensor::{Device, Distribution, Tensor};
use unbraid_model::family::tfswa::TfswaConfig;
use unbraid_model::{FamilyConfig, ModelConfig, Network, ParameterPath};

pub(crate) fn own(config: &ModelConfig) -> &TfswaConfig {
    config.family.tfswa().expect("a TFSWA network")
}

/// Small, with every part: two sub-bands, a shifted window, sizes that need padding, and these resolutions.
pub(crate) fn sized(dims: &[usize], depths: &[usize]) -> ModelConfig {
    let tiny = ModelConfig::standard("tfswa_unet_tiny").expect("a standard network");
    let family = FamilyConfig::TfswaUnet(TfswaConfig {
        subbands: 2,
        dims: dims.to_vec(),
        depths: depths.to_vec(),
        num_heads: 2,
        window_size: [3, 5],
        ..own(&tiny).clone()
    });
    let stems = ["a", "b", "c"].map(String::from).to_vec();
    ModelConfig { n_fft: 360, hop_length: 90, stems, family, ..tiny }
}

pub(crate) fn small() -> ModelConfig {
    sized(&[8, 12, 16], &[2, 1, 1])
}

pub(crate) fn noise(shape: [usize; 3], device: &Device) -> Tensor<3> {
    device.seed(11);
    Tensor::random(shape, Distribution::Normal(0.0, 0.1), device)
}

/// Gradients by the parameters' names. A parameter without a gradient has an empty one.
pub(crate) fn by_name(model: &Network, gradients: &burn::tensor::Gradients) -> BTreeMap<String, Vec<f32>> {
    struct Named<'a>(ParameterPath, &'a burn::tensor::Gradients, BTreeMap<String, Vec<f32>>);
    impl burn::module::ModuleVisitor for Named<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.0.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, container: &str) {
            self.0.exit(container);
        }
        fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
            let gradient = param.grad(self.1).map_or_else(Vec::new, values);
            self.2.insert(self.0.name(), gradient);
        }
    }
    let mut named = Named(ParameterPath::default(), gradients, BTreeMap::new());
    burn::module::Module::visit(model, &mut named);
    named.2
}

pub(crate) fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data_as::<f32>().try_to_vec().expect("f32")
}
