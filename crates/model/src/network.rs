//! The interface of every family of networks.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::config::{Config, ModelConfigError};
use crate::execution::Execution;

/// A family of networks: one architecture, in all sizes that its configuration allows. The type that implements it is
/// a network of that family with its weights.
///
/// To add a family, write a module that implements this trait, and register it in `family.rs`.
pub trait Family: Module {
    /// The configuration fields that only this family has. Unknown fields must be refused
    /// (`#[serde(deny_unknown_fields)]`). A field that is added later needs a serde default: without one, weights
    /// files that lack the field can no longer be read.
    type Config;

    /// Checks the family's fields against their bounds and against the shared fields, which have passed their own
    /// checks. It does not allocate the network, and no arithmetic in it may overflow.
    ///
    /// # Errors
    /// [`ModelConfigError::Field`] for the first field that is wrong.
    fn validate(config: &Config<Self::Config>) -> Result<(), ModelConfigError>;

    /// Number of parameters, counted without building the network. The configuration is valid.
    fn parameters(config: &Config<Self::Config>) -> usize;

    /// Frames, bins (or bands) and channels of the tokens at every resolution, finest first, for a mixture of
    /// `samples`.
    fn planes(config: &Config<Self::Config>, samples: usize) -> Vec<[usize; 3]>;

    /// The network with initial weights and the default execution. The weights are lazy: the device's random
    /// generator draws them at their first use. The configuration is valid.
    fn new(config: Config<Self::Config>, device: &Device) -> Self;

    /// The configuration that the network was built from.
    fn config(&self) -> &Config<Self::Config>;

    /// How the network is executed.
    fn execution(&self) -> Execution;

    /// Sets how the network is executed. A family ignores the options that do not apply to it.
    #[must_use]
    fn with_execution(self, execution: Execution) -> Self;

    /// Minimum number of samples that [`Family::forward`] accepts.
    fn least_samples(&self) -> usize;

    /// `mixture [b, 2, n]` → stems `[b, s, 2, n]`, `n` at least [`Family::least_samples`].
    ///
    /// # Panics
    /// If the mixture is not stereo or too short.
    fn forward(&self, mixture: Tensor<3>) -> Tensor<4>;
}

/// The product of complex numbers, given and returned as real and imaginary parts. Extents of 1 are broadcast.
pub(crate) fn complex_product<const D: usize>(
    [x_real, x_imaginary]: [Tensor<D>; 2],
    [y_real, y_imaginary]: [Tensor<D>; 2],
) -> [Tensor<D>; 2] {
    let real = x_real.clone() * y_real.clone() - x_imaginary.clone() * y_imaginary.clone();
    [real, x_real * y_imaginary + x_imaginary * y_real]
}
