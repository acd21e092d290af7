//! A module's parameters as named host tensors, and the reverse.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{ExecutionError, Tensor, TensorData};

/// Host tensors that do not match the module's parameters.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum TensorsError {
    /// A parameter of the module has no tensor.
    #[error("{0} is missing")]
    Missing(String),
    /// The module has no parameter of this name.
    #[error("{0:?} is not a parameter of the network")]
    Unknown(String),
    /// The tensor and the parameter differ in shape.
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

/// The name of the parameter that a visitor or mapper of a module is at: the field names from the module down to the
/// parameter, such as `encoder.0.blocks.1.time.qkv.weight`.
///
/// The variant of an enum adds nothing to the name, so a parameter of `Network` is named as
/// in its family's own module.
#[derive(Debug, Default)]
pub struct ParameterPath(Vec<String>);

impl ParameterPath {
    /// Call it from `enter_module`, with the same arguments.
    pub fn enter(&mut self, name: &str, container: &str) {
        if !is_variant(container) {
            self.0.push(name.to_owned());
        }
    }

    /// Call it from `exit_module`.
    pub fn exit(&mut self, container: &str) {
        if !is_variant(container) {
            self.0.pop();
        }
    }

    /// The name of the parameter that is being visited.
    pub fn name(&self) -> String {
        self.0.join(".")
    }
}

/// burn's derived modules pass `Enum:` and the type's name for the variant of an enum.
fn is_variant(container: &str) -> bool {
    container.starts_with("Enum:")
}

/// Reads back all parameters, by name.
///
/// # Errors
/// The device's error, if it fails.
pub fn named_tensors<M: Module>(module: &M) -> Result<BTreeMap<String, TensorData>, ExecutionError> {
    let mut reader = Reader { path: ParameterPath::default(), tensors: Ok(BTreeMap::new()) };
    module.visit(&mut reader);
    reader.tensors
}

/// Names and shapes of all parameters, in the order in which the module visits them. It does not draw the initial
/// values of lazy parameters.
pub fn ordered_shapes<M: Module>(module: &M) -> Vec<(String, Vec<usize>)> {
    let mut lister = Lister::default();
    module.visit(&mut lister);
    lister.shapes
}

/// Like [`ordered_shapes`], by name.
pub fn named_shapes<M: Module>(module: &M) -> BTreeMap<String, Vec<usize>> {
    ordered_shapes(module).into_iter().collect()
}

/// The module with its parameters replaced by `tensors`, which must hold exactly these parameters. Each parameter keeps
/// its identity (for an optimiser's state), its device, and whether it has gradients.
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
    Ok(module.map(&mut Writer { path: ParameterPath::default(), tensors }))
}

struct Reader {
    path: ParameterPath,
    tensors: Result<BTreeMap<String, TensorData>, ExecutionError>,
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
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
    path: ParameterPath,
    shapes: Vec<(String, Vec<usize>)>,
}

impl ModuleVisitor for Lister {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.shapes.push((self.path.name(), param.lazy_shape().to_vec()));
    }
}

struct Writer {
    path: ParameterPath,
    tensors: BTreeMap<String, TensorData>,
}

impl ModuleMapper for Writer {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let data = self.tensors.remove(&self.path.name()).expect("every name was checked");
        let (id, device) = (param.id, param.lazy_device());
        param.transform_for_load(Tensor::from_data(data, &device), id)
    }
}
