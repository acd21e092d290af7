//! A device with a model on it: runs segments, trusts no number of a GPU that failed, and recovers once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use burn::tensor::{Device, ExecutionError};
use unbraid_model::weights::{self, Loaded};
use unbraid_model::{Network, Stereo, Tfswa};
use unbraid_ops::device::{self, WebGpu, WebGpuError};

use crate::error::Failure;

/// Least SNR of a GPU's stems against the CPU's on the test signal, in dB. Rounding leaves more than 100; a driver
/// that computes something else leaves less than 20.
const LEAST_SNR_DB: f64 = 60.0;

/// What computes.
pub(crate) enum Unit {
    /// The browser's GPU.
    Gpu(WebGpu),
    /// The CPU path, on this one thread.
    Cpu,
}

impl Unit {
    fn device(&self) -> Device {
        match self {
            Self::Gpu(gpu) => gpu.device.clone(),
            Self::Cpu => Device::flex(),
        }
    }

    /// Whether what was read since the last call can be trusted.
    async fn check(&self) -> Result<(), WebGpuError> {
        match self {
            Self::Gpu(gpu) => {
                gpu.validate_kernels().await?;
                gpu.check()
            }
            Self::Cpu => Ok(()),
        }
    }
}

/// A model's description and its bytes, kept to put it on a new device.
struct Model {
    bytes: Vec<u8>,
    network: Tfswa,
}

/// A model on a device.
pub(crate) struct Engine {
    unit: RefCell<Unit>,
    model: RefCell<Model>,
    stems: usize,
    sample_rate: u32,
    segment_seconds: f64,
    least_samples: usize,
    /// What the device failed at, once it was replaced.
    recovered: RefCell<Option<String>>,
    /// One recovery a job.
    may_recover: Cell<bool>,
}

impl Engine {
    /// Puts a model on a device, and holds a GPU's first result against the CPU's.
    pub(crate) async fn new(unit: Unit, bytes: Vec<u8>) -> Result<(Self, Loaded), (Failure, Unit)> {
        let loaded = match weights::from_bytes(&bytes, &unit.device()) {
            Ok(loaded) => loaded,
            Err(error) => return Err((error.into(), unit)),
        };
        let engine = Self {
            stems: loaded.model.stems(),
            sample_rate: loaded.model.sample_rate(),
            segment_seconds: loaded.segment_seconds(),
            least_samples: loaded.model.least_samples(),
            model: RefCell::new(Model { bytes, network: loaded.model.clone() }),
            unit: RefCell::new(unit),
            recovered: RefCell::new(None),
            may_recover: Cell::new(true),
        };
        match engine.test().await {
            Ok(()) => Ok((engine, loaded)),
            Err(failure) => Err((failure, engine.unit.into_inner())),
        }
    }

    /// Device memory of burn's pools in bytes; `None` on the CPU.
    pub(crate) fn gpu_bytes(&self) -> Option<u64> {
        device::memory(&self.unit.borrow().device()).map(|memory| memory.reserved)
    }

    /// Allows one recovery more: a job begins.
    pub(crate) fn begin(&self) {
        self.may_recover.set(true);
        self.recovered.take();
    }

    /// What the device failed at before it was replaced, told once.
    pub(crate) fn recovered(&self) -> Option<String> {
        self.recovered.take()
    }

    /// Runs a short noise on the GPU and on the CPU: compiles the kernels, and shows a driver that computes wrongly.
    async fn test(&self) -> Result<(), Failure> {
        if matches!(*self.unit.borrow(), Unit::Cpu) {
            return Ok(());
        }
        let noise = [noise(1, self.least_samples), noise(2, self.least_samples)];
        let segment = std::slice::from_ref(&noise);
        let failed = |error: ExecutionError| Failure::Device(error.to_string());
        let got = self.attempt(segment).await.map_err(Failure::Device)?;
        let reference = weights::from_bytes(&self.model.borrow().bytes, &Device::flex())?.model;
        let expected = reference.run(segment).await.map_err(failed)?;
        let snr = snr_db(&expected[0], &got[0]);
        // Not `snr < LEAST`: NaN must not pass.
        if snr >= LEAST_SNR_DB {
            return Ok(());
        }
        Err(Failure::Device(format!(
            "the GPU computes something else than the CPU ({snr:.0} dB apart, {LEAST_SNR_DB} are demanded)"
        )))
    }

    async fn attempt(&self, segments: &[Stereo]) -> Result<Vec<Vec<Stereo>>, String> {
        let network = self.model.borrow().network.clone();
        let result = network.run(segments).await;
        self.check().await?;
        result.map_err(|error| error.to_string())
    }

    #[expect(
        clippy::await_holding_refcell_ref,
        reason = "one job runs at a time, and only it replaces the device"
    )]
    async fn check(&self) -> Result<(), String> {
        self.unit.borrow().check().await.map_err(|error| error.to_string())
    }

    /// Opens the GPU anew and puts the model on it.
    async fn recover(&self) -> Result<(), String> {
        let gpu = WebGpu::open().await.map_err(|error| error.to_string())?;
        let loaded = weights::from_bytes(&self.model.borrow().bytes, &gpu.device);
        self.model.borrow_mut().network = loaded.map_err(|error| error.to_string())?.model;
        *self.unit.borrow_mut() = Unit::Gpu(gpu);
        Ok(())
    }

    /// Ends the GPU's device, as a driver that fails does. For tests.
    pub(crate) fn lose_device(&self) {
        if let Unit::Gpu(gpu) = &*self.unit.borrow() {
            gpu.destroy();
        }
    }

    /// Samples per second of the model.
    pub(crate) fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Seconds that songs are cut into for the model.
    pub(crate) fn segment_seconds(&self) -> f64 {
        self.segment_seconds
    }

    /// Gives the device back.
    pub(crate) fn into_unit(self) -> Unit {
        self.unit.into_inner()
    }
}

/// An engine at work.
pub(crate) struct Running(pub(crate) Rc<Engine>);

impl Network for Running {
    fn stems(&self) -> usize {
        self.0.stems
    }

    fn sample_rate(&self) -> u32 {
        self.0.sample_rate
    }

    fn least_samples(&self) -> usize {
        self.0.least_samples
    }

    async fn run(&self, segments: &[Stereo]) -> Result<Vec<Vec<Stereo>>, ExecutionError> {
        let engine = &self.0;
        let first = match engine.attempt(segments).await {
            Ok(stems) => return Ok(stems),
            Err(reason) => reason,
        };
        let is_gpu = matches!(*engine.unit.borrow(), Unit::Gpu(_));
        if !(is_gpu && engine.may_recover.replace(false)) {
            return Err(ExecutionError::WithContext { reason: first });
        }
        let failed_again = |reason| ExecutionError::WithContext {
            reason: format!("{first}; and after it was opened again: {reason}"),
        };
        engine.recover().await.map_err(failed_again)?;
        let stems = engine.attempt(segments).await.map_err(failed_again)?;
        *engine.recovered.borrow_mut() = Some(first);
        Ok(stems)
    }
}

/// White noise at half of full scale, the same every time.
fn noise(seed: u32, samples: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        // A linear congruential generator; its upper half is random enough.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..samples).map(|_| next()).collect()
}

/// Signal to difference in dB; 0 where a length differs.
fn snr_db(expected: &[Stereo], got: &[Stereo]) -> f64 {
    let [expected, got] = [expected, got].map(|stems| stems.iter().flatten().flatten());
    if expected.clone().count() != got.clone().count() {
        return 0.0;
    }
    let signal: f64 = expected.clone().map(|x| f64::from(*x).powi(2)).sum();
    let error: f64 = expected.zip(got).map(|(x, y)| f64::from(x - y).powi(2)).sum();
    10.0 * (signal / error).log10()
}
