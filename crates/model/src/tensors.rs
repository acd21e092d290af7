//! A module's parameters as named host tensors, and back.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{ExecutionError, Tensor, TensorData};

/// Host tensors that are not those of the module they are meant for.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum TensorsError {
    /// The module has a parameter that was not given.
    #[error("{0} is missing")]
    Missing(String),
    /// Given, but no parameter of the module.
    #[error("{0:?} is none of its own")]
    Unknown(String),
    /// Of another shape than the parameter.
    #[error("{name} is {found:?}, not {expected:?}")]
    Shape {
        /// The parameter.
        name: String,
        /// Shape of the host tensor.
        found: Vec<usize>,
        /// Shape of the parameter.
        expected: Vec<usize>,
    },
}

/// Reads every parameter back, under its path in the module, such as `encoder.0.blocks.1.time.qkv.weight`.
///
/// # Errors
/// The device's, if it fails.
pub fn named_tensors<M: Module>(module: &M) -> Result<BTreeMap<String, TensorData>, ExecutionError> {
    let mut reader = Reader { path: Path::default(), tensors: Ok(BTreeMap::new()) };
    module.visit(&mut reader);
    reader.tensors
}

/// Shapes of all parameters, without drawing those that were never used.
pub fn named_shapes<M: Module>(module: &M) -> BTreeMap<String, Vec<usize>> {
    let mut lister = Lister::default();
    module.visit(&mut lister);
    lister.shapes
}

/// The module with its parameters replaced by `tensors`: all of them, and nothing else. Each keeps its identity
/// (for an optimiser's state), its device, and whether it has gradients.
///
/// # Errors
/// [`TensorsError`] if names or shapes differ.
pub fn with_tensors<M: Module>(module: M, tensors: BTreeMap<String, TensorData>) -> Result<M, TensorsError> {
    let shapes = named_shapes(&module);
    if let Some(name) = tensors.keys().find(|name| !shapes.contains_key(*name)) {
        return Err(TensorsError::Unknown(name.clone()));
    }
    for (name, expected) in shapes {
        let data = tensors.get(&name).ok_or_else(|| TensorsError::Missing(name.clone()))?;
        if data.shape().as_slice() != expected.as_slice() {
            return Err(TensorsError::Shape { name, found: data.shape().to_vec(), expected });
        }
    }
    Ok(module.map(&mut Writer { path: Path::default(), tensors }))
}

/// Names from the module down to the parameter being visited.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn name(&self) -> String {
        self.0.join(".")
    }
}

struct Reader {
    path: Path,
    tensors: Result<BTreeMap<String, TensorData>, ExecutionError>,
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.0.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.0.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Ok(tensors) = &mut self.tensors else { return };
        match param.val().try_into_data() {
            Ok(data) => drop(tensors.insert(self.path.name(), data)),
            Err(error) => self.tensors = Err(error),
        }
    }
}

#[derive(Default)]
struct Lister {
    path: Path,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl ModuleVisitor for Lister {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.0.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.0.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.shapes.insert(self.path.name(), param.lazy_shape().to_vec());
    }
}

struct Writer {
    path: Path,
    tensors: BTreeMap<String, TensorData>,
}

impl ModuleMapper for Writer {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.0.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.0.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let data = self.tensors.remove(&self.path.name()).expect("every name was checked");
        let (id, device) = (param.id, param.lazy_device());
        param.transform_for_load(Tensor::from_data(data, &device), id)
    }
}
