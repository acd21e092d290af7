//! Numbers on the host, and their transfer to a device and back.

use std::f64::consts::TAU;

use burn::tensor::{Device, ExecutionError, Tensor, TensorData, f16};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
pub use unbraid_ops::Precision;

/// The largest relative error of rounding to a precision.
pub fn unit_roundoff(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 2f64.powi(-24),
        Precision::F16 => 2f64.powi(-11),
    }
}

/// The nearest number that a precision can represent.
pub fn round(x: f64, precision: Precision) -> f64 {
    match precision {
        Precision::F32 => f64::from(x as f32),
        Precision::F16 => f16::from_f64(x).to_f64(),
    }
}

/// Random numbers for inputs: the same on every machine.
pub struct Random(ChaCha8Rng);

impl Random {
    /// A generator whose numbers depend only on `name`, which states their purpose.
    pub fn named(name: &str) -> Self {
        // FNV-1a: the standard library's hash may change from release to release.
        let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Uniform in (0, 1].
    fn uniform(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) + 1) as f64 * 2f64.powi(-53)
    }

    /// N(0, scale²), rounded to what the device can hold, so that reference and device see the same numbers.
    pub fn normal(&mut self, count: usize, scale: f64, precision: Precision) -> Vec<f64> {
        let one = |_| (-2.0 * self.uniform().ln()).sqrt() * (TAU * self.uniform()).cos();
        (0..count).map(one).map(|x| round(x * scale, precision)).collect()
    }
}

/// A tensor of host values on a device.
pub fn upload<const D: usize>(
    values: &[f64],
    shape: [usize; D],
    precision: Precision,
    device: &Device,
) -> Tensor<D> {
    let values: Vec<f32> = values.iter().map(|&x| x as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), (device, precision.dtype()))
}

/// A tensor's values. Waiting is asynchronous, as browsers demand.
///
/// # Errors
/// If the device fails in a computation that the tensor depends on.
pub async fn download<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f64>, ExecutionError> {
    let data = tensor.into_data_async().await?;
    Ok(data.iter::<f64>().collect())
}
